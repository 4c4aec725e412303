/** A node that serves native clients in a process of its own, until it is killed. */
import { armFailpoints } from "@kiseki/base";
import { matchOrphans } from "../node/collector.ts";
import { NativeBed } from "./bed.test-helper.ts";

const path = process.argv[2];
if (path === undefined) throw new Error("Cannot run: no folder is given");
const [wanted, count = "1"] = (process.env["KISEKI_FAILPOINT"] ?? "").split(":");
let left = Number(count);
let isArmed = false;
armFailpoints((name) => {
  if (isArmed && name === wanted && --left === 0) process.kill(process.pid, "SIGKILL");
});
const bed = await NativeBed.openAt(path);
const { node } = bed;
/** What the scrub does about orphans once in a while. */
async function collect(): Promise<void> {
  const { signal } = new AbortController();
  await matchOrphans(node.ports, node.tenants.all, { all: true, signal });
  console.log(JSON.stringify({ chunks: node.ports.chunkStore.status().chunks }));
}
process.stdin.on("data", (word: Buffer) => {
  if (!word.includes("arm")) return void collect();
  isArmed = true;
  console.log("armed");
});
console.log(JSON.stringify({ rpc: bed.rpc.port, bulk: bed.bulk.port }));
