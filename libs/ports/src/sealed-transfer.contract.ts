import { expect, test } from "bun:test";
import { chunkId, newBytes, prngFromSeed, sealId } from "@kiseki/base";
import type { DatapathPlace, OpenDatapathPlace } from "./datapath.contract.ts";
import type { ArenaLease, FetchOutcome, FragmentSource, Profile } from "./datapath.ts";
import {
  DatapathError,
  fragmentStride,
  sealedSize,
  segmentOverhead,
  segmentSize,
} from "./datapath.ts";

const blockSize = 4096;
const headerRoom = 192;
const sealedSegmentSize = segmentSize + segmentOverhead;
const profiles: readonly Profile[] = [
  { kind: "copies", copies: 2 },
  { kind: "ec", data: 2, parity: 1 },
  { kind: "ec", data: 4, parity: 2 },
];
const sizes = [1, 65_537, 5 * segmentSize + 77, 4 * 1024 * 1024];
const totalOf = (profile: Profile): number =>
  profile.kind === "copies" ? profile.copies : profile.data + profile.parity;
const nameOf = (profile: Profile): string =>
  profile.kind === "copies" ? `${profile.copies} copies` : `${profile.data}+${profile.parity}`;

/** The sealed bytes of a chunk as they come over a wire, and the fragments that the node would have made of the plaintext. */
async function sealBoth(place: DatapathPlace, profile: Profile, size: number) {
  const { datapath } = place;
  const prng = prngFromSeed(size);
  const identity = {
    chunkId: chunkId(prng.fill(newBytes(32))),
    sealId: sealId(prng.fill(newBytes(16))),
    dek: prng.fill(newBytes(32)),
  };
  using plain = datapath.arena.lend(size)!;
  prng.fill(plain.bytes);
  const source = { lease: plain, offset: 0, size };
  const sealed = datapath.arena.lend(sealedSize(size))!;
  const whole = { kind: "copies", copies: 1 } as const;
  await datapath.seal({ source, identity, profile: whole, headerRoom: 0, target: sealed });
  const target = lendTarget(place, profile, size);
  const fragments = await datapath.seal({ source, identity, profile, headerRoom, target });
  return { sealed, target, fragments };
}
function lendTarget({ datapath }: DatapathPlace, profile: Profile, size: number): ArenaLease {
  const payloads = profile.kind === "copies" ? 1 : totalOf(profile);
  const target = datapath.arena.lend(payloads * fragmentStride(profile, size, headerRoom))!;
  target.bytes.fill(0xdb); // what was there before must not get into parity
  return target;
}

/** Coded from sealed bytes, one fragment on each of as many devices. */
async function store(place: DatapathPlace, profile: Profile, sealed: ArenaLease, size: number) {
  const { datapath } = place;
  using target = lendTarget(place, profile, size);
  const source = { lease: sealed, offset: 0, size: sealedSize(size) };
  const { fragments } = await datapath.code({ source, size, profile, headerRoom, target });
  const sources: FragmentSource[] = [];
  for (let index = 0; index < totalOf(profile); index++) {
    const { offset, size: stored, crc32c } = fragments[profile.kind === "copies" ? 0 : index]!;
    const header = newBytes(headerRoom).fill(0x40 + index);
    target.bytes.set(header, offset - headerRoom);
    const room = Math.ceil((headerRoom + stored) / blockSize) * blockSize;
    const path = await place.prepareDevice(2 * blockSize + room);
    const { slot } = await datapath.openDevice({ path, direct: false });
    using block = datapath.arena.lend(room)!;
    block.bytes.set(target.bytes.subarray(offset - headerRoom, offset + stored));
    const ranges = [{ lease: block, offset: 0, size: room }];
    await datapath.append({ device: slot, offset: blockSize, ranges, sync: false });
    const at = blockSize + headerRoom;
    sources.push({ index, device: slot, offset: at, size: stored, crc32c, header });
  }
  return sources;
}

async function flip({ datapath }: DatapathPlace, source: FragmentSource, at: number) {
  const place = source.offset + at;
  const offset = Math.floor(place / blockSize) * blockSize;
  using block = datapath.arena.lend(blockSize)!;
  const range = { lease: block, offset: 0, size: blockSize };
  await datapath.read(source.device, offset, range);
  block.bytes[place - offset] = block.bytes[place - offset]! ^ 0x10;
  await datapath.append({ device: source.device, offset, ranges: [range], sync: false });
}

