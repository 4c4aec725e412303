import { readFile } from "node:fs/promises";
import { timingSafeEqual } from "node:crypto";
import type { ServerSettings, StorageNode } from "@kiseki/node";
import type { MetricsRegistry } from "@kiseki/telemetry";
import { Elysia } from "elysia";
import { metricsListener, openListener } from "./open-listener.ts";
import { RecentRates } from "./recent-rates.ts";
import { renderStatusPage } from "./status-page.ts";

/** Milliseconds between two looks at the counters. */
const sampleInterval = 5000;

/** Health, metrics and the status page, on a listener of its own. */
export interface MetricsListener extends AsyncDisposable {
  readonly port: number;
}

async function readToken(settings: ServerSettings): Promise<string | undefined> {
  if (settings.metricsToken === "") return undefined;
  return (await readFile(settings.metricsToken, "utf8")).trim();
}

function isAllowed(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true;
  const given = Buffer.from(header ?? "");
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** Opens the listener; settings are checked. */
export async function listenMetrics(
  node: StorageNode,
  settings: ServerSettings,
  metrics: MetricsRegistry,
): Promise<MetricsListener> {
  const token = await readToken(settings);
  const { host, port } = settings.metricsAddress;
  const recent = new RecentRates();
  const sample = async (): Promise<void> =>
    recent.add(performance.now() / 1000, await metrics.read());
  await sample();
  const app = new Elysia()
    .onBeforeHandle(({ headers, set }) => {
      if (isAllowed(headers["authorization"], token)) return undefined;
      set.status = 401;
      return "A bearer token is needed\n";
    })
    .get("/health/live", () => ({ live: true }))
    .get("/health/ready", ({ set }) => answerHealth(node, set))
    .get("/health", ({ set }) => answerHealth(node, set))
    .get("/metrics", async ({ set }) => {
      set.headers["content-type"] = "text/plain; version=0.0.4; charset=utf-8";
      return metrics.expose();
    })
    .get("/", async ({ set }) => {
      set.headers["content-type"] = "text/html; charset=utf-8";
      return renderStatusPage(node, recent.read());
    });
  await openListener(metricsListener, settings.metricsAddress, () =>
    app.listen({ hostname: host, port }),
  );
  const sampling = setInterval(() => void sample(), sampleInterval);
  return {
    port: app.server?.port ?? port,
    [Symbol.asyncDispose]: async () => {
      clearInterval(sampling);
      await app.stop();
    },
  };
}

function answerHealth(node: StorageNode, set: { status?: number | string }): object {
  const { capacity, profile, devices } = node.ports.chunkStore.status();
  const isReady = profile !== undefined;
  if (!isReady) set.status = 503;
  const healthy = devices.filter(({ state }) => state === "healthy").length;
  return { live: true, ready: isReady, capacity, devices: devices.length, healthy };
}
