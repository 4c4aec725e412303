import { expect, test } from "bun:test";
import { newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import type { ArenaLease, Datapath, HashAlgorithm } from "./datapath.ts";
import { DatapathError } from "./datapath.ts";
import { sealedChunkContract } from "./sealed-chunk.contract.ts";
import { sealedTransferContract } from "./sealed-transfer.contract.ts";
import { unsealContract } from "./unseal.contract.ts";

/** What a driver's test lays out for the contract. The arena holds at least 32 MiB. */
export interface DatapathPlace extends AsyncDisposable {
  readonly datapath: Datapath;
  /** Path of a new device of `size` bytes, a multiple of 4096, all zeros. */
  prepareDevice(size: number): Promise<string>;
}
export type OpenDatapathPlace = () => Promise<DatapathPlace>;

const blockSize = 4096;

export function datapathContract(name: string, open: OpenDatapathPlace): void {
  arenaContract(name, open);
  arenaRandomContract(name, open);
  borrowContract(name, open);
  hashContract(name, open);
  deviceContract(name, open);
  deviceLoadContract(name, open);
  deviceLimitContract(name, open);
  sealedChunkContract(name, open);
  unsealContract(name, open);
  sealedTransferContract(name, open);
}

/** Takes all that is left, in pieces of `size`. */
function drain(datapath: Datapath, size: number): ArenaLease[] {
  const leases: ArenaLease[] = [];
  for (;;) {
    const lease = datapath.arena.lend(size);
    if (!lease) return leases;
    leases.push(lease);
  }
}

async function codeOf(act: Promise<unknown>): Promise<DatapathError["code"] | "none"> {
  try {
    await act;
  } catch (reason) {
    if (reason instanceof DatapathError) return reason.code;
    throw reason;
  }
  return "none";
}

function arenaContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: lend() hands out bytes that nobody else has`, async () => {
    await using place = await open();
    const { arena } = place.datapath;
    const leases = [1, 4095, 4096, 4097, 65_536, 1_048_577].map((size) => {
      const lease = arena.lend(size)!;
      expect(lease.bytes.byteLength).toBe(size);
      return lease;
    });
    leases.forEach((lease, i) => lease.bytes.fill(i + 1));
    leases.forEach((lease, i) => {
      expect(lease.bytes[0]).toBe(i + 1);
      expect(lease.bytes.at(-1)).toBe(i + 1);
    });
    expect(arena.sizeLent).toBeGreaterThanOrEqual(1 + 4095 + 4096 + 4097 + 65_536 + 1_048_577);
    for (const lease of leases) lease[Symbol.dispose]();
    expect(arena.sizeLent).toBe(0);
  });

  test(`${name}: bytes of a lease throw after disposal, and disposal counts once`, async () => {
    await using place = await open();
    const { arena } = place.datapath;
    const lease = arena.lend(4096)!;
    using other = arena.lend(4096)!;
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    expect(() => lease.bytes).toThrow();
    expect(arena.sizeLent).toBe(4096);
    expect(other.bytes.byteLength).toBe(4096);
  });

  test(`${name}: lend() refuses when there is no room, and all room comes back`, async () => {
    await using place = await open();
    const { arena } = place.datapath;
    const leases = drain(place.datapath, 1 << 20);
    expect(leases.length).toBe(Math.floor(arena.sizeTotal / (1 << 20)));
    expect(arena.lend(1 << 20)).toBeUndefined();
    for (const lease of leases) lease[Symbol.dispose]();
    using whole = arena.lend(arena.sizeTotal);
    expect(whole?.bytes.byteLength).toBe(arena.sizeTotal);
  });
}

function arenaRandomContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: lend() loses and doubles nothing over many loans`, async () => {
    const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 7);
    const prng = prngFromSeed(seed);
    await using place = await open();
    const { arena } = place.datapath;
    const held: { readonly lease: ArenaLease; readonly mark: number }[] = [];
    for (let step = 0; step < 3000; step++) {
      const lease = prng.chance(3, 5)
        ? arena.lend(1 + prng.below(2 ** (1 + prng.below(22))))
        : undefined;
      if (lease) {
        const mark = step & 0xff;
        lease.bytes[0] = mark;
        lease.bytes[lease.bytes.byteLength - 1] = mark;
        held.push({ lease, mark });
      } else if (held.length > 0) {
        const [gone] = held.splice(prng.below(held.length), 1);
        expect([gone!.lease.bytes[0], gone!.lease.bytes.at(-1)], `seed ${seed}`).toEqual([
          gone!.mark,
          gone!.mark,
        ]);
        gone!.lease[Symbol.dispose]();
      }
    }
    for (const { lease } of held) lease[Symbol.dispose]();
    expect(arena.sizeLent).toBe(0);
    using whole = arena.lend(arena.sizeTotal);
    expect(whole).toBeDefined();
  });
}

function borrowContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: borrow() waits for room and serves in the order asked`, async () => {
    await using place = await open();
    const { arena } = place.datapath;
    const leases = drain(place.datapath, 1 << 20);
    const { signal } = new AbortController();
    const order: string[] = [];
    const large = arena.borrow(2 << 20, signal).then((lease) => (order.push("large"), lease));
    const small = arena.borrow(4096, signal).then((lease) => (order.push("small"), lease));
    leases.shift()![Symbol.dispose]();
    expect(arena.lend(4096)).toBeUndefined(); // who came first goes first
    leases.shift()![Symbol.dispose]();
    leases.shift()![Symbol.dispose]();
    using first = await large;
    using second = await small;
    expect(order).toEqual(["large", "small"]);
    expect([first.bytes.byteLength, second.bytes.byteLength]).toEqual([2 << 20, 4096]);
    for (const lease of leases) lease[Symbol.dispose]();
  });

  test(`${name}: borrow() rejects when aborted, and lets those behind through`, async () => {
    await using place = await open();
    const { arena } = place.datapath;
    const leases = drain(place.datapath, 1 << 20);
    const controller = new AbortController();
    const impatient = arena.borrow(8 << 20, controller.signal);
    const behind = arena.borrow(4096, new AbortController().signal);
    leases.shift()![Symbol.dispose]();
    controller.abort(new Error("gone"));
    await expect(impatient).rejects.toThrow("gone");
    (await behind)[Symbol.dispose]();
    await expect(arena.borrow(1, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
    for (const lease of leases) lease[Symbol.dispose]();
    expect(arena.sizeLent).toBe(0);
  });
}

/** Check values of the CRC catalogue (reveng), RFC 1321, FIPS 180. */
const knownDigests: readonly (readonly [
  string,
  number,
  readonly (readonly [HashAlgorithm, string])[],
])[] = [
  [
    "123456789",
    1,
    [
      ["md5", "25f9e794323b453885f5181f1b624d0b"],
      ["sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"],
      ["sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"],
      ["crc32", "cbf43926"],
      ["crc32c", "e3069283"],
      ["crc64nvme", "ae8b14860a799888"],
    ],
  ],
  [
    "a",
    1_000_000,
    [
      ["md5", "7707d6ae4e027c70eea2a935c2296f21"],
      ["sha1", "34aa973cd4c4daa4f61eeb2bdbad27316534016f"],
      ["sha256", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
    ],
  ],
];

function hashContract(name: string, open: OpenDatapathPlace): void {
  for (const [text, count, digests] of knownDigests) {
    test(`${name}: hash() answers known digests of ${count} × "${text}", in one piece and in many`, async () => {
      await using place = await open();
      const { datapath } = place;
      const size = text.length * count;
      using lease = datapath.arena.lend(size)!;
      for (let at = 0; at < size; at += text.length) lease.bytes.set(toUtf8(text), at);
      for (const pieceSize of [size, 1 + Math.floor(size / 7)]) {
        using state = datapath.openHash(digests.map(([algorithm]) => algorithm));
        for (let offset = 0; offset < size; offset += pieceSize) {
          const source = { lease, offset, size: Math.min(pieceSize, size - offset) };
          await datapath.hash({ state, source, own: offset % 2 === 0 });
        }
        const found = datapath.digest(state);
        expect([...found].map(([algorithm, digest]) => [algorithm, toHex(digest)])).toEqual(
          digests.map(([algorithm, digest]) => [algorithm, digest]),
        );
      }
    });
  }

  test(`${name}: hash() answers the SHA-256 of the source alone beside a running state`, async () => {
    await using place = await open();
    const { datapath } = place;
    using lease = datapath.arena.lend(100_000)!;
    prngFromSeed(3).fill(lease.bytes);
    using state = datapath.openHash(["sha256"]);
    const parts = [
      { lease, offset: 0, size: 70_000 },
      { lease, offset: 70_000, size: 30_000 },
    ];
    for (const source of parts) {
      const { sha256: beside } = await datapath.hash({ state, source, own: true });
      const { sha256: alone } = await datapath.hash({ source, own: true });
      expect(toHex(beside!)).toBe(toHex(alone!));
    }
    const whole = await datapath.hash({ source: { lease, offset: 0, size: 100_000 }, own: true });
    expect(toHex(datapath.digest(state).get("sha256")!)).toBe(toHex(whole.sha256!));
    expect((await datapath.hash({ state, source: parts[0]!, own: false })).sha256).toBeUndefined();
  });

  test(`${name}: digest() of nothing is the empty digest, and the state goes on`, async () => {
    await using place = await open();
    const { datapath } = place;
    using state = datapath.openHash(["md5", "crc32c"]);
    expect(toHex(datapath.digest(state).get("md5")!)).toBe("d41d8cd98f00b204e9800998ecf8427e");
    using lease = datapath.arena.lend(9)!;
    lease.bytes.set(toUtf8("123456789"));
    await datapath.hash({ state, source: { lease, offset: 0, size: 9 }, own: false });
    expect(toHex(datapath.digest(state).get("crc32c")!)).toBe("e3069283");
  });
}

function deviceContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: append() writes its ranges one after another; read() finds them`, async () => {
    await using place = await open();
    const { datapath } = place;
    const path = await place.prepareDevice(16 * blockSize);
    const { slot, size } = await datapath.openDevice({ path, direct: false });
    expect(size).toBe(16 * blockSize);
    using lease = datapath.arena.lend(3 * blockSize)!;
    prngFromSeed(5).fill(lease.bytes);
    const ranges = [
      { lease, offset: 2 * blockSize, size: blockSize },
      { lease, offset: 100, size: 1000 },
      { lease, offset: 0, size: blockSize - 1000 },
    ];
    await datapath.append({ device: slot, offset: 5 * blockSize, ranges, sync: true });
    using found = datapath.arena.lend(4 * blockSize)!;
    const target = { lease: found, offset: 0, size: 4 * blockSize };
    await datapath.read(slot, 4 * blockSize, target);
    const wanted = newBytes(4 * blockSize);
    wanted.set(lease.bytes.subarray(2 * blockSize), blockSize);
    wanted.set(lease.bytes.subarray(100, 1100), 2 * blockSize);
    wanted.set(lease.bytes.subarray(0, blockSize - 1000), 2 * blockSize + 1000);
    expect(toHex(found.bytes)).toBe(toHex(wanted));
    await datapath.closeDevice(slot);
  });

  test(`${name}: discard() leaves a file as it is`, async () => {
    await using place = await open();
    const { datapath } = place;
    const path = await place.prepareDevice(4 * blockSize);
    const { slot } = await datapath.openDevice({ path, direct: false });
    expect(datapath.discard(slot, 0, 4 * blockSize)).toBeUndefined();
    await datapath.closeDevice(slot);
  });

  test(`${name}: append() takes more ranges than any system call does`, async () => {
    await using place = await open();
    const { datapath } = place;
    const path = await place.prepareDevice(512 * blockSize);
    const { slot } = await datapath.openDevice({ path, direct: false });
    using lease = datapath.arena.lend(2000 * 64)!;
    prngFromSeed(6).fill(lease.bytes);
    const ranges = Array.from({ length: 1984 }, (_, i) => ({ lease, offset: i * 64, size: 64 }));
    await datapath.append({
      device: slot,
      offset: blockSize,
      ranges: ranges.toReversed(),
      sync: true,
    });
    using found = datapath.arena.lend(1984 * 64)!;
    await datapath.read(slot, blockSize, { lease: found, offset: 0, size: 1984 * 64 });
    const last = (1984 - 1) * 64;
    expect(toHex(found.bytes.subarray(0, 64))).toBe(toHex(lease.bytes.subarray(last, last + 64)));
    expect(toHex(found.bytes.subarray(last))).toBe(toHex(lease.bytes.subarray(0, 64)));
  });
}

function deviceLoadContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: many jobs at once on many devices all settle`, async () => {
    await using place = await open();
    const { datapath } = place;
    const slots: number[] = [];
    for (let i = 0; i < 6; i++) {
      const path = await place.prepareDevice(64 * blockSize);
      slots.push((await datapath.openDevice({ path, direct: false })).slot);
    }
    expect(new Set(slots).size).toBe(6);
    using lease = datapath.arena.lend(64 * blockSize)!;
    lease.bytes.forEach((_, at) => (lease.bytes[at] = Math.floor(at / blockSize)));
    const blocks = Array.from({ length: 64 }, (_, i) => i);
    await Promise.all(
      slots.flatMap((device) =>
        blocks.map((i) => {
          const ranges = [{ lease, offset: i * blockSize, size: blockSize }];
          return datapath.append({ device, offset: i * blockSize, ranges, sync: i % 16 === 0 });
        }),
      ),
    );
    using found = datapath.arena.lend(6 * 64 * blockSize)!;
    await Promise.all(
      slots.map((slot, i) => {
        const target = { lease: found, offset: i * 64 * blockSize, size: 64 * blockSize };
        return datapath.read(slot, 0, target);
      }),
    );
    for (let i = 0; i < 6; i++) {
      const start = i * 64 * blockSize;
      const equal = found.bytes.subarray(start, start + 64 * blockSize);
      expect(equal.every((byte, at) => byte === Math.floor(at / blockSize))).toBe(true);
    }
  });
}

function deviceLimitContract(name: string, open: OpenDatapathPlace): void {
  test(`${name}: a short device: append() past its end writes nothing, read() past it fails`, async () => {
    await using place = await open();
    const { datapath } = place;
    const path = await place.prepareDevice(4 * blockSize);
    const { slot } = await datapath.openDevice({ path, direct: false });
    using lease = datapath.arena.lend(2 * blockSize)!;
    lease.bytes.fill(0xee);
    const range = { lease, offset: 0, size: 2 * blockSize };
    const append = (offset: number) =>
      codeOf(datapath.append({ device: slot, offset, ranges: [range], sync: true }));
    expect(await append(3 * blockSize)).toBe("no_space");
    expect(await append(64 * blockSize)).toBe("no_space");
    using found = datapath.arena.lend(2 * blockSize)!;
    const target = { lease: found, offset: 0, size: 2 * blockSize };
    await datapath.read(slot, 2 * blockSize, target);
    expect(found.bytes.every((byte) => byte === 0)).toBe(true);
    expect(await codeOf(datapath.read(slot, 3 * blockSize, target))).toBe("io");
    expect(await append(2 * blockSize)).toBe("none");
  });

  test(`${name}: a closed device and a path without a device are refused`, async () => {
    await using place = await open();
    const { datapath } = place;
    const path = await place.prepareDevice(4 * blockSize);
    const { slot } = await datapath.openDevice({ path, direct: false });
    await datapath.closeDevice(slot);
    using lease = datapath.arena.lend(blockSize)!;
    const range = { lease, offset: 0, size: blockSize };
    expect(await codeOf(datapath.read(slot, 0, range))).toBe("closed");
    expect(
      await codeOf(datapath.append({ device: slot, offset: 0, ranges: [range], sync: false })),
    ).toBe("closed");
    const again = await datapath.openDevice({ path, direct: false });
    expect(again.slot).not.toBe(slot); // an old number never means another device
    expect(await codeOf(datapath.openDevice({ path: `${path}.absent`, direct: false }))).toBe("io");
  });
}