/** What a fetch of segments `[first, end)` answers; fetched bytes are compared with the sealed ones. */
async function read(
  { datapath }: DatapathPlace,
  job: { readonly profile: Profile; readonly size: number; readonly sealed: ArenaLease },
  fragments: readonly FragmentSource[],
  range: { readonly first?: number; readonly end?: number; readonly isVerifying?: boolean } = {},
): Promise<FetchOutcome & { readonly isRight: boolean }> {
  const { profile, size, sealed } = job;
  const { first = 0, end = Math.ceil(size / segmentSize), isVerifying = false } = range;
  const wanted = sealed.bytes.subarray(first * sealedSegmentSize, end * sealedSegmentSize);
  using target = datapath.arena.lend(wanted.byteLength + 3)!;
  target.bytes.fill(0xdb);
  const outcome = await datapath.readSealed({
    profile,
    size,
    fragments,
    segmentFirst: first,
    segmentEnd: end,
    isVerifying,
    target: { lease: target, offset: 3, size: wanted.byteLength },
  });
  expect(target.bytes.subarray(0, 3).every((byte) => byte === 0xdb)).toBe(true);
  return { ...outcome, isRight: Buffer.compare(target.bytes.subarray(3), wanted) === 0 };
}
const right = { kind: "fetched", faults: [], isRight: true } as const;

export function sealedTransferContract(name: string, open: OpenDatapathPlace): void {
  for (const profile of profiles) {
    test(`${name}, ${nameOf(profile)}: code() makes the fragments that seal() makes`, async () => {
      await using place = await open();
      for (const size of sizes) {
        const { sealed, target, fragments } = await sealBoth(place, profile, size);
        using coded = lendTarget(place, profile, size);
        const source = { lease: sealed, offset: 0, size: sealedSize(size) };
        const job = { source, size, profile, headerRoom, target: coded };
        const made = await place.datapath.code(job);
        expect(made.fragments).toEqual(fragments);
        for (const { offset, size: stored } of fragments) {
          const [one, other] = [coded, target].map(({ bytes }) =>
            bytes.subarray(offset, offset + stored),
          );
          expect(Buffer.compare(one!, other!)).toBe(0);
        }
        using state = place.datapath.openHash(["crc32c"]);
        await place.datapath.hash({ state, source, own: false });
        const crc = place.datapath.digest(state).get("crc32c")!;
        expect(made.sourceCrc).toBe(new DataView(crc.buffer, crc.byteOffset).getUint32(0));
        sealed[Symbol.dispose]();
        target[Symbol.dispose]();
      }
    });

    readContract(`${name}, ${nameOf(profile)}`, open, profile);
  }
  refusalContract(name, open);
}

function readContract(name: string, open: OpenDatapathPlace, profile: Profile): void {
  test(`${name}: readSealed() gives sealed bytes back, of any range, also degraded`, async () => {
    await using place = await open();
    for (const size of sizes) {
      const { sealed, target } = await sealBoth(place, profile, size);
      target[Symbol.dispose]();
      const sources = await store(place, profile, sealed, size);
      const job = { profile, size, sealed };
      const parity = profile.kind === "copies" ? profile.copies - 1 : profile.parity;
      const segments = Math.ceil(size / segmentSize);
      for (const fragments of [sources, sources.slice(parity)]) {
        for (const isVerifying of [false, true]) {
          expect(await read(place, job, fragments, { isVerifying })).toEqual(right);
          const range = { first: segments - 1, end: segments, isVerifying };
          expect(await read(place, job, fragments, range)).toEqual(right);
        }
      }
      // What an empty fragment holds is known without it: then fewer are enough.
      if (sources.every((source) => source.size > 0)) {
        const few = sources.slice(parity + 1);
        expect(await read(place, job, few)).toMatchObject({ kind: "lost", faults: [] });
      }
      sealed[Symbol.dispose]();
    }
  });

  test(`${name}: readSealed() finds what rotted where it verifies`, async () => {
    await using place = await open();
    const size = 9 * segmentSize + 5;
    const { sealed, target } = await sealBoth(place, profile, size);
    target[Symbol.dispose]();
    const sources = await store(place, profile, sealed, size);
    const job = { profile, size, sealed };
    await flip(place, sources[0]!, 4711);
    const first = { first: 0, end: 1 };
    const faults = [{ index: 0, fault: "crc" }];
    const verified = await read(place, job, sources, { ...first, isVerifying: true });
    expect(verified).toMatchObject({ kind: "fetched", faults, isRight: true });
    await flip(place, sources[0]!, -1);
    const outcome = await read(place, job, sources, first);
    const header = [{ index: 0, fault: "header" }];
    expect(outcome).toMatchObject({ kind: "fetched", faults: header, isRight: true });
    sealed[Symbol.dispose]();
  });
}

function refusalContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: code() refuses what is not a whole sealed chunk`, async () => {
    await using place = await open();
    const { datapath } = place;
    const [size, profile] = [100_000, profiles[1]!];
    const { sealed, target } = await sealBoth(place, profile, size);
    const source = { lease: sealed, offset: 0, size: sealedSize(size) };
    const job = { source, size, profile, headerRoom, target };
    for (const changes of [
      { size: size + 1 },
      { size: 0 },
      { source: { ...source, size: size } },
    ]) {
      await expect(datapath.code({ ...job, ...changes })).rejects.toThrow(DatapathError);
    }
    sealed[Symbol.dispose]();
    target[Symbol.dispose]();
  });
}
