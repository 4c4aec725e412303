/** The victim of crash.test.ts: rekeys, reseals, collects and drops, saying each step, until it is killed. */
import { armFailpoints } from "@kiseki/base";
import { collectGarbage } from "../node/collector.ts";
import { get, never, openAt, put } from "./bed.test-helper.ts";
import { rekeyTenant } from "./rekey.ts";

const path = process.argv[2];
if (path === undefined) throw new Error("Cannot run: no folder is given");
const [wanted, count = "1"] = (process.env["KISEKI_FAILPOINT"] ?? "").split(":");
let left = Number(count);
armFailpoints((name) => {
  if (name === wanted && --left === 0) process.kill(process.pid, "SIGKILL");
});
const node = await openAt(path);
const step = (name: string): void => void process.stdout.write(`${name}\n`);
step("open");
const { tenantKeys } = node.storage;
const keyset = await rekeyTenant({ tenantKeys, tenants: node.tenants }, node.defaultTenant, never);
step(`keyset ${keyset}`);
const bytes = Buffer.from(`written under ${keyset}`);
await put(node, `under-${keyset}`, bytes);
step(`wrote under-${keyset}`);
for (let round = 0; round < 3; round++) {
  await node.keysets.runRound(never);
  while ((await collectGarbage(node.ports, await node.openDefaultTenant(never))) > 0);
  step(`round ${round}`);
}
await get(node, `under-${keyset}`);
await node[Symbol.asyncDispose]();
step("end");
