import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { newBytes } from "@kiseki/base";
import type { FilePage, FileRefusal, FileService } from "@kiseki/vfs";
import type { StagingProgress } from "./stage.ts";
import { StagingBed } from "./staging-bed.test-helper.ts";
import { datasetNames, nameText, walkDataset, walkFilesMax } from "./walk.ts";

const never = new AbortController().signal;

test("stageDataset() makes an image of each file, of any size, holes and links among them", async () => {
  await using bed = await StagingBed.open();
  const expected = new Map<string, Uint8Array>();
  for (let i = 0; i < 60; i++)
    expected.set(`${i % 3}/${i}`, await bed.write(`set/${i % 3}/${i}`, i * 101));
  expected.set("large", await bed.write("set/large", 6_000_007));
  await bed.write("beside", 100);
  const top = await bed.folder(["set"]);
  const sparse = await bed.session.lookup({ parent: top, name: Buffer.from("large") });
  if ("code" in sparse) throw new Error(sparse.code);
  const { ref } = sparse;
  const hole = { mode: "punch", offset: 1_000_000, length: 2_000_000, isSizeKept: true } as const;
  await bed.session.apply({ kind: "allocate", file: ref, ...hole });
  expected.get("large")!.fill(0, 1_000_000, 3_000_000);
  // A second name of a file is no second image; a symbolic link is none.
  await bed.session.apply({ kind: "link", file: ref, parent: top, name: Buffer.from("large-2") });
  const link = { kind: "symlink", target: Buffer.from("large") } as const;
  const made = { kind: "create", parent: top, name: Buffer.from("link"), node: link } as const;
  await bed.session.apply({ ...made, mode: 0o777, uid: 0, gid: 0, isExclusive: true });
  const pool = await bed.pool();
  let last: StagingProgress | undefined;
  const outcome = await bed.stage(pool, "/set", { onProgress: (progress) => (last = progress) });
  const size = [...expected.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(outcome).toMatchObject({
    kind: "staged",
    filesCount: 61,
    size,
    keptCount: 0,
    othersCount: 1,
  });
  expect(last).toMatchObject({ filesDone: 61, filesTotal: 61, bytesDone: size, bytesTotal: size });
  const images = await bed.images(pool, "/set");
  expect(images.size).toBe(61);
  for (const [path, bytes] of images)
    expect(Buffer.compare(bytes, expected.get(path.replace("large-2", "large"))!)).toBe(0);
  expect(pool.images.manifests).toMatchObject([{ dataset: "/set", isComplete: true }]);
  expect(bed.faults).toEqual([]);
  await pool.close();
});

test("stageDataset() again keeps what is whole, and brings what was changed, added, damaged or removed", async () => {
  await using bed = await StagingBed.open();
  for (let i = 0; i < 20; i++) await bed.write(`set/${i}`, 5000 + i);
  const first = await bed.pool();
  await bed.stage(first, "/set");
  first.handOver();
  const pool = await bed.pool(first.id);
  const reads = bed.node.count("fetch");
  expect(await bed.stage(pool, "/set")).toMatchObject({ keptCount: 20, filesCount: 20 });
  expect(bed.node.count("fetch")).toBe(reads);
  const changed = await bed.write("set/3", 7000);
  const added = await bed.write("set/new", 9000);
  await bed.remove("set/4");
  const kept = pool.images.manifests[0]!.files.find(({ path }) => path === "5")!;
  await writeFile(bed.imagePath(pool, kept), newBytes(kept.size));
  expect(await bed.stage(pool, "/set")).toMatchObject({ keptCount: 17, filesCount: 20 });
  const images = await bed.images(pool, "/set");
  expect(Buffer.compare(images.get("3")!, changed)).toBe(0);
  expect(Buffer.compare(images.get("new")!, added)).toBe(0);
  expect(images.has("4")).toBe(false);
  expect(images.get("5")!.some((byte) => byte !== 0)).toBe(true);
  await pool.close();
});

test("stageDataset() keeps what is whole when it is interrupted or refused, and goes on from there", async () => {
  await using bed = await StagingBed.open();
  for (let i = 0; i < 40; i++) await bed.write(`set/${i}`, 5000);
  const pool = await bed.pool();
  const ending = new AbortController();
  const interrupted = await bed.stage(pool, "/set", {
    signal: ending.signal,
    onProgress: ({ filesDone }) => filesDone >= 15 && ending.abort(),
  });
  expect(interrupted).toEqual({ kind: "interrupted" });
  expect(pool.images.manifests).toMatchObject([{ isComplete: false }]);
  const had = pool.images.manifests[0]!.files.length;
  expect(had).toBeGreaterThanOrEqual(15);
  bed.node.meddle = (call) => (call === "fetch" ? "unreachable" : undefined);
  const refused = await bed.stage(pool, "/set");
  expect(refused).toMatchObject({ kind: "refused", code: "unreachable" });
  bed.node.meddle = () => undefined;
  expect(pool.images.manifests[0]!.files).toHaveLength(had);
  const before = bed.node.count("fetch");
  expect(await bed.stage(pool, "/set")).toMatchObject({ filesCount: 40, keptCount: had });
  expect(bed.node.count("fetch") - before).toBe(40 - had);
  // What is here and was not looked at yet stays, too.
  const verifying = new AbortController();
  const again = await bed.stage(pool, "/set", {
    signal: verifying.signal,
    onProgress: ({ phase }) => phase === "verifying" && verifying.abort(),
  });
  expect(again).toEqual({ kind: "interrupted" });
  expect(await bed.stage(pool, "/set")).toMatchObject({ filesCount: 40, keptCount: 40 });
  await pool.close();
});

test("stageDataset() stages a file that changes meanwhile as it is at one moment, and says which one never rests", async () => {
  await using bed = await StagingBed.open();
  await bed.write("set/busy", 3_000_000);
  const pool = await bed.pool();
  // After the listing, and between the plans of its two parts.
  for (const when of [1, 2]) {
    let plans = 0;
    bed.node.meddle = (call) => {
      if (call !== "plan" || (plans += 1) !== when) return undefined;
      return bed.write("set/busy", 3_000_000).then(() => undefined);
    };
    expect(await bed.stage(pool, "/set")).toMatchObject({ kind: "staged", filesCount: 1 });
    bed.node.meddle = () => undefined;
    const { inode, version } = pool.images.manifests[0]!.files[0]!;
    const now = bed.node.inode(inode);
    expect(version).toBe(now.contentVersion);
    const [image] = (await bed.images(pool, "/set")).values();
    expect(Buffer.compare(image!, bed.node.get(now, 0, 3_000_000))).toBe(0);
    await bed.write("set/busy", 3_000_000);
  }
  await bed.write("set/busy", 3_000_000);
  bed.node.meddle = (call) =>
    call === "plan" ? bed.write("set/busy", 3_000_000).then(() => undefined) : undefined;
  expect(await bed.stage(pool, "/set")).toEqual({ kind: "changing", path: "busy" });
  await pool.close();
});

test("stageDataset() plans and fetches on while a batch waits for its last file, and ends when all have ended", async () => {
  await using bed = await StagingBed.open();
  for (let i = 0; i < 40; i++) await bed.write(`set/${i}`, 101);
  const pool = await bed.pool();
  const third = Promise.withResolvers<void>();
  let plansCount = 0;
  bed.onPlanFiles = () => (plansCount += 1) === 3 && third.resolve();
  let readsCount = 0;
  bed.onSmallReads = () => ((readsCount += 1) === 1 ? third.promise : undefined);
  expect(await bed.stage(pool, "/set")).toMatchObject({ kind: "staged", filesCount: 40 });
  expect(readsCount).toBe(4);
  expect(await bed.images(pool, "/set")).toHaveProperty("size", 40);
  // A disk that fails under the first batch: the second ends before the call does, and begins nothing.
  await pool.images.release("/set");
  const [failing, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  readsCount = 0;
  bed.onSmallReads = () => {
    readsCount += 1;
    if (readsCount === 1) return failing.promise;
    failing.reject(new Error("The disk fails"));
    return second.promise;
  };
  let isEnded = false;
  let filesDone = 0;
  const onProgress = (progress: StagingProgress): void => void ({ filesDone } = progress);
  const staging = bed.stage(pool, "/set", { onProgress }).finally(() => (isEnded = true));
  await failing.promise.catch(() => undefined);
  await Bun.sleep(20);
  expect(isEnded).toBe(false);
  second.resolve();
  expect(await staging.catch((reason: Error) => reason.message)).toBe("The disk fails");
  expect(filesDone).toBe(0);
  await pool.close();
});

test("stageDataset() refuses what has no room, before and while it fetches", async () => {
  await using bed = await StagingBed.open();
  await bed.write("set/one", 100_000);
  const pool = await bed.pool();
  const sizeMax = 99_999;
  const none = { kind: "no_room", size: 100_000, sizeMax } as const;
  expect(await bed.stage(pool, "/set", { sizeMax })).toEqual(none);
  // What else is staged takes the room.
  await bed.write("other/large", (1 << 24) - 60_000);
  expect(await bed.stage(pool, "/other")).toMatchObject({ kind: "staged" });
  expect(await bed.stage(pool, "/set")).toMatchObject({ kind: "no_room" });
  await pool.images.release("/other");
  expect(await bed.stage(pool, "/set")).toMatchObject({ kind: "staged" });
  await pool.close();
});

/** Folders whose entries follow from their number: `foldersOf` and `filesOf` say how many. */
function endlessService(filesOf: number, foldersOf: number, depth: number): FileService {
  const make = (inode: bigint, kind: string) => ({
    kind,
    ref: { inode, home: 0n },
    size: 0,
    contentVersion: 1n,
  });
  const list = async (
    inode: bigint,
    cookie: Uint8Array | undefined,
  ): Promise<FilePage | FileRefusal> => {
    const level = Number(inode >> 40n);
    const page = cookie === undefined ? 0 : cookie[0]!;
    const folders = page === 0 && level < depth ? foldersOf : 0;
    const files = Math.min(1000, filesOf - page * 1000);
    const entries = [
      ...Array.from({ length: folders }, (_, i) => ({
        name: Buffer.from(`d${i}`),
        attributes: make((BigInt(level + 1) << 40n) | BigInt(i), "directory"),
      })),
      ...Array.from({ length: files }, (_, i) => ({
        name: Buffer.from(`f${page}-${i}`),
        attributes: make(0x7fff_0000_0000_0000n + BigInt(page * 1000 + i), "file"),
      })),
    ];
    const next = (page + 1) * 1000 < filesOf ? Buffer.from([page + 1]) : undefined;
    return { kind: "page", entries, next } as unknown as FilePage;
  };
  const root = { inode: 0n, home: 0n };
  return { root, list, attributes: async () => make(0n, "directory") } as unknown as FileService;
}

test("walkDataset() says how many files there are past the limit, and what lies too deep", async () => {
  const many = await walkDataset(endlessService(walkFilesMax + 1234, 0, 0), [], never);
  expect(many).toEqual({ kind: "too_many_files", count: walkFilesMax + 1234 });
  const all = await walkDataset(endlessService(walkFilesMax, 0, 0), [], never);
  expect(all).toMatchObject({ kind: "walked", files: { length: walkFilesMax } });
  const deep = await walkDataset(endlessService(1, 1, 10), [], never);
  expect(deep).toMatchObject({ kind: "walked", files: { length: 11 } });
  const path = Array.from({ length: 11 }, () => "d0").join("/");
  expect(await walkDataset(endlessService(1, 1, 11), [], never)).toEqual({
    kind: "too_deep",
    path,
  });
});

test("datasetNames() takes a path apart, and nameText() writes what is no UTF-8", () => {
  expect(datasetNames("//a/b c/")).toEqual(["a", "b c"]);
  expect(datasetNames("/")).toEqual([]);
  for (const path of ["/a/../b", "./a", `/${"x".repeat(256)}`, "a\0b"])
    expect(datasetNames(path)).toBeUndefined();
  expect(nameText(Buffer.from("naïve"))).toBe("naïve");
  expect(nameText(Buffer.from("100%"))).toBe("100%25");
  expect(nameText(Uint8Array.of(0x61, 0xff, 0x25))).toBe("a%FF%25");
});
