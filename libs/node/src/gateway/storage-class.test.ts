/** Storage classes through real HTTP on a node with two pools: what is asked for is where the content lies, and what is shown. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { listReferences } from "@kiseki/composition";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
let folder: string;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
const all = (text: string, name: string): (string | undefined)[] =>
  [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map((found) => found[1]);
const inClass = (name: string, more: Readonly<Record<string, string>> = {}): Call => ({
  headers: { "x-amz-storage-class": name, ...more },
});

beforeAll(async () => {
  folder = await mkdtemp(`${tmpdir()}/kiseki-pools-`);
  const paths = ["archive-0", "archive-1", "spare-0"].map((name) => `${folder}/${name}`);
  for (const path of paths) {
    await writeFile(path, "");
    await truncate(path, 128 * 1024 * 1024);
  }
  const [one, two, three] = paths;
  bed = await Bed.open("128MiB", [
    ...["--pools", `archive=${one},${two};spare=${three}`],
    ...["--storage-classes", "STANDARD_IA=archive,GLACIER_IR=archive,INTELLIGENT_TIERING=spare"],
  ]);
  expect((await call("PUT", "/bucket")).status).toBe(200);
}, 20_000);
afterAll(async () => {
  await bed[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const bodyOf = (seed: number, size: number): Buffer => Buffer.alloc(size, `bytes of ${seed}, `);

/** Seals that live in each pool, as the devices and the shard have it. */
async function sealsByPool(): Promise<number[]> {
  const tenant = await bed.node.openDefaultTenant(new AbortController().signal);
  const { references } = tenant.store.view((map) => listReferences(map, undefined, 100_000));
  const counts = [0, 0, 0];
  for (const { pool, from, chunkId, sealId } of references) {
    if (from !== "chunk" && from !== "cold" && from !== "manifest") continue;
    counts[pool]! += 1;
    const holders = bed.node.ports.chunkStore.inspect(chunkId, sealId)!.fragments;
    const ids = bed.node.ports.chunkStore.pools()[pool]!.status!.devices.map(({ id }) => id);
    for (const { device } of holders) expect(ids).toContainEqual(device);
  }
  return counts;
}
/** How the seals of each pool change by `work`. */
async function change(work: () => Promise<unknown>): Promise<number[]> {
  const before = await sealsByPool();
  await work();
  return (await sealsByPool()).map((count, pool) => count - before[pool]!);
}

test.each([
  ["empty", 0, [0, 0, 0]],
  ["small", 100, [0, 1, 0]],
  ["chunk", 100_000, [0, 1, 0]],
  ["several chunks", 9_000_000, [0, 3, 0]],
])(
  "x-amz-storage-class puts %s content into its pool and is shown everywhere",
  async (name, size, counts) => {
    const target = `/bucket/put/${encodeURIComponent(name)}`;
    const body = Buffer.concat([Buffer.from(name), Buffer.alloc(size)]).subarray(0, size);
    for (let at = 0; at < size; at += 4096) body[at] = at >> 12;
    const made = await change(async () => {
      const put = await call("PUT", target, { ...inClass("STANDARD_IA"), body });
      expect(put.status).toBe(200);
    });
    expect(made).toEqual(counts);
    const head = await call("HEAD", target);
    expect(head.headers["x-amz-storage-class"]).toBe("STANDARD_IA");
    const get = await call("GET", target);
    expect(get.headers["x-amz-storage-class"]).toBe("STANDARD_IA");
    expect(get.body.equals(body)).toBe(true);
    const prefix = encodeURIComponent(`put/${name}`);
    for (const query of [
      `prefix=${prefix}`,
      `list-type=2&prefix=${prefix}`,
      `prefix=${prefix}&versions`,
    ])
      expect(element((await call("GET", `/bucket?${query}`)).text, "StorageClass")).toBe(
        "STANDARD_IA",
      );
    const attributes = { headers: { "x-amz-object-attributes": "StorageClass" } };
    const shown = await call("GET", `${target}?attributes`, attributes);
    expect(element(shown.text, "StorageClass")).toBe("STANDARD_IA");
  },
);

test("STANDARD and REDUCED_REDUNDANCY are the default pool", async () => {
  const made = await change(async () => {
    await call("PUT", "/bucket/default", { body: bodyOf(10, 100_000) });
    await call("PUT", "/bucket/rrs", {
      ...inClass("REDUCED_REDUNDANCY"),
      body: bodyOf(2, 100_000),
    });
  });
  expect(made).toEqual([2, 0, 0]);
  expect((await call("HEAD", "/bucket/default")).headers["x-amz-storage-class"]).toBeUndefined();
  expect((await call("HEAD", "/bucket/rrs")).headers["x-amz-storage-class"]).toBe(
    "REDUCED_REDUNDANCY",
  );
  const listed = await call("GET", "/bucket?prefix=rrs");
  expect(element(listed.text, "StorageClass")).toBe("REDUCED_REDUNDANCY");
});

test("equal content is one chunk in each pool", async () => {
  const body = bodyOf(3, 200_000);
  const made = await change(async () => {
    for (const key of ["a", "b"]) {
      await call("PUT", `/bucket/dedup/${key}`, { body });
      await call("PUT", `/bucket/dedup/${key}-ia`, { ...inClass("STANDARD_IA"), body });
    }
  });
  expect(made).toEqual([1, 1, 0]);
});

