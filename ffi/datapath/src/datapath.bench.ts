/**
 * Question: what does one pool thread carry of a 4 MiB chunk at 4+2, sealed, coded, appended and opened again, next to a
 * bare memory copy of the same run; and what does a job's round trip cost?
 * Answer wanted: seal and open over 4 GB per second and thread; a round trip under 30 µs.
 * `bun ffi/datapath/src/datapath.bench.ts` runs for a few seconds, on files in the temporary folder.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunkId, MiB, newBytes, sealId } from "@kiseki/base";
import type { FragmentSource, OpenJob, Profile } from "@kiseki/ports";
import { chunkSizeMax, fragmentStride } from "@kiseki/ports";
import type { NativeDatapath } from "./native-datapath.ts";
import { openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");
const profile: Profile = { kind: "ec", data: 4, parity: 2 };
const headerRoom = 192;
const size = chunkSizeMax;
const identity = {
  chunkId: chunkId(newBytes(32).fill(1)),
  sealId: sealId(newBytes(16).fill(2)),
  dek: newBytes(32).fill(3),
};

/** Bytes (1e6) a second over `rounds` chunks. */
async function rateOf(rounds: number, act: () => Promise<unknown>): Promise<number> {
  await act();
  const started = Bun.nanoseconds();
  for (let i = 0; i < rounds; i++) await act();
  return Math.round((rounds * size * 1000) / (Bun.nanoseconds() - started));
}

async function benchChunks(datapath: NativeDatapath, folder: string, rounds: number) {
  using lease = datapath.arena.lend(size)!;
  using target = datapath.arena.lend(6 * fragmentStride(profile, size, headerRoom))!;
  using plain = datapath.arena.lend(size)!;
  const source = { lease, offset: 0, size };
  lease.bytes.fill(5);
  const seal = () => datapath.seal({ source, identity, profile, headerRoom, target });
  const made = await seal();
  const slots: number[] = [];
  for (const { index } of made) {
    const path = join(folder, `device-${index}`);
    await using file = await open(path, "wx");
    await file.truncate(2 * MiB);
    slots.push((await datapath.openDevice({ path, direct: false })).slot);
  }
  const append = (sync: boolean) =>
    Promise.all(
      made.map((fragment) => {
        const offset = fragment.offset - headerRoom;
        const ranges = [{ lease: target, offset, size: fragment.size + headerRoom }];
        return datapath.append({ device: slots[fragment.index]!, offset: 0, ranges, sync });
      }),
    );
  const sealRate = await rateOf(rounds, seal);
  const appendRate = await rateOf(rounds, () => append(false));
  const allRate = await rateOf(rounds, async () => (await seal(), await append(true)));
  const fragments = made.map((fragment): FragmentSource => {
    const { index, offset, size: stored, crc32c } = fragment;
    const header = Uint8Array.from(target.bytes.subarray(offset - headerRoom, offset));
    return { index, device: slots[index]!, offset: headerRoom, size: stored, crc32c, header };
  });
  const job: OpenJob = {
    identity,
    profile,
    size,
    fragments,
    segmentFirst: 0,
    segmentEnd: 64,
    target: { lease: plain, offset: 0, size },
  };
  const openRate = await rateOf(rounds, () => datapath.open(job));
  const degraded = { ...job, fragments: fragments.slice(2) };
  const degradedRate = await rateOf(rounds, () => datapath.open(degraded));
  const copyRate = await rateOf(rounds, async () => target.bytes.set(lease.bytes));
  return { sealRate, appendRate, allRate, openRate, degradedRate, copyRate };
}

async function benchHashes(datapath: NativeDatapath, rounds: number) {
  using lease = datapath.arena.lend(size)!;
  using state = datapath.openHash(["md5", "sha256"]);
  const source = { lease, offset: 0, size };
  const ownRate = await rateOf(rounds, () => datapath.hash({ source, own: true }));
  const bothRate = await rateOf(rounds, () => datapath.hash({ state, source, own: true }));
  return { ownRate, bothRate };
}

async function benchRoundTrips(datapath: NativeDatapath, rounds: number) {
  using lease = datapath.arena.lend(4096)!;
  const job = { source: { lease, offset: 0, size: 64 }, own: true };
  const times: number[] = [];
  const { slot } = await datapath.openDevice({
    path: import.meta.path,
    direct: false,
    readOnly: true,
  });
  const target = { lease, offset: 0, size: 64 };
  for (let i = 0; i < rounds; i++) {
    const started = Bun.nanoseconds();
    await datapath.read(slot, 0, target);
    times.push(Bun.nanoseconds() - started);
  }
  const started = Bun.nanoseconds();
  for (let i = 0; i < rounds; i++) await datapath.hash(job);
  const hereMicros = (Bun.nanoseconds() - started) / rounds / 1000;
  times.sort((a, b) => a - b);
  const roundTripMicros = times[rounds >> 1]! / 1000;
  return { roundTripMicros, hereMicros };
}

/** All figures; rates in MB (1e6) of plaintext a second of wall time. */
export async function benchDatapath({ rounds }: { readonly rounds: number }) {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-bench-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true }));
  const options = { directory, arenaSize: 32 * MiB, computeThreads: 1, deviceThreads: 6 };
  const datapath = stack.use(openDatapath(options));
  const chunks = await benchChunks(datapath, folder, rounds);
  const hashes = await benchHashes(datapath, rounds);
  return { ...chunks, ...hashes, ...(await benchRoundTrips(datapath, 20 * rounds)) };
}
if (import.meta.main)
  console.log(JSON.stringify(await benchDatapath({ rounds: 100 }), undefined, 2));
