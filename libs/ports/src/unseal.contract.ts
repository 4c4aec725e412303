import { expect, test } from "bun:test";
import { chunkId, newBytes, prngFromSeed, sealId } from "@kiseki/base";
import type { ArenaLease, Datapath, SealIdentity, UnsealJob } from "./datapath.ts";
import { DatapathError, sealedSize, segmentOverhead, segmentSize } from "./datapath.ts";
import type { OpenDatapathPlace } from "./datapath.contract.ts";

const sealedSegmentSize = segmentSize + segmentOverhead;
const sizes = [1, 4096, segmentSize, segmentSize + 1, 3 * segmentSize + 77, 4 * 1024 * 1024];

/** A chunk as a client makes it: plaintext and its sealed bytes side by side in the arena, no device anywhere. */
class SealedInMemory implements Disposable {
  readonly identity: SealIdentity;
  readonly plain: ArenaLease;
  readonly sealed: ArenaLease;
  readonly size: number;
  readonly #datapath: Datapath;

  private constructor(datapath: Datapath, size: number) {
    const prng = prngFromSeed(size);
    this.#datapath = datapath;
    this.size = size;
    this.identity = {
      chunkId: chunkId(prng.fill(newBytes(32))),
      sealId: sealId(prng.fill(newBytes(16))),
      dek: prng.fill(newBytes(32)),
    };
    this.plain = datapath.arena.lend(size)!;
    this.sealed = datapath.arena.lend(sealedSize(size))!;
    prng.fill(this.plain.bytes);
  }
  static async make(datapath: Datapath, size: number): Promise<SealedInMemory> {
    const made = new SealedInMemory(datapath, size);
    const fragments = await datapath.seal({
      source: { lease: made.plain, offset: 0, size },
      identity: made.identity,
      profile: { kind: "copies", copies: 1 },
      headerRoom: 0,
      target: made.sealed,
    });
    expect(fragments).toMatchObject([{ index: 0, offset: 0, size: sealedSize(size) }]);
    return made;
  }
  get segments(): number {
    return Math.ceil(this.size / segmentSize);
  }
  source(first: number, end: number): UnsealJob["source"] {
    const plainSize = Math.min(this.size, end * segmentSize) - first * segmentSize;
    const offset = first * sealedSegmentSize;
    return { lease: this.sealed, offset, size: sealedSize(plainSize) };
  }
  openInto(first: number, end: number, job: Pick<UnsealJob, "source" | "target">) {
    const { identity, size } = this;
    const segments = { segmentFirst: first, segmentEnd: end };
    return this.#datapath.unseal({ identity, size, ...segments, ...job });
  }
  /** Segments `[first, end)` out of what lies at `start` of the sealed bytes; also checks what the target holds then. */
  async unseal(
    first = 0,
    end = this.segments,
    changes: Partial<UnsealJob> = {},
  ): Promise<"opened" | "tampered"> {
    const wanted = this.plain.bytes.subarray(first * segmentSize, end * segmentSize);
    using target = this.#datapath.arena.lend(wanted.byteLength + 3)!;
    target.bytes.fill(0xdb);
    const outcome = await this.#datapath.unseal({
      identity: this.identity,
      size: this.size,
      segmentFirst: first,
      segmentEnd: end,
      source: this.source(first, end),
      target: { lease: target, offset: 3, size: wanted.byteLength },
      ...changes,
    });
    const found = target.bytes.subarray(3);
    expect(target.bytes.subarray(0, 3).every((byte) => byte === 0xdb)).toBe(true);
    expect(Buffer.compare(found, wanted) === 0).toBe(outcome === "opened");
    if (outcome === "tampered") expect(found.every((byte) => byte === 0)).toBe(true);
    return outcome;
  }
  [Symbol.dispose](): void {
    this.plain[Symbol.dispose]();
    this.sealed[Symbol.dispose]();
  }
}

