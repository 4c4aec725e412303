/** The victim of move-crash.test.ts: applies a rule that moves all content, collects what is left, until it is killed. */
import { armFailpoints, wallTime } from "@kiseki/base";
import { systemClock } from "@kiseki/host";
import { calendarDay } from "@kiseki/s3";
import { never, openAt } from "../keys/bed.test-helper.ts";
import { collectGarbage } from "../node/collector.ts";
import { LifecycleWorker } from "./lifecycle-worker.ts";

const [, , path, ...words] = process.argv;
if (path === undefined) throw new Error("Cannot run: no folder is given");
const [wanted, count = "1"] = (process.env["KISEKI_FAILPOINT"] ?? "").split(":");
let left = Number(count);
let isArmed = false;
armFailpoints((name) => {
  if (isArmed && name === wanted && --left === 0) process.kill(process.pid, "SIGKILL");
});
const node = await openAt(path, undefined, [`${path}/disk-0`], undefined, words);
isArmed = true;
const worker = new LifecycleWorker({
  ports: {
    ...node.ports,
    clock: {
      monotonic: () => systemClock.monotonic(),
      realtime: () => wallTime(systemClock.realtime() + 3 * calendarDay.ms),
      sleep: (duration, signal) => systemClock.sleep(duration, signal),
    },
  },
  tenants: node.tenants,
  tenantIds: () => [node.defaultTenant],
  log: { info() {}, warn: (fields: unknown) => console.error(fields) },
  day: calendarDay,
  ratePerSecond: 1e6,
});
await worker.run(never);
while ((await collectGarbage(node.ports, await node.openDefaultTenant(never))) > 0);
await node[Symbol.asyncDispose]();
