/** Random sequences of S3 calls over HTTP, kills in between, against a model with versions, tags and locks. */
import { afterAll, beforeAll, test } from "bun:test";
import fc from "fast-check";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { commands } from "./commands.ts";
import { ModelRun } from "./run-commands.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Of a failure, as it was printed: goes straight to the shrunk sequence. */
const path = process.env["KISEKI_MODEL_PATH"];
const batches = path !== undefined ? 1 : isFull ? 40 : 4;
const runsPerBatch = 8;

let node: NodeProcess;
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "1GiB" });
}, 20_000);
afterAll(async () => {
  await node[Symbol.asyncDispose]();
});

let buckets = 0;

for (let batch = 0; batch < batches; batch += 1) {
  test(`S3 calls do what the model does (KISEKI_SIM_SEED=${seed + batch})`, async () => {
    const property = fc.asyncProperty(commands, fc.boolean(), async (sequence, isLocked) => {
      buckets += 1;
      if (!node.isRunning) await node.start(); // a run before may have ended it
      const bucket = `model-${seed + batch}-${buckets}`;
      return ModelRun.run(node, bucket, { commands: sequence, isLocked });
    });
    await fc.assert(property, {
      seed: seed + batch,
      numRuns: runsPerBatch,
      ...(path === undefined ? {} : { path }),
    });
  }, 120_000);
}
