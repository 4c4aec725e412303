import { expect, test } from "bun:test";
import { newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import { listReferences, lookupObject, lookupSetting } from "@kiseki/composition";
import { lifecycleSetting } from "@kiseki/s3";
import {
  get,
  makeBucket,
  makeDevices,
  namespace,
  never,
  newId,
  openAt,
  put,
  sourceOf,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";
import { collectGarbage, matchOrphans } from "../node/collector.ts";
import type { StorageNode } from "../node/open-node.ts";
import { writeContent } from "../object/write-content.ts";
import { decodeProgress } from "./progress.ts";

// Goal: a process that is killed anywhere in a transition leaves each object whole, in one pool or the other, and the
// next round ends the work: all content in the archive, nothing of it left behind in the default pool.
// Method: a child is killed at a named point; the node is opened here and all is read; at the end a child runs through.
const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);
const prng = prngFromSeed(seed);
const sizes = [0, 1, 4096, 70_000, 5_000_000];
const partSizes = [5 * 1024 * 1024, 5 * 1024 * 1024, 900];
const partsKey = "parts";
const rule = `<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><ObjectSizeLessThan>99999999</ObjectSizeLessThan></Filter><Transition><Days>1</Days><StorageClass>GLACIER_IR</StorageClass></Transition></Rule></LifecycleConfiguration>`;

async function putParts(node: StorageNode, bodies: readonly Uint8Array[]): Promise<void> {
  const { owner, ...tenant } = await node.openDefaultTenant(never);
  const name = { namespace, key: Buffer.from(partsKey) };
  const attributes = { headers: [], userMetadata: [], checksums: [] };
  const random = prng.fill(newBytes(16));
  const begun = await owner.submit({ kind: "create_upload", ...name, random, attributes }, newId());
  if (begun.kind !== "done" || begun.answer.kind !== "upload") throw new Error("no upload");
  const { upload } = begun.answer;
  const parts: { part: number; etag: string }[] = [];
  for (const [i, body] of bodies.entries()) {
    const operationId = newId();
    const size = body.byteLength;
    using written = await writeContent(node.ports, { owner, ...tenant }, sourceOf(body), {
      ...{ operationId, size, algorithms: new Set([]), signal: never, pool: 0 },
    });
    const md5 = written.digests.get("md5")!;
    const { content } = written;
    const part = { part: i + 1, content, size, md5, checksums: [] };
    await owner.submit({ kind: "put_part", ...name, upload, ...part }, operationId);
    parts.push({ part: i + 1, etag: toHex(md5) });
  }
  const operation = { kind: "complete_upload", ...name, upload, parts, checksums: [] } as const;
  expect((await owner.submit(operation, newId())).kind).toBe("done");
}

async function fill(node: StorageNode): Promise<ReadonlyMap<string, Uint8Array>> {
  await makeBucket(node);
  const contents = new Map<string, Uint8Array>();
  for (const size of sizes) {
    const bytes = prng.fill(newBytes(size));
    contents.set(`${size}`, bytes);
    await put(node, `${size}`, bytes);
  }
  const bodies = partSizes.map((size) => prng.fill(newBytes(size)));
  contents.set(partsKey, Buffer.concat(bodies));
  await putParts(node, bodies);
  const { owner } = await node.openDefaultTenant(never);
  const value = lifecycleSetting.store(toUtf8(rule)) as Uint8Array;
  const setting = { kind: "put_setting", namespace, setting: "lifecycle", value } as const;
  await owner.submit(setting, newId());
  return contents;
}

async function runChild(path: string, words: readonly string[], point: string): Promise<boolean> {
  const script = `${import.meta.dir}/move-crash-child.test-helper.ts`;
  const child = Bun.spawn([process.execPath, script, path, ...words], {
    env: { ...process.env, KISEKI_FAILPOINT: point },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [error] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (child.signalCode !== "SIGKILL" && (child.exitCode !== 0 || error !== "")) {
    throw new Error(`${point}: ${error}`);
  }
  return child.signalCode === "SIGKILL";
}

/** All is there as it was; answers how many seals each pool has, once what nothing names is gone. */
async function readAll(node: StorageNode, contents: ReadonlyMap<string, Uint8Array>) {
  for (const [key, bytes] of contents) expect(await get(node, key)).toEqual(Buffer.from(bytes));
  const tenant = await node.openDefaultTenant(never);
  while ((await collectGarbage(node.ports, tenant)) > 0);
  await matchOrphans(node.ports, [tenant], { all: true, signal: never });
  const { references } = tenant.store.view((map) => listReferences(map, undefined, 10_000));
  const named = [0, 0];
  for (const { pool, chunkId, sealId } of references) {
    named[pool]! += 1;
    expect(node.ports.chunkStore.has(chunkId, sealId)).toBe(true);
  }
  expect(node.ports.chunkStore.pools().map(({ status }) => status!.chunks)).toEqual(named);
  return named;
}

const points = [
  "chunk-synced:2",
  `move-stored:${1 + prng.below(4)}`,
  `move-committed:${1 + prng.below(3)}`,
  `move-stored:1`,
  "collect-removed",
];
test(`a node killed at ${points.join(", ")} moves all content in the end (KISEKI_SIM_SEED=${seed})`, async () => {
  await using folder = await temporaryFolder();
  const [main = "", archive = ""] = await makeDevices(folder.path, 2);
  const words = ["--pools", `archive=${archive}`, "--storage-classes", "GLACIER_IR=archive"];
  const open = () => openAt(folder.path, undefined, [main], undefined, words);
  let contents: ReadonlyMap<string, Uint8Array>;
  {
    await using node = await open();
    contents = await fill(node);
    expect((await readAll(node, contents))[1]).toBe(0);
  }
  for (const point of points) {
    await runChild(folder.path, words, point); // a later one may have nothing left to do
    await using node = await open();
    await readAll(node, contents);
  }
  expect(await runChild(folder.path, words, "none")).toBe(false);
  await using node = await open();
  expect((await readAll(node, contents))[0]).toBe(0);
  const { store, dirKeys, keys } = await node.openDefaultTenant(never);
  for (const key of contents.keys()) {
    const name = { namespace, key: Buffer.from(key) };
    const found = store.view((map) => lookupObject(map, dirKeys(keys("read")), name));
    expect(found).toMatchObject({ kind: "object", entry: { storageClass: "GLACIER_IR" } });
  }
  const kept = store.view((map) => lookupSetting(map, namespace, "lifecycle-progress"))!;
  expect(decodeProgress(kept)?.finished).toBeDefined();
}, 60_000);
