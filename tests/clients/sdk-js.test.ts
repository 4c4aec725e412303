/** The AWS SDK for JavaScript v3 with its default settings but for path style, which an address without a name needs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { Tools } from "../support/tools.ts";

/** Fuzzing goes on beside it in the full run. */
const limitMs = isFull ? 60_000 : 20_000;
let node: NodeProcess;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "256MiB" });
  tools = await Tools.of(node);
});
afterAll(() => node[Symbol.asyncDispose]());

test(
  "AWS SDK for JavaScript puts, uploads by parts, lists, copies, presigns and deletes",
  async () => {
    const scenario = join(import.meta.dir, "js/scenario.mjs");
    expect(JSON.parse(await tools.run([process.execPath, scenario]))).toEqual({
      bodies: [true, true, true, true],
      parts: true,
      etag: true,
      progress: true,
      range: true,
      attributes: [12_000_007, 3],
      listed: true,
      directories: ["a/", "ünï/"],
      copy: true,
      presignedPut: 200,
      presignedGet: ["text/x-test", "by anyone"],
      refusals: ["PreconditionFailed", "NoSuchKey", "NotFound", "BucketNotEmpty"],
      deleted: 13,
    });
  },
  limitMs,
);
