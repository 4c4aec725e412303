import { expect, test } from "bun:test";
import type { Prng } from "@kiseki/base";
import { chunkId, newBytes, prngFromSeed, sealId, toHex } from "@kiseki/base";
import type {
  ArenaLease,
  Datapath,
  FragmentSource,
  OpenOutcome,
  Profile,
  SealIdentity,
} from "./datapath.ts";
import { fragmentStoredSize, fragmentStride, segmentSize } from "./datapath.ts";
import type { DatapathPlace, OpenDatapathPlace } from "./datapath.contract.ts";

const blockSize = 4096;
const headerRoom = 192;
const profiles: readonly Profile[] = [
  { kind: "copies", copies: 1 },
  { kind: "copies", copies: 2 },
  { kind: "copies", copies: 3 },
  { kind: "ec", data: 2, parity: 1 },
  { kind: "ec", data: 3, parity: 1 },
  { kind: "ec", data: 3, parity: 2 },
  { kind: "ec", data: 4, parity: 2 },
  { kind: "ec", data: 8, parity: 3 },
];
const sizes = [1, 4095, 65_536, 65_537, 4 * 1024 * 1024];

const totalOf = (profile: Profile): number =>
  profile.kind === "copies" ? profile.copies : profile.data + profile.parity;
const toleranceOf = (profile: Profile): number =>
  profile.kind === "copies" ? profile.copies - 1 : profile.parity;
const nameOf = (profile: Profile): string =>
  profile.kind === "copies" ? `${profile.copies} copies` : `${profile.data}+${profile.parity}`;

/** Sets of up to `countMax` numbers below `total`. */
function* subsets(total: number, countMax: number): Generator<number[]> {
  for (let bits = 0; bits < 1 << total; bits++) {
    const chosen = Array.from({ length: total }, (_, i) => i).filter((i) => (bits >> i) & 1);
    if (chosen.length <= countMax) yield chosen;
  }
}

/** A chunk that was sealed and appended: one fragment a device, its header at block 1. */
class StoredChunk implements Disposable {
  readonly datapath: Datapath;
  readonly profile: Profile;
  readonly size: number;
  readonly plain: ArenaLease;
  readonly identity: SealIdentity;
  readonly sources: FragmentSource[] = [];

