import { expect, test } from "bun:test";
import { chunkId, type Millis, newBytes, sealId } from "@kiseki/base";
import type { SealRef } from "@kiseki/chunk-store";
import { WriteLedger } from "./write-ledger.ts";

const refOf = (n: number) => ({
  chunkId: chunkId(newBytes(32).fill(n)),
  sealId: sealId(newBytes(16).fill(n)),
  isSmall: false,
});
const print = (n: number): Uint8Array => newBytes(32).fill(n);
const receipt = print(99);
const put = async (): Promise<Uint8Array> => receipt;
function ledgerOf(): { ledger: WriteLedger; removed: SealRef[]; holder: object } {
  const removed: SealRef[] = [];
  const ledger = new WriteLedger((refs) => void removed.push(...refs));
  const holder = {};
  for (const n of [1, 2, 3]) {
    const { chunkId: chunk, sealId: seal } = refOf(n);
    ledger.lease(holder, chunk, seal, 1000 as Millis);
  }
  return { ledger, removed, holder };
}
const idsOf = (refs: readonly SealRef[]): number[] => refs.map(({ sealId: id }) => id[0]!);

test("WriteLedger.keep() keeps the first bytes alone, and tries them again when that failed", async () => {
  const { ledger } = ledgerOf();
  const failing = ledger.keep(refOf(1), print(1), () => Promise.reject(new Error("full")));
  if (typeof failing === "string") throw new Error(failing);
  expect(await failing.catch(() => "failed")).toBe("failed");
  expect(ledger.keep(refOf(1), print(2), put)).toBe("conflict");
  expect(ledger.keep({ ...refOf(1), isSmall: true }, print(1), put)).toBe("conflict");
  expect(await ledger.keep(refOf(1), print(1), put)).toEqual(receipt);
  let puts = 0;
  const again = ledger.keep(refOf(1), print(1), async () => print(puts++));
  expect([await again, puts]).toEqual([receipt, 0]);
  expect(ledger.keep(refOf(9), print(1), put)).toBe("unknown");
});

test("WriteLedger.commit() takes what its holder has kept, once", async () => {
  const { ledger, removed, holder } = ledgerOf();
  expect(ledger.commit(holder, [refOf(1)])).toBeUndefined();
  await ledger.keep(refOf(1), print(1), put);
  await ledger.keep(refOf(2), print(2), put);
  expect(ledger.commit({}, [refOf(1)])).toBeUndefined();
  expect(ledger.commit(holder, [refOf(1), refOf(1)])).toBeUndefined();
  const first = ledger.commit(holder, [refOf(1), refOf(2)])!;
  expect(ledger.commit(holder, [refOf(1)])).toBeUndefined();
  first.settle(false);
  const second = ledger.commit(holder, [refOf(1)])!;
  second.settle(true);
  expect(ledger.commit(holder, [refOf(1)])).toBeUndefined();
  expect(ledger.keep(refOf(1), print(1), put)).toBe("unknown");
  expect(ledger.countOf(holder)).toBe(2);
  ledger.end(holder);
  expect(idsOf(removed)).toEqual([2]);
});

test("WriteLedger removes what is left when its holder or its time is over, whatever was under way", async () => {
  const { ledger, removed, holder } = ledgerOf();
  const late = Promise.withResolvers<Uint8Array>();
  const keeping = ledger.keep(refOf(1), print(1), () => late.promise);
  await ledger.keep(refOf(2), print(2), put);
  await ledger.keep(refOf(3), print(3), put);
  const committing = ledger.commit(holder, [refOf(2)])!;
  ledger.end(holder);
  expect(idsOf(removed)).toEqual([3]);
  late.resolve(receipt);
  await keeping;
  expect(idsOf(removed)).toEqual([3, 1]);
  committing.settle(false);
  expect(idsOf(removed)).toEqual([3, 1, 2]);
  const other = ledgerOf();
  await other.ledger.keep(refOf(1), print(1), put);
  other.ledger.sweep(999 as Millis);
  expect(other.removed).toEqual([]);
  other.ledger.sweep(1000 as Millis);
  expect([idsOf(other.removed), other.ledger.countOf(other.holder)]).toEqual([[1], 0]);
});
