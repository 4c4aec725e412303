import pino from "pino";

/** Structured logs. Fields are ids, codes and numbers: never a key, a secret, a name or content. */
export interface Logger {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** One JSON object a line on standard error, written before the call returns. */
export function openLogger(level: LogLevel): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // A second net under "never log it": these fields are censored wherever they turn up.
      redact: {
        paths: ["*.secret", "secret", "*.key", "*.name", "authorization"],
        censor: "[redacted]",
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
