/** The AWS SDK for Go v2 and minio-go, as programs of their users; in the full run alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { cached, Tools } from "../support/tools.ts";

let node: NodeProcess;
let tools: Tools;

const run = async (name: string): Promise<unknown> =>
  JSON.parse(
    (await tools.run([cached(`go-clients-1/${name}`, "--tests-full")])).split("\n").at(-1)!,
  );

if (isFull) {
  beforeAll(async () => {
    node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "512MiB" });
    tools = await Tools.of(node);
  });
  afterAll(() => node[Symbol.asyncDispose]());

  test("AWS SDK for Go puts, transfers by parts, lists, copies, presigns and deletes", async () => {
    expect(await run("aws")).toEqual({
      bodies: true,
      large: true,
      parts: true,
      listed: [12, true],
      copy: true,
      presignedPut: 200,
      presignedGet: "by anyone",
      refusals: ["PreconditionFailed", "NoSuchKey", "NotFound", "BucketNotEmpty"],
      deleted: 13,
    });
  }, 60_000);

  test("minio-go puts, assumes a role, streams, composes, lists, copies, presigns, tags, keeps versions and deletes", async () => {
    expect(await run("minio")).toEqual({
      bodies: [true, "a/b", "me"],
      assumed: [1_048_577, "AccessDenied"],
      large: [true, true],
      stream: true,
      composed: true,
      listed: 9,
      copy: true,
      presignedPut: 200,
      presignedGet: ["text/x-test", "by anyone"],
      tags: { team: "blue += x" },
      versions: ["marker", "version", "version"],
      refusal: "BucketNotEmpty",
    });
  }, 60_000);
}
