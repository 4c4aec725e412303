import { assert } from "@kiseki/base";
import type { HashAlgorithm, HashState } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import type { Pointer } from "bun:ffi";
import type { JobRecord } from "./records.ts";
import type { Native } from "./symbols.ts";

/** Bit in C, and where C leaves the digest. */
const table: Readonly<Record<HashAlgorithm, { bit: number; offset: number; size: number }>> = {
  md5: { bit: 1, offset: 0, size: 16 },
  sha256: { bit: 2, offset: 16, size: 32 },
  sha1: { bit: 4, offset: 48, size: 20 },
  crc32: { bit: 8, offset: 68, size: 4 },
  crc32c: { bit: 16, offset: 72, size: 4 },
  crc64nvme: { bit: 32, offset: 76, size: 8 },
};

export class NativeHashState implements HashState {
  readonly algorithms: ReadonlySet<HashAlgorithm>;
  readonly #native: Native;
  readonly #datapath: Pointer;
  #place: number | undefined;
  readonly #isGone: () => boolean;
  /** One job at a time: the digest would depend on which came first. */
  isBusy = false;

  constructor(
    native: Native,
    datapath: Pointer,
    algorithms: Iterable<HashAlgorithm>,
    isGone: () => boolean,
  ) {
    this.#isGone = isGone;
    this.#native = native;
    this.#datapath = datapath;
    this.algorithms = new Set(algorithms);
    assert(this.algorithms.size > 0, "a hash state has an algorithm");
    let bits = 0;
    for (const name of this.algorithms) bits |= table[name].bit;
    const place = native.kiseki_datapath_hash_open(datapath, bits);
    if (place < 0)
      throw new DatapathError("no_space", 0, "Cannot open a hash state: all are in use");
    this.#place = place;
  }
  get place(): number {
    assert(this.#place !== undefined, "the hash state is still held");
    return this.#place;
  }
  digests(record: JobRecord): ReadonlyMap<HashAlgorithm, Uint8Array> {
    const digests = new Map<HashAlgorithm, Uint8Array>();
    for (const name of this.algorithms)
      digests.set(name, record.digest(table[name].offset, table[name].size));
    return digests;
  }
  [Symbol.dispose](): void {
    if (this.#place === undefined) return;
    assert(!this.isBusy, "a hash state outlives its jobs");
    if (!this.#isGone()) this.#native.kiseki_datapath_hash_close(this.#datapath, this.#place);
    this.#place = undefined;
  }
}