  private constructor(datapath: Datapath, profile: Profile, size: number, prng: Prng) {
    this.datapath = datapath;
    this.profile = profile;
    this.size = size;
    this.plain = datapath.arena.lend(size)!;
    prng.fill(this.plain.bytes);
    this.identity = {
      chunkId: chunkId(prng.fill(newBytes(32))),
      sealId: sealId(prng.fill(newBytes(16))),
      dek: prng.fill(newBytes(32)),
    };
  }
  static async store(place: DatapathPlace, profile: Profile, size: number): Promise<StoredChunk> {
    const chunk = new StoredChunk(place.datapath, profile, size, prngFromSeed(size));
    const stride = fragmentStride(profile, size, headerRoom);
    const payloads = profile.kind === "copies" ? 1 : totalOf(profile);
    using target = place.datapath.arena.lend(payloads * stride)!;
    target.bytes.fill(0xdb); // what was there before must not get into parity
    const source = { lease: chunk.plain, offset: 0, size };
    const { identity, datapath } = chunk;
    const sealed = await datapath.seal({ source, identity, profile, headerRoom, target });
    expect(sealed.map(({ index }) => index)).toEqual(Array.from({ length: payloads }, (_, i) => i));
    for (let index = 0; index < totalOf(profile); index++) {
      const fragment = sealed[profile.kind === "copies" ? 0 : index]!;
      expect(fragment.size).toBe(fragmentStoredSize(profile, size, index));
      const header = newBytes(headerRoom).fill(0x40 + index);
      target.bytes.set(header, fragment.offset - headerRoom);
      const whole = headerRoom + fragment.size;
      const devicePath = await place.prepareDevice((2 + Math.ceil(whole / blockSize)) * blockSize);
      const { slot } = await datapath.openDevice({ path: devicePath, direct: false });
      using padding = datapath.arena.lend(blockSize)!;
      padding.bytes.fill(0xfe); // what follows a fragment is not zeros
      const rest = blockSize - (whole % blockSize);
      const ranges = [
        { lease: target, offset: fragment.offset - headerRoom, size: whole },
        { lease: padding, offset: 0, size: rest },
      ];
      await datapath.append({ device: slot, offset: blockSize, ranges, sync: false });
      const offset = blockSize + headerRoom;
      const { size: stored, crc32c } = fragment;
      chunk.sources.push({ index, device: slot, offset, size: stored, crc32c, header });
    }
    return chunk;
  }
  get segments(): number {
    return Math.ceil(this.size / segmentSize);
  }
  /** Opens segments `[first, end)` from `sources` and compares the plaintext. */
  async open(
    sources: readonly FragmentSource[] = this.sources,
    first = 0,
    end = this.segments,
    identity = this.identity,
  ): Promise<OpenOutcome> {
    const { profile, size } = this;
    const wanted = this.plain.bytes.subarray(first * segmentSize, end * segmentSize);
    using target = this.datapath.arena.lend(wanted.byteLength + 3)!;
    target.bytes.fill(0xdb);
    const outcome = await this.datapath.open({
      identity,
      profile,
      size,
      fragments: sources,
      segmentFirst: first,
      segmentEnd: end,
      target: { lease: target, offset: 3, size: wanted.byteLength },
    });
    const found = target.bytes.subarray(3);
    expect(target.bytes.subarray(0, 3).every((byte) => byte === 0xdb)).toBe(true);
    // Compared as text only where they differ: 4 MiB of hex in a message help nobody.
    const isEqual = Buffer.compare(found, wanted) === 0;
    if (outcome.kind === "opened") expect(isEqual).toBe(true);
    else expect(isEqual).toBe(false);
    return outcome;
  }
  without(lost: readonly number[]): FragmentSource[] {
    return this.sources.filter(({ index }) => !lost.includes(index));
  }
  /** Turns one bit of a device, `at` counted from the start of fragment `index`'s payload. */
  async flip(index: number, at: number): Promise<void> {
    const source = this.sources[index]!;
    const place = source.offset + at;
    const offset = Math.floor(place / blockSize) * blockSize;
    using block = this.datapath.arena.lend(blockSize)!;
    const range = { lease: block, offset: 0, size: blockSize };
    await this.datapath.read(source.device, offset, range);
    block.bytes[place - offset] = block.bytes[place - offset]! ^ 0x10;
    await this.datapath.append({ device: source.device, offset, ranges: [range], sync: false });
  }
  [Symbol.dispose](): void {
    this.plain[Symbol.dispose]();
  }
}

export function sealedChunkContract(name: string, open: OpenDatapathPlace): void {
  for (const profile of profiles) {
    roundTripContract(`${name}, ${nameOf(profile)}`, open, profile);
    damageContract(`${name}, ${nameOf(profile)}`, open, profile);
    rebuildContract(`${name}, ${nameOf(profile)}`, open, profile);
  }
  tamperingContract(name, open);
}

