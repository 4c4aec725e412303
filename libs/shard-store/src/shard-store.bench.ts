import { epoch, prngFromSeed } from "@kiseki/base";
import { rowHasher } from "./row-sums.ts";
import type { PlainPlace } from "./place.test-helper.ts";
import { openPlainPlace, testCrypto, testSumKey } from "./place.test-helper.ts";
import type { SealedPlace } from "./sealed-place.test-helper.ts";
import { openSealedPlace } from "./sealed-place.test-helper.ts";

/**
 * Question: what do a point read of a view, a batch of 64 operations (one read, two puts each) and a row
 * hash cost? Answer wanted: about 4 µs; under 1 ms apart from the sync; under a tenth of the batch in all.
 */
export async function benchShardStore({
  openPlace,
  batches,
  reads,
}: {
  readonly openPlace: () => Promise<PlainPlace | SealedPlace>;
  readonly batches: number;
  readonly reads: number;
}): Promise<Readonly<Record<string, number>>> {
  await using place = await openPlace();
  await using store = await place.open();
  const prng = prngFromSeed(1);
  const value = prng.fill(new Uint8Array(new ArrayBuffer(150)));
  const keyOf = (table: number, n: number): Uint8Array => {
    const key = new Uint8Array(new ArrayBuffer(29));
    key[0] = table;
    new DataView(key.buffer).setUint32(17, Math.imul(n, 0x9e3779b1) >>> 0);
    return key;
  };
  let changing = 0;
  let committing = 0;
  let row = 0;
  for (let batch = 0; batch < batches; batch++) {
    const started = Bun.nanoseconds();
    const tx = store.begin();
    for (let i = 0; i < 64; i++) {
      const key = keyOf(1, row++);
      if (tx.get(key) === undefined) tx.put(key, value);
      const head = keyOf(2, 0);
      tx.get(head);
      tx.put(head, value.subarray(0, 100 + (i % 8)));
      tx.put(keyOf(3, row), value);
    }
    const changed = Bun.nanoseconds();
    await tx.commit(new Uint8Array(64 * 400), store.head().index, epoch(1n));
    committing += Bun.nanoseconds() - changed;
    changing += changed - started;
  }
  let witness = 0;
  const started = Bun.nanoseconds();
  for (let i = 0; i < reads; i++) {
    const key = keyOf(1, (i * 7919) % row);
    witness += store.view((map) => map.get(key)?.byteLength ?? 0);
  }
  const reading = Bun.nanoseconds() - started;
  const grouped = Bun.nanoseconds();
  store.view((map) => {
    for (let i = 0; i < reads; i++) witness += map.get(keyOf(1, (i * 7919) % row))?.byteLength ?? 0;
  });
  const groupReading = Bun.nanoseconds() - grouped;
  const rowHash = rowHasher(testCrypto, testSumKey);
  const hashed = Bun.nanoseconds();
  for (let i = 0; i < reads; i++) witness ^= rowHash(keyOf(1, i), value)[0]!;
  const hashing = Bun.nanoseconds() - hashed;
  return {
    batchChangeMicros: changing / batches / 1000,
    batchCommitMicros: committing / batches / 1000,
    viewAndGetMicros: reading / reads / 1000,
    getMicros: groupReading / reads / 1000,
    rowHashMicros: hashing / reads / 1000,
    witness,
  };
}

if (import.meta.main) {
  for (const openPlace of [openPlainPlace, openSealedPlace]) {
    const result = await benchShardStore({ openPlace, batches: 400, reads: 50_000 });
    console.log(JSON.stringify({ place: openPlace.name, ...result }));
  }
}