test.each(["GLACIER", "DEEP_ARCHIVE", "ONEZONE_IA", "standard", "x"])(
  "the class %s, which no pool has, is refused and nothing is stored",
  async (name) => {
    const made = await change(async () => {
      const source = { "x-amz-copy-source": "/bucket/standard" };
      await call("PUT", "/bucket/standard", { body: bodyOf(1, 100_000) });
      for (const [method, target, options] of [
        ["PUT", "/bucket/refused", { ...inClass(name), body: "x" }],
        ["PUT", "/bucket/refused", inClass(name, source)],
        ["POST", "/bucket/refused?uploads", inClass(name)],
      ] as const) {
        const reply = await call(method, target, options);
        expect([reply.status, element(reply.text, "Code")]).toEqual([400, "InvalidStorageClass"]);
        expect(element(reply.text, "StorageClassRequested")).toBe(name);
      }
    });
    expect(made.slice(1)).toEqual([0, 0]);
    expect((await call("HEAD", "/bucket/refused")).status).toBe(404);
  },
);

test("a copy to another class moves the bytes, one within the class names them again", async () => {
  const body = bodyOf(4, 5_000_000);
  await call("PUT", "/bucket/copy/from", { body });
  const source = { "x-amz-copy-source": "/bucket/copy/from" };
  expect(await change(() => call("PUT", "/bucket/copy/same", { headers: source }))).toEqual([
    0, 0, 0,
  ]);
  const moved = await change(() =>
    call("PUT", "/bucket/copy/other", inClass("STANDARD_IA", source)),
  );
  expect(moved).toEqual([0, 2, 0]);
  const again = { "x-amz-copy-source": "/bucket/copy/other" };
  const named = await change(() => call("PUT", "/bucket/copy/third", inClass("GLACIER_IR", again)));
  expect(named).toEqual([0, 0, 0]);
  for (const [key, shown] of [
    ["other", "STANDARD_IA"],
    ["third", "GLACIER_IR"],
  ] as const) {
    const get = await call("GET", `/bucket/copy/${key}`);
    expect(get.body.equals(body)).toBe(true);
    expect(get.headers["x-amz-storage-class"]).toBe(shown);
  }
  // Onto itself: how clients change the class of an object.
  const own = await change(() =>
    call(
      "PUT",
      "/bucket/copy/third",
      inClass("STANDARD", { "x-amz-copy-source": "/bucket/copy/third" }),
    ),
  );
  expect(own).toEqual([0, 0, 0]); // a hit in the default pool; the others name the archive's chunks still
  expect((await call("HEAD", "/bucket/copy/third")).headers["x-amz-storage-class"]).toBeUndefined();
});

test("an upload's class is that of its parts and of the object", async () => {
  const created = await call("POST", "/bucket/upload?uploads", inClass("GLACIER_IR"));
  const id = element(created.text, "UploadId")!;
  expect(element((await call("GET", "/bucket?uploads")).text, "StorageClass")).toBe("GLACIER_IR");
  const made = await change(async () => {
    let named = "";
    for (const part of [1, 2]) {
      const body = Buffer.alloc(5 * 1024 * 1024, `part ${part}`);
      const put = await call("PUT", `/bucket/upload?partNumber=${part}&uploadId=${id}`, { body });
      named += `<Part><PartNumber>${part}</PartNumber><ETag>${put.headers["etag"]}</ETag></Part>`;
    }
    const parts = await call("GET", `/bucket/upload?uploadId=${id}`);
    expect(element(parts.text, "StorageClass")).toBe("GLACIER_IR");
    const document = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
    expect((await call("POST", `/bucket/upload?uploadId=${id}`, { body: document })).status).toBe(
      200,
    );
  });
  expect(made).toEqual([0, 4, 0]);
  expect((await call("HEAD", "/bucket/upload")).headers["x-amz-storage-class"]).toBe("GLACIER_IR");
});

test("the default pool goes on when another one is full, which answers 507", async () => {
  const reply = { status: 200 };
  for (let i = 0; i < 80 && reply.status === 200; i++) {
    const body = Buffer.alloc(4 * 1024 * 1024);
    body.writeUInt32BE(i + 1);
    reply.status = (
      await call("PUT", `/bucket/full/${i}`, { ...inClass("INTELLIGENT_TIERING"), body })
    ).status;
  }
  expect(reply.status).toBe(507);
  const put = await call("PUT", "/bucket/full/standard", { body: bodyOf(9, 5_000_000) });
  expect(put.status).toBe(200);
  const [standard, , spare] = bed.node.ports.chunkStore.pools();
  expect([standard!.status!.capacity, spare!.status!.profile]).toEqual(["healthy", undefined]);
});

test("versions of a key keep their classes", async () => {
  const enable = `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`;
  await call("PUT", "/versions");
  await call("PUT", "/versions?versioning", { body: enable });
  await call("PUT", "/versions/k", { body: "one" });
  await call("PUT", "/versions/k", { ...inClass("REDUCED_REDUNDANCY"), body: "two" });
  await call("PUT", "/versions/k", { body: "three" });
  const listed = await call("GET", "/versions?versions");
  expect(all(listed.text, "StorageClass")).toEqual(["STANDARD", "REDUCED_REDUNDANCY", "STANDARD"]);
});
