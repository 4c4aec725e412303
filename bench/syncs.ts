import { setTimeout as sleep } from "node:timers/promises";
import type { Figures } from "./loader.ts";

/**
 * Syncs per operation while `work` runs, counted by strace: fsync, fdatasync, sync_file_range, syncfs.
 * `undefined` where strace is missing or not allowed. Writes to files opened with O_SYNC or O_DSYNC are not seen.
 */
export async function countSyncs(
  pid: number,
  work: () => Promise<Figures>,
): Promise<number | undefined> {
  if (Bun.which("strace") === null) return undefined;
  const calls = "trace=fsync,fdatasync,sync_file_range,syncfs";
  const tracer = Bun.spawn(["strace", "-f", "-c", "-qq", "-e", calls, "-p", String(pid)], {
    stdout: "ignore",
    stderr: "pipe",
  });
  await sleep(300); // until it has attached to every thread
  if (tracer.exitCode !== null) return undefined;
  const { operations } = await work();
  tracer.kill("SIGINT");
  const report = await new Response(tracer.stderr).text();
  await tracer.exited;
  const row = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+.*\btotal$/m.exec(report);
  return row === null ? undefined : Number(row[1]) / Math.max(1, operations);
}
