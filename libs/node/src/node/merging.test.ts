// Goal: a file written in many small pieces comes to lie in few, with the same bytes, while it is written on.
// Method: a node on device files; appends of random sizes, rounds of merging between and beside them, then a raw look.
import { namespaceId, newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import { lookupNamespace, readFileContent } from "@kiseki/composition";
import { checkMap } from "@kiseki/composition/contract";
import type { FileRef, NewContent, WritePiece } from "@kiseki/composition";
import { expect, test } from "bun:test";
import { collectGarbage } from "./collector.ts";
import {
  get,
  makeBucket,
  makeDevices,
  namespace,
  never,
  newId,
  openAt,
  sourceOf,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";
import type { OpenTenant } from "../object/types.ts";
import { writeContent } from "../object/write-content.ts";
import { Merging } from "./merging.ts";
import type { StorageNode } from "./open-node.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);

async function makeFile(tenant: OpenTenant, name: string): Promise<FileRef> {
  const row = tenant.store.view((map) => lookupNamespace(map, "bucket"));
  const outcome = await tenant.owner.submit(
    {
      kind: "make_node",
      namespace: namespaceId(namespace),
      directory: row!.root,
      name: toUtf8(name),
      type: "file",
      isExclusive: true,
      ...{ mode: 0o644, uid: 0, gid: 0 },
    },
    newId(),
  );
  if (outcome.kind !== "done" || outcome.answer.kind !== "file") throw new Error(outcome.kind);
  return outcome.answer.attributes.ref;
}
function pieceOf(content: NewContent): readonly WritePiece[] {
  if (content.kind === "empty") throw new Error("content is not empty");
  if (content.kind === "extents") {
    return content.extents.map((extent) => ({ kind: "chunk", ...extent }));
  }
  const { ref } = content;
  return [{ kind: "small", offset: 0, length: ref.size, chunkOffset: 0, ref }];
}
async function append(node: StorageNode, tenant: OpenTenant, file: FileRef, bytes: Uint8Array) {
  const operationId = newId();
  const request = {
    operationId,
    pool: 0,
    size: bytes.byteLength,
    algorithms: new Set([]),
    signal: never,
  };
  using written = await writeContent(node.ports, tenant, sourceOf(bytes), request);
  const pieces = pieceOf(written.content);
  const operation = { kind: "append_file", namespace, file, pieces } as const;
  const outcome = await tenant.owner.submit(operation, operationId);
  expect(outcome.kind).toBe("done");
}
const piecesOf = (tenant: OpenTenant, file: FileRef) =>
  tenant.store.view((map) => {
    const dirKeys = tenant.dirKeys(tenant.keys("read"));
    const query = { file, start: 0, end: 2 ** 40, countMax: 1e6 };
    const found = readFileContent(map, dirKeys, query);
    if (found.kind === "refused") throw new Error(found.code);
    return found.page.pieces;
  });
test(`Merging makes few pieces of many, with the same bytes (KISEKI_SIM_SEED=${seed})`, async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(seed);
  const paths = await makeDevices(folder.path, 2);
  await using node = await openAt(folder.path, undefined, paths);
  await makeBucket(node);
  const tenant = await node.openDefaultTenant(never);
  const file = await makeFile(tenant, "log");
  const merging = new Merging({ ports: node.ports, tenants: node.tenants });
  const plain: Uint8Array[] = [];
  let merged = 0;
  for (let i = 0; i < 160; i++) {
    const bytes = prng.fill(newBytes(1 + prng.below(prng.chance(1, 20) ? 9000 : 200)));
    plain.push(bytes);
    const rounds = i % 40 === 39 ? merging.runRound(never) : Promise.resolve(0);
    await append(node, tenant, file, bytes);
    merged += await rounds;
  }
  merged += await merging.runRound(never);
  expect(merged).toBeGreaterThan(0); // the node's own housekeeping may have had its share
  expect(piecesOf(tenant, file).length).toBeLessThan(100);
  expect(toHex(await get(node, "log"))).toBe(toHex(Buffer.concat(plain)));
  while ((await collectGarbage(node.ports, tenant)) > 0);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  tenant.store.view((map) => checkMap(map, dirKeys));
  expect(toHex(await get(node, "log"))).toBe(toHex(Buffer.concat(plain)));
});
