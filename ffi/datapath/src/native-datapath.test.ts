import { expect, test } from "bun:test";
import { closeSync, existsSync, openSync, writeSync } from "node:fs";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { chunkId, newBytes, prngFromSeed, sealId } from "@kiseki/base";
import type { Datapath, FetchJob, FragmentSource, OpenJob, Profile, SealJob } from "@kiseki/ports";
import { DatapathError, fragmentStride, segmentOverhead, segmentSize } from "@kiseki/ports";
import { openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");
const options = { directory, arenaSize: 32 << 20, computeThreads: 2, deviceThreads: 4 };
const blockSize = 4096;
const mebibyte = 1024 * 1024;
const identity = {
  chunkId: chunkId(newBytes(32).fill(1)),
  sealId: sealId(newBytes(16).fill(2)),
  dek: newBytes(32).fill(3),
};

interface Folder extends AsyncDisposable {
  prepare(name: string, size: number): Promise<string>;
}
async function openFolder(): Promise<Folder> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-native-"));
  return {
    async prepare(name, size) {
      const path = join(folder, name);
      await using file = await open(path, "wx");
      await file.truncate(size);
      return path;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
async function codeOf(act: Promise<unknown>): Promise<string> {
  try {
    await act;
  } catch (reason) {
    if (reason instanceof DatapathError) return reason.code;
    throw reason;
  }
  return "none";
}

/** Seals `size` bytes and appends each fragment at block 1 of its own device, headers of 192 bytes. */
async function store(
  datapath: Datapath,
  folder: Folder,
  profile: Profile,
  plain: Uint8Array,
  direct: boolean,
  dek = identity.dek,
): Promise<{ readonly sources: FragmentSource[]; readonly paths: string[] }> {
  const size = plain.byteLength;
  const total = profile.kind === "copies" ? 1 : profile.data + profile.parity;
  using lease = datapath.arena.lend(size)!;
  lease.bytes.set(plain);
  using target = datapath.arena.lend(total * fragmentStride(profile, size, 192))!;
  using padding = datapath.arena.lend(blockSize)!;
  const source = { lease, offset: 0, size };
  const sources: FragmentSource[] = [];
  const paths: string[] = [];
  const job = { source, identity: { ...identity, dek }, profile, headerRoom: 192, target };
  for (const made of await datapath.seal(job)) {
    const whole = 192 + made.size;
    const length = Math.ceil(whole / blockSize) * blockSize;
    const path = await folder.prepare(`fragment-${made.index}`, blockSize + length);
    paths.push(path);
    const { slot } = await datapath.openDevice({ path, direct });
    const header = newBytes(192).fill(made.index);
    target.bytes.set(header, made.offset - 192);
    const ranges = [{ lease: target, offset: made.offset - 192, size: whole }];
    if (length > whole) ranges.push({ lease: padding, offset: 0, size: length - whole });
    await datapath.append({ device: slot, offset: blockSize, ranges, sync: true });
    const { index, size: stored, crc32c } = made;
    sources.push({ index, device: slot, offset: blockSize + 192, size: stored, crc32c, header });
  }
  return { sources, paths };
}

test("open() of a range reads only what its segments need", async () => {
  await using folder = await openFolder();
  await using datapath = openDatapath(options);
  const plain = prngFromSeed(11).fill(newBytes(16 * segmentSize));
  const profile: Profile = { kind: "ec", data: 4, parity: 2 };
  const { sources, paths } = await store(datapath, folder, profile, plain, false);
  // Ruin everything but the second segment of fragment 1, and the headers.
  for (const [index, path] of paths.entries()) {
    const file = openSync(path, "r+");
    const junk = newBytes(segmentSize + segmentOverhead).fill(0x99);
    for (let segment = 0; segment < 4; segment++)
      if (index !== 1 || segment !== 1)
        writeSync(file, junk, 0, junk.byteLength, blockSize + 192 + segment * junk.byteLength);
    closeSync(file);
  }
  using target = datapath.arena.lend(segmentSize)!;
  const job: OpenJob = {
    identity,
    profile,
    size: plain.byteLength,
    fragments: sources,
    segmentFirst: 5,
    segmentEnd: 6,
    target: { lease: target, offset: 0, size: segmentSize },
  };
  expect(await datapath.open(job)).toEqual({ kind: "opened", faults: [] });
  const wanted = plain.subarray(5 * segmentSize, 6 * segmentSize);
  expect(Buffer.compare(target.bytes, wanted)).toBe(0);
  const next = await datapath.open({ ...job, segmentFirst: 6, segmentEnd: 7 });
  expect(next.kind).toBe("lost");
});

test("append() of a large part passes the page cache by, and reads see it all the same", async () => {
  await using folder = await openFolder();
  await using datapath = openDatapath(options);
  const prng = prngFromSeed(13);
  const path = await folder.prepare("device", 8 * mebibyte);
  const { slot } = await datapath.openDevice({ path, direct: false });
  using lease = datapath.arena.lend(3 * mebibyte)!;
  using target = datapath.arena.lend(3 * mebibyte)!;
  const read = async (offset: number, size: number): Promise<Uint8Array> => {
    await datapath.read(slot, offset, { lease: target, offset: 0, size });
    return target.bytes.slice(0, size);
  };
  const expected = newBytes(8 * mebibyte);
  for (const [offset, sizes] of [
    [0, [2 * mebibyte]], // whole pages
    [mebibyte, [100, 1.5 * mebibyte, 5000, 3092]], // parts that begin and end inside pages
    [mebibyte, [blockSize]], // small: through the cache, into what went by it
    [mebibyte - blockSize, [1.5 * mebibyte]], // over what is cached by now
    [5 * mebibyte + 512, [mebibyte]], // not whole pages
  ] as const) {
    await read(0, 3 * mebibyte); // all of it is cached
    prng.fill(lease.bytes);
    let at = 0;
    const ranges = sizes.map((size) => ({ lease, offset: (at += size) - size, size }));
    await datapath.append({ device: slot, offset, ranges, sync: true });
    expected.set(lease.bytes.subarray(0, at), offset);
    expect(Buffer.compare(await read(offset, at), lease.bytes.subarray(0, at))).toBe(0);
    expect(Buffer.compare(await read(0, 3 * mebibyte), expected.subarray(0, 3 * mebibyte))).toBe(0);
    expect(Buffer.compare(await readFile(path), expected)).toBe(0);
  }
  expect(
    await codeOf(
      datapath.append({
        device: slot,
        offset: 7 * mebibyte,
        ranges: [{ lease, offset: 0, size: 2 * mebibyte }],
        sync: true,
      }),
    ),
  ).toBe("no_space");

  // What went by the cache has to be waited for once.
  const plain = prng.fill(newBytes(2 * mebibyte));
  const { sources } = await store(datapath, folder, { kind: "copies", copies: 1 }, plain, false);
  const job: OpenJob = {
    identity,
    profile: { kind: "copies", copies: 1 },
    size: plain.byteLength,
    fragments: sources,
    segmentFirst: 3,
    segmentEnd: 4,
    target: { lease: target, offset: 0, size: segmentSize },
  };
  expect(datapath.openNow(job)).toBeUndefined();
  expect(await datapath.open(job)).toEqual({ kind: "opened", faults: [] });
  expect(datapath.openNow(job)?.kind).toBe("opened");
});

/** Drops what the system has cached of a file. */
async function dropCached(path: string): Promise<void> {
  const script =
    "import os,sys;f=os.open(sys.argv[1],os.O_RDONLY);os.fsync(f);os.posix_fadvise(f,0,0,os.POSIX_FADV_DONTNEED)";
  expect(await Bun.spawn(["python3", "-c", script, path]).exited).toBe(0);
}

for (const profile of [
  { kind: "copies", copies: 2 },
  { kind: "ec", data: 4, parity: 2 },
] satisfies Profile[]) {
  test(`readSealedNow() of ${profile.kind} reads what is cached and leaves the rest to readSealed()`, async () => {
    await using folder = await openFolder();
    await using datapath = openDatapath(options);
    const plain = prngFromSeed(13).fill(newBytes(5000));
    const { sources, paths } = await store(datapath, folder, profile, plain, false);
    using target = datapath.arena.lend(segmentSize)!;
    const size = plain.byteLength;
    const job: FetchJob = {
      profile,
      size,
      fragments: sources,
      ...{ segmentFirst: 0, segmentEnd: 1, isVerifying: false },
      target: { lease: target, offset: 100, size: size + segmentOverhead },
    };
    expect(datapath.readSealedNow(job)).toBe(true);
    const sealed = target.bytes.slice(100, 100 + size + segmentOverhead);
    await dropCached(paths[0]!);
    target.bytes.fill(0);
    expect(datapath.readSealedNow(job)).toBe(false);
    expect(await datapath.readSealed(job)).toEqual({ kind: "fetched", faults: [] });
    expect(target.bytes.slice(100, 100 + sealed.byteLength)).toEqual(sealed);
    expect(datapath.readSealedNow(job)).toBe(true);
    expect(datapath.readSealedNow({ ...job, isVerifying: true })).toBe(false);
    await datapath.closeDevice(sources[0]!.device);
    expect(datapath.readSealedNow(job)).toBe(false);
  });

  test(`openNow() of ${profile.kind} opens what is cached and leaves the rest to open()`, async () => {
    await using folder = await openFolder();
    await using datapath = openDatapath(options);
    const plain = prngFromSeed(12).fill(newBytes(segmentSize));
    const { sources, paths } = await store(datapath, folder, profile, plain, false);
    using target = datapath.arena.lend(2 * segmentSize)!;
    const job: OpenJob = {
      identity,
      profile,
      size: plain.byteLength,
      fragments: sources,
      segmentFirst: 0,
      segmentEnd: 1,
      target: { lease: target, offset: 0, size: segmentSize },
    };
    const isRead = () => Buffer.compare(target.bytes.subarray(0, segmentSize), plain) === 0;
    expect(datapath.openNow(job)).toEqual({ kind: "opened", faults: [] });
    expect(isRead()).toBe(true);

    // It would have to wait.
    target.bytes.fill(0);
    await dropCached(paths[0]!);
    expect(datapath.openNow(job)).toBeUndefined();
    expect(await datapath.open(job)).toEqual({ kind: "opened", faults: [] });
    expect(isRead()).toBe(true);
    expect(datapath.openNow(job)?.kind).toBe("opened"); // now it is cached

    // A byte is wrong: the fault is found by whoever may look further.
    const file = openSync(paths[0]!, "r+");
    writeSync(file, newBytes(16).fill(0x99), 0, 16, blockSize + 192 + 100);
    closeSync(file);
    target.bytes.fill(0);
    expect(datapath.openNow(job)).toBeUndefined();
    const found = await datapath.open(job);
    expect(found.faults).toEqual([{ index: 0, fault: "crc" }]);

    // A device that is closed is no reason to throw.
    await datapath.closeDevice(sources[0]!.device);
    expect(datapath.openNow(job)).toBeUndefined();
    const wide = { ...job, size: 2 * segmentSize, segmentEnd: 2 };
    expect(datapath.openNow(wide)).toBeUndefined();
  });
}

test("open() names the fragment that was tampered with", async () => {
  await using folder = await openFolder();
  await using datapath = openDatapath(options);
  const plain = prngFromSeed(12).fill(newBytes(700_000));
  const profile: Profile = { kind: "ec", data: 4, parity: 2 };
  const { sources } = await store(datapath, folder, profile, plain, false);
  const forged = await store(
    datapath,
    { ...folder, prepare: (name, size) => folder.prepare(`${name}-forged`, size) },
    profile,
    plain,
    false,
    newBytes(32).fill(4),
  );
  const fragments = sources.map((source, i) => (i === 2 || i === 5 ? forged.sources[i]! : source));
  using target = datapath.arena.lend(700_000)!;
  const outcome = await datapath.open({
    identity,
    profile,
    size: 700_000,
    fragments,
    segmentFirst: 0,
    segmentEnd: 11,
    target: { lease: target, offset: 0, size: 700_000 },
  });
  const faults = [2, 5].map((index) => ({ index, fault: "tag" }));
  expect(outcome as unknown).toEqual({ kind: "opened", faults });
  expect(Buffer.compare(target.bytes, plain)).toBe(0);
});

test("a direct device takes whole blocks, packs odd ranges, and reads at any offset", async () => {
  await using folder = await openFolder();
  await using datapath = openDatapath(options);
  const plain = prngFromSeed(14).fill(newBytes(700_000));
  const profile: Profile = { kind: "ec", data: 3, parity: 2 };
  const { sources } = await store(datapath, folder, profile, plain, true);
  using target = datapath.arena.lend(700_000)!;
  for (const gone of [[], [0, 2]]) {
    const fragments = sources.filter(({ index }) => !gone.includes(index));
    const outcome = await datapath.open({
      identity,
      profile,
      size: 700_000,
      fragments,
      segmentFirst: 1,
      segmentEnd: 11,
      target: { lease: target, offset: 5, size: 700_000 - segmentSize },
    });
    expect(outcome).toEqual({ kind: "opened", faults: [] });
    const found = target.bytes.subarray(5, 5 + 700_000 - segmentSize);
    expect(Buffer.compare(found, plain.subarray(segmentSize))).toBe(0);
  }
  const { device } = sources[0]!;
  await datapath.read(device, 4287, { lease: target, offset: 3, size: 10 });
  expect([...target.bytes.subarray(3, 13)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // header of 0, nonce 0
  const append = (offset: number, size: number) =>
    codeOf(
      datapath.append({
        device,
        offset,
        ranges: [{ lease: target, offset: 0, size }],
        sync: false,
      }),
    );
  expect(await append(100, blockSize)).toBe("bad_argument");
  expect(await append(blockSize, 100)).toBe("bad_argument");
  expect(await append(blockSize, blockSize)).toBe("none");
});

test("a read-only device refuses append(); a folder is no device", async () => {
  await using folder = await openFolder();
  await using datapath = openDatapath(options);
  const path = await folder.prepare("device", 2 * blockSize);
  const { slot } = await datapath.openDevice({ path, direct: false, readOnly: true });
  using lease = datapath.arena.lend(blockSize)!;
  const ranges = [{ lease, offset: 0, size: blockSize }];
  expect(await codeOf(datapath.append({ device: slot, offset: 0, ranges, sync: true }))).toBe("io");
  expect(await codeOf(datapath.openDevice({ path: join(path, ".."), direct: false }))).toBe("io");
});

const hasLoop = process.getuid?.() === 0 && existsSync("/dev/loop-control");

test.skipIf(!hasLoop)(
  "discard() tells a block device, and no more of it than was asked",
  async () => {
    await using folder = await openFolder();
    const image = await folder.prepare("image", 8 * mebibyte);
    const lent = Bun.spawnSync(["losetup", "--find", "--show", image]);
    const path = lent.stdout.toString().trim();
    expect(path).toStartWith("/dev/loop");
    const limit = `/sys/block/${basename(path)}/queue/discard_max_bytes`;
    const takesDiscard = Number(await readFile(limit, "utf8")) > 0;
    try {
      await using datapath = openDatapath(options);
      const { slot, size } = await datapath.openDevice({ path, direct: false });
      expect(size).toBe(8 * mebibyte);
      using lease = datapath.arena.lend(4 * mebibyte)!;
      lease.bytes.fill(7);
      const all = { lease, offset: 0, size: 4 * mebibyte };
      await datapath.append({ device: slot, offset: 0, ranges: [all], sync: true });
      for (const [offset, size] of [
        [mebibyte, 8 * mebibyte], // beyond its end
        [100, blockSize],
        [0, 0],
      ] as const)
        expect(await codeOf(datapath.discard(slot, offset, size)!)).toBe("bad_argument");
      await datapath.discard(slot, mebibyte, 2 * mebibyte);
      await datapath.read(slot, 0, all);
      const shown = (at: number) =>
        new Set(lease.bytes.subarray(at * mebibyte, (at + 1) * mebibyte));
      const gone = new Set([takesDiscard ? 0 : 7]);
      expect([0, 1, 2, 3].map(shown)).toEqual([new Set([7]), gone, gone, new Set([7])]);
      await datapath.closeDevice(slot);
      expect(datapath.discard(slot, 0, blockSize)).toBeUndefined();
    } finally {
      Bun.spawnSync(["losetup", "--detach", path]);
    }
  },
);

test("jobs refuse ranges outside their lease, lengths that do not fit, sources over targets", async () => {
  await using datapath = openDatapath(options);
  using lease = datapath.arena.lend(100_000)!;
  using target = datapath.arena.lend(200_000)!;
  const job: SealJob = {
    source: { lease, offset: 0, size: 100_000 },
    identity,
    profile: { kind: "ec", data: 2, parity: 1 },
    headerRoom: 192,
    target,
  };
  expect(await codeOf(datapath.seal({ ...job, target: lease }))).toBe("bad_argument");
  expect(await codeOf(datapath.seal({ ...job, source: { lease, offset: 1, size: 100_000 } }))).toBe(
    "bad_argument",
  );
  expect(await codeOf(datapath.seal({ ...job, source: { lease, offset: 0, size: 0 } }))).toBe(
    "bad_argument",
  );
  const unknown: Profile = { kind: "ec", data: 5, parity: 4 };
  expect(await codeOf(datapath.seal({ ...job, profile: unknown }))).toBe("bad_argument");
  using room = datapath.arena.lend(3 * fragmentStride(job.profile, 100_000, 192))!;
  expect(await codeOf(datapath.seal({ ...job, target: room }))).toBe("none");
});

test("many more jobs than records all settle, and disposal waits for them", async () => {
  const datapath = openDatapath(options);
  using lease = datapath.arena.lend(1 << 20)!;
  lease.bytes.fill(7);
  const source = { lease, offset: 0, size: 20_000 };
  const jobs = Array.from({ length: 3000 }, () => datapath.hash({ source, own: true }));
  using state = datapath.openHash(["crc32c"]);
  expect(datapath.digest(state).size).toBe(1); // at once, however many are in flight
  const closed = datapath[Symbol.asyncDispose]();
  const digests = await Promise.all(jobs);
  await closed;
  expect(new Set(digests.map(({ sha256 }) => Buffer.from(sha256!).toString("hex"))).size).toBe(1);
  expect(await codeOf(datapath.hash({ source, own: true }))).toBe("closed");
});