export function unsealContract(name: string, open: OpenDatapathPlace): void {
  outsideContract(name, open);
  test(`${name}: unseal() answers what seal() took, of any range of segments`, async () => {
    await using place = await open();
    for (const size of sizes) {
      using chunk = await SealedInMemory.make(place.datapath, size);
      expect(await chunk.unseal()).toBe("opened");
      const { segments } = chunk;
      for (const first of [0, 1, segments - 2, segments - 1]) {
        for (const end of [first + 1, segments]) {
          if (first < 0 || first >= end || end > segments) continue;
          expect(await chunk.unseal(first, end)).toBe("opened");
        }
      }
    }
  });

  test(`${name}: unseal() finds a bit turned anywhere, and then shows no plaintext`, async () => {
    await using place = await open();
    using chunk = await SealedInMemory.make(place.datapath, 3 * segmentSize + 77);
    const { bytes } = chunk.sealed;
    for (const at of [0, 11, 12, 4711, sealedSegmentSize, bytes.byteLength - 1]) {
      bytes[at] = bytes[at]! ^ 0x10;
      expect(await chunk.unseal()).toBe("tampered");
      bytes[at] = bytes[at]! ^ 0x10;
    }
    expect(await chunk.unseal()).toBe("opened");
  });

  test(`${name}: unseal() binds key, ids, size and the place of a segment`, async () => {
    await using place = await open();
    using chunk = await SealedInMemory.make(place.datapath, 4 * segmentSize);
    const { identity, sealed } = chunk;
    const others: Partial<UnsealJob>[] = [
      { identity: { ...identity, dek: newBytes(32).fill(1) } },
      { identity: { ...identity, chunkId: chunkId(newBytes(32).fill(1)) } },
      { identity: { ...identity, sealId: sealId(newBytes(16).fill(1)) } },
      { size: 5 * segmentSize },
      { source: { lease: sealed, offset: sealedSegmentSize, size: sealedSegmentSize } },
    ];
    for (const other of others) expect(await chunk.unseal(0, 1, other)).toBe("tampered");
  });

  test(`${name}: unseal() refuses a job that makes no sense`, async () => {
    await using place = await open();
    using chunk = await SealedInMemory.make(place.datapath, 2 * segmentSize + 5);
    const { sealed } = chunk;
    const odd: Partial<UnsealJob>[] = [
      { source: { lease: sealed, offset: 0, size: sealed.bytes.byteLength - 1 } },
      { segmentFirst: 1 },
      { segmentFirst: 2, segmentEnd: 2 },
      { segmentEnd: 4 },
      { size: 0 },
      { target: { lease: chunk.plain, offset: 0, size: 2 * segmentSize + 4 } },
    ];
    for (const changes of odd) {
      await expect(chunk.unseal(0, 3, changes)).rejects.toThrow(DatapathError);
    }
  });
}

function outsideContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: unseal() opens into memory of the caller's own, if that is not small`, async () => {
    await using place = await open();
    using chunk = await SealedInMemory.make(place.datapath, 3 * segmentSize + 77);
    const room = newBytes(4 * segmentSize);
    const target = room.subarray(segmentSize, 2 * segmentSize + 77);
    const into = { target, source: chunk.source(2, 4) };
    expect(await chunk.openInto(2, 4, into)).toBe("opened");
    const wanted = chunk.plain.bytes.subarray(2 * segmentSize);
    expect(Buffer.compare(target, wanted)).toBe(0);
    expect(room.subarray(0, segmentSize).every((byte) => byte === 0)).toBe(true);
    expect(room.subarray(2 * segmentSize + 77).every((byte) => byte === 0)).toBe(true);
    chunk.sealed.bytes[3 * sealedSegmentSize + 20]! ^= 1;
    expect(await chunk.openInto(2, 4, into)).toBe("tampered");
    expect(room.every((byte) => byte === 0)).toBe(true);
    for (const size of [segmentSize + 76, segmentSize - 1]) {
      const small = { ...into, target: room.subarray(0, size) };
      await expect(chunk.openInto(2, 4, small)).rejects.toThrow(DatapathError);
    }
  });
}
