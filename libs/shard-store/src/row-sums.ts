import { assert, newBytes } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";

/** Bytes of one row's keyed hash, and of a table's sum. */
export const rowHashSize = 16;
const words = rowHashSize / 4;

/** Keyed hash of one row: HMAC-SHA-256(key, size of the row's key as 4 bytes ‖ its key ‖ its value), first 16 bytes. */
export type RowHash = (key: Uint8Array, value: Uint8Array) => Uint8Array;

/** @param key 32 bytes, kept as long as the function lives; wiping it is the caller's act. */
export function rowHasher(crypto: Pick<Crypto, "hmacSha256">, key: Uint8Array): RowHash {
  assert(key.byteLength === 32, "a row sum key has 32 bytes");
  let scratch = newBytes(4096);
  return (rowKey, value) => {
    const size = 4 + rowKey.byteLength + value.byteLength;
    if (size > scratch.byteLength) scratch = newBytes(2 * size);
    scratch[0] = rowKey.byteLength & 0xff;
    scratch[1] = (rowKey.byteLength >>> 8) & 0xff;
    scratch[2] = (rowKey.byteLength >>> 16) & 0xff;
    scratch[3] = rowKey.byteLength >>> 24;
    scratch.set(rowKey, 4);
    scratch.set(value, 4 + rowKey.byteLength);
    return crypto.hmacSha256(key, scratch.subarray(0, size));
  };
}

/** A row that a commit changed, by the hashes of its two values. */
export interface HashedChange {
  readonly key: Uint8Array;
  readonly old: Uint8Array | undefined;
  readonly now: Uint8Array | undefined;
}

/** What is known of one table: how many rows, and the sum of their hashes modulo 2^128. */
export interface TableSum {
  /** First byte of its keys; the empty key counts as table 0. */
  readonly table: number;
  readonly rowCount: number;
  /** 16 bytes, little-endian. */
  readonly sum: Uint8Array;
}

/** Sums of all tables. Adding rows in any order gives the same; removing a row undoes its adding. */
export class RowSums {
  readonly #counts = new Map<number, number>();
  readonly #sums = new Map<number, Uint32Array>();

  static from(tables: readonly TableSum[]): RowSums {
    const sums = new RowSums();
    for (const { table, rowCount, sum } of tables) {
      sums.#counts.set(table, rowCount);
      const view = new DataView(sum.buffer, sum.byteOffset, rowHashSize);
      sums.#sums.set(
        table,
        Uint32Array.from({ length: words }, (_, i) => view.getUint32(4 * i, true)),
      );
    }
    return sums;
  }
  add(key: Uint8Array, hash: Uint8Array): void {
    this.#change(key, hash, 1);
  }
  remove(key: Uint8Array, hash: Uint8Array): void {
    this.#change(key, hash, -1);
  }
  /** Tables with rows or a sum that is not zero, in order of their byte. */
  tables(): readonly TableSum[] {
    const result: TableSum[] = [];
    for (const [table, sum] of [...this.#sums].sort(([a], [b]) => a - b)) {
      const rowCount = this.#counts.get(table) ?? 0;
      if (rowCount === 0 && sum.every((word) => word === 0)) continue;
      const bytes = newBytes(rowHashSize);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < words; i++) view.setUint32(4 * i, sum[i]!, true);
      result.push({ table, rowCount, sum: bytes });
    }
    return result;
  }
  clone(): RowSums {
    const copy = new RowSums();
    for (const [table, count] of this.#counts) copy.#counts.set(table, count);
    for (const [table, sum] of this.#sums) copy.#sums.set(table, sum.slice());
    return copy;
  }
  #change(key: Uint8Array, hash: Uint8Array, direction: 1 | -1): void {
    const table = key[0] ?? 0;
    this.#counts.set(table, (this.#counts.get(table) ?? 0) + direction);
    let sum = this.#sums.get(table);
    if (sum === undefined) {
      sum = new Uint32Array(words);
      this.#sums.set(table, sum);
    }
    let carry = 0; // 0 or 1 when adding, 0 or -1 when removing
    for (let i = 0; i < words; i++) {
      const at = 4 * i;
      const word =
        hash[at]! + hash[at + 1]! * 2 ** 8 + hash[at + 2]! * 2 ** 16 + hash[at + 3]! * 2 ** 24;
      const total = sum[i]! + direction * word + carry;
      sum[i] = total; // modulo 2^32
      carry = Math.floor(total / 2 ** 32);
    }
  }
}
