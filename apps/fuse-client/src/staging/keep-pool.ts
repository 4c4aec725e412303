import { type ExitCode, exitCode } from "@kiseki/cli";
import type { StagingPool } from "@kiseki/client";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Keeps the pool until another process takes it over, then leaves it. When `ending` is over, or at a signal, it is erased. */
export async function keepPool(pool: StagingPool, ending: AbortController): Promise<ExitCode> {
  const end = (): void => ending.abort();
  for (const signal of signals) process.on(signal, end);
  await pool.wanted(ending.signal);
  if (ending.signal.aborted) await pool.close();
  else pool.handOver();
  ending.abort();
  return exitCode.ok;
}
