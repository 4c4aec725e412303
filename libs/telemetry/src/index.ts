/**
 * Logs by pino, metrics by prom-client. The metric table is closed: a name or label that is not in it is
 * an assertion, so dashboards and code cannot drift. Labels come from closed sets, never from users.
 */
export type { Logger } from "./logger.ts";
export { openLogger } from "./logger.ts";
export type { MetricsRegistry } from "./metrics.ts";
export { openMetrics } from "./metrics.ts";