function roundTripContract(name: string, open: OpenDatapathPlace, profile: Profile): void {
  for (const size of sizes) {
    test(`${name}: open() answers what seal() took, ${size} bytes`, async () => {
      await using place = await open();
      using chunk = await StoredChunk.store(place, profile, size);
      expect(await chunk.open()).toEqual({ kind: "opened", faults: [] });
      const lost = Array.from({ length: toleranceOf(profile) }, (_, i) => i);
      expect((await chunk.open(chunk.without(lost))).kind).toBe("opened");
    });
  }

  for (const size of [1, 150_000]) {
    test(`${name}: open() survives every set of lost fragments up to parity, ${size} bytes`, async () => {
      await using place = await open();
      using chunk = await StoredChunk.store(place, profile, size);
      for (const lost of subsets(totalOf(profile), toleranceOf(profile)))
        expect(await chunk.open(chunk.without(lost))).toEqual({ kind: "opened", faults: [] });
    });
  }

  test(`${name}: open() of any range of segments answers just these, also degraded`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, profile, 9 * segmentSize + 77);
    const lost = Array.from({ length: toleranceOf(profile) }, (_, i) => 2 * i);
    for (let first = 0; first < chunk.segments; first++) {
      for (let end = first + 1; end <= chunk.segments; end++) {
        expect((await chunk.open(chunk.sources, first, end)).kind).toBe("opened");
        expect((await chunk.open(chunk.without(lost), first, end)).kind).toBe("opened");
      }
    }
  });

  test(`${name}: what earlier chunks left in memory does not get into a decoded one`, async () => {
    await using place = await open();
    using large = await StoredChunk.store(place, profile, 1_500_000);
    using small = await StoredChunk.store(place, profile, 150_000);
    const lost = Array.from({ length: toleranceOf(profile) }, (_, i) => i);
    const opens = [
      [large, large.sources],
      [large, large.without(lost)],
      [small, small.without(lost)],
    ] as const;
    for (const [chunk, sources] of opens) {
      const outcomes = Array.from({ length: 8 }, () => chunk.open(sources)); // on every thread
      for (const { kind } of await Promise.all(outcomes)) expect(kind).toBe("opened");
    }
  });

  test(`${name}: open() says lost when too few fragments are left`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, profile, 700_000);
    const lost = Array.from({ length: toleranceOf(profile) + 1 }, (_, i) => i);
    expect(await chunk.open(chunk.without(lost))).toEqual({ kind: "lost", faults: [] });
    expect((await chunk.open([])).kind).toBe("lost");
  });
}

function damageContract(name: string, open: OpenDatapathPlace, profile: Profile): void {
  const canHeal = toleranceOf(profile) > 0;
  const kind = canHeal ? "opened" : "lost";
  test(`${name}: a bit turned in payload, tag or header is found; ${kind}`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, profile, 700_000);
    const [source] = chunk.sources;
    const places = [
      [0, "crc"], // the nonce
      [4711, "crc"],
      [source!.size - 1, "crc"], // the last tag
      [-1, "header"],
      [-headerRoom, "header"],
    ] as const;
    for (const [at, fault] of places) {
      await chunk.flip(0, at);
      expect(await chunk.open()).toEqual({ kind, faults: [{ index: 0, fault }] });
      expect(await chunk.datapath.verify(source!)).toBe(fault);
      await chunk.flip(0, at);
      expect(await chunk.datapath.verify(source!)).toBeUndefined();
    }
    expect(await chunk.open()).toEqual({ kind: "opened", faults: [] });
  });

  test(`${name}: a device that is gone counts as a lost fragment; ${kind}`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, profile, 700_000);
    await chunk.datapath.closeDevice(chunk.sources[0]!.device);
    expect(await chunk.open()).toEqual({ kind, faults: [{ index: 0, fault: "io" }] });
    expect(await chunk.datapath.verify(chunk.sources[0]!)).toBe("io");
  });
}

