/** Random sequences of S3 calls over HTTP, kills in between, against a model with versions. */
import { afterAll, beforeAll, test } from "bun:test";
import fc from "fast-check";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { commands } from "./commands.ts";
import { ModelRun } from "./run-commands.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Of a failure, as it was printed: goes straight to the shrunk sequence. */
const path = process.env["KISEKI_MODEL_PATH"];
/** In the gate batches of runs, each a test of its own that fits its time. */
const batches = isFull ? 40 : 4;
const runsPerBatch = 8;

let node: NodeProcess;
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "1GiB" });
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
});

let buckets = 0;

for (let batch = 0; batch < batches; batch += 1) {
  test(`S3 calls do what the model does (KISEKI_SIM_SEED=${seed + batch})`, async () => {
    const property = fc.asyncProperty(commands, (sequence) => {
      buckets += 1;
      return ModelRun.run(node, `model-${seed + batch}-${buckets}`, sequence);
    });
    const isReplay = path !== undefined;
    await fc.assert(property, {
      seed: seed + batch,
      numRuns: runsPerBatch,
      ...(isReplay ? { path } : {}),
    });
  }, 120_000);
}