function rebuildContract(name: string, open: OpenDatapathPlace, profile: Profile): void {
  for (const size of [1, 150_000, 1_500_000]) {
    test(`${name}: rebuild() makes the same fragments again, ${size} bytes`, async () => {
      await using place = await open();
      using chunk = await StoredChunk.store(place, profile, size);
      const stride = fragmentStride(profile, size, headerRoom);
      using target = chunk.datapath.arena.lend(totalOf(profile) * stride)!;
      const job = { profile, size, headerRoom, target };
      for (const wanted of subsets(totalOf(profile), toleranceOf(profile))) {
        if (wanted.length === 0 || (size > 1 && wanted.length < toleranceOf(profile))) continue;
        target.bytes.fill(0xdb);
        const fragments = chunk.without(wanted);
        const outcome = await chunk.datapath.rebuild({ ...job, fragments, wanted });
        if (outcome.kind !== "rebuilt") throw new Error(`must be rebuilt, not ${outcome.kind}`);
        expect(outcome.faults).toEqual([]);
        expect(outcome.fragments.map(({ index }) => index)).toEqual(wanted);
        for (const made of outcome.fragments) {
          const { size: storedSize, crc32c, offset, device } = chunk.sources[made.index]!;
          expect([made.size, made.crc32c]).toEqual([storedSize, crc32c]);
          if (storedSize === 0) continue;
          using stored = chunk.datapath.arena.lend(storedSize)!;
          await chunk.datapath.read(device, offset, { lease: stored, offset: 0, size: storedSize });
          const bytes = target.bytes.subarray(made.offset, made.offset + made.size);
          expect(Buffer.compare(bytes, stored.bytes)).toBe(0);
        }
      }
    });
  }

  test(`${name}: rebuild() says lost when too few good fragments are left`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, profile, 150_000);
    const stride = fragmentStride(profile, chunk.size, headerRoom);
    using target = chunk.datapath.arena.lend(totalOf(profile) * stride)!;
    for (let i = 0; i <= toleranceOf(profile); i++) await chunk.flip(i, 5);
    const { size, sources: fragments } = chunk;
    const outcome = await chunk.datapath.rebuild({
      profile,
      size,
      headerRoom,
      target,
      fragments,
      wanted: [0],
    });
    const faults = Array.from({ length: toleranceOf(profile) + 1 }, (_, index) => ({
      index,
      fault: "crc" as const,
    }));
    expect(outcome).toEqual({ kind: "lost", faults });
  });
}

/** As one who can write devices and headers would: other bytes under a right CRC. */
async function forge(chunk: StoredChunk, index: number, at: number): Promise<void> {
  const source = chunk.sources[index]!;
  await chunk.flip(index, at);
  using payload = chunk.datapath.arena.lend(source.size)!;
  const range = { lease: payload, offset: 0, size: source.size };
  await chunk.datapath.read(source.device, source.offset, range);
  using state = chunk.datapath.openHash(["crc32c"]);
  await chunk.datapath.hash({ state, source: range, own: false });
  const crc32c = Number.parseInt(toHex(chunk.datapath.digest(state).get("crc32c")!), 16);
  chunk.sources[index] = { ...source, crc32c };
  expect(await chunk.datapath.verify(chunk.sources[index])).toBeUndefined();
}

function tamperingContract(name: string, open: OpenDatapathPlace): void {
  for (const profile of profiles) {
    test(`${name}, ${nameOf(profile)}: open() finds a set that opens, or says tampered`, async () => {
      await using place = await open();
      using chunk = await StoredChunk.store(place, profile, 700_000);
      for (let i = 0; i < toleranceOf(profile); i++) {
        await forge(chunk, i, 33);
        expect((await chunk.open()).kind).toBe("opened");
      }
      await forge(chunk, toleranceOf(profile), 33);
      expect((await chunk.open()).kind).toBe("tampered");
    });
  }

  test(`${name}: open() binds key, chunk id and seal id`, async () => {
    await using place = await open();
    using chunk = await StoredChunk.store(place, { kind: "copies", copies: 1 }, 700_000);
    const { sources, segments, identity } = chunk;
    const others: SealIdentity[] = [
      { ...identity, dek: newBytes(32).fill(1) },
      { ...identity, chunkId: chunkId(newBytes(32).fill(1)) },
      { ...identity, sealId: sealId(newBytes(16).fill(1)) },
    ];
    for (const other of others)
      expect((await chunk.open(sources, 0, segments, other)).kind).toBe("tampered");
  });
}
