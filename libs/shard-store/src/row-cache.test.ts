import { expect, test } from "bun:test";
import { epoch, prngFromSeed, toUtf8 } from "@kiseki/base";
import { openPlainPlace } from "./place.test-helper.ts";
import { type CachedRow, RowBudget, type RowCache, rowText } from "./row-cache.ts";

/** A source that counts how often it is asked. */
function source(rows: Readonly<Record<string, string>>) {
  const asked: string[] = [];
  const get = (key: Uint8Array): Uint8Array | undefined => {
    const name = new TextDecoder().decode(key);
    asked.push(name);
    const value = rows[name];
    return value === undefined ? undefined : toUtf8(value);
  };
  return { asked, get };
}
const key = (name: string) => toUtf8(name);

test("RowCache.get() asks once for a row and once for none, and hands out bytes of the caller's own", () => {
  const cache = new RowBudget(1 << 20).open();
  const rows = source({ a: "one" });
  cache.get(key("a"), rows)!.fill(0);
  expect(cache.get(key("a"), rows)).toEqual(toUtf8("one"));
  expect(cache.get(key("b"), rows)).toBeUndefined();
  expect(cache.get(key("b"), rows)).toBeUndefined();
  expect(rows.asked).toEqual(["a", "b"]);
});

test("RowCache.forget() asks anew, of old generations too", () => {
  const cache = new RowBudget(2048).open();
  const before = source({ a: "old" });
  cache.get(key("a"), before);
  for (const name of ["b", "c", "d"]) cache.get(key(name), before); // "a" is in the older half now
  cache.forget(rowText(key("a")));
  expect(cache.get(key("a"), source({ a: "new" }))).toEqual(toUtf8("new"));
});

test("RowCache holds what was asked for last and stays within its size", () => {
  const cache = new RowBudget(64 * 1024).open();
  const names = Array.from({ length: 1000 }, (_, at) => `key-${at}`);
  const rows = source(Object.fromEntries(names.map((name) => [name, "x".repeat(256)])));
  for (const name of names) cache.get(key(name), rows);
  let held = 0;
  for (const name of names.toReversed()) {
    const again = source({});
    cache.get(key(name), again);
    if (again.asked.length > 0) break;
    held += 1;
  }
  expect(held).toBeGreaterThan(10);
  expect(held).toBeLessThan((64 * 1024) / 512);
});

test("RowBudget gives its room to whoever reads, and takes it back from who is closed", () => {
  const budget = new RowBudget(64 * 1024);
  const quiet = budget.open();
  const busy = budget.open();
  const rows = source(
    Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`${at}`, "x".repeat(256)])),
  );
  const isHeld = (cache: typeof quiet, name: string): boolean => {
    const again = source({});
    cache.get(key(name), again);
    return again.asked.length === 0;
  };
  for (let at = 0; at < 20; at++) quiet.get(key(`${at}`), rows);
  for (let at = 0; at < 20; at++) busy.get(key(`${at}`), rows);
  expect(isHeld(quiet, "0")).toBe(true);
  for (let at = 0; at < 300; at++) busy.get(key(`${at}`), rows);
  expect(isHeld(busy, "299")).toBe(true);
  expect(isHeld(quiet, "1")).toBe(false); // nobody asked for it
  busy[Symbol.dispose]();
  expect(isHeld(busy, "299")).toBe(false);
  expect(isHeld(busy, "299")).toBe(false); // nor is anything kept any more
  // What the closed one took is free again: a third of the room stays held.
  const next = budget.open();
  for (let at = 0; at < 40; at++) next.get(key(`${at}`), rows);
  expect(isHeld(next, "0")).toBe(true);
});

/** What `recall` answers of a result made of the rows `names`; makes it when there is none. */
function recalled(cache: RowCache, rows: ReturnType<typeof source>, ...names: string[]): object {
  const known = cache.recall("it");
  if (known !== undefined) return known;
  const seen: CachedRow[] = [];
  const result = { texts: names.map((name) => String(cache.get(key(name), rows, seen))) };
  cache.remember("it", result, seen);
  return result;
}

test("RowCache.recall() answers the same result until a row that it was made of changes", () => {
  const cache = new RowBudget(1 << 20).open();
  const rows = source({ a: "one" });
  const first = recalled(cache, rows, "a", "b");
  cache.forget(rowText(key("c")));
  expect(recalled(cache, rows, "a", "b")).toBe(first);
  cache.forget(rowText(key("b"))); // one that was absent
  expect(cache.recall("it")).toBeUndefined();
  const second = recalled(cache, rows, "a", "b");
  cache.get(key("a"), rows);
  cache.forget(rowText(key("a")));
  expect(cache.recall("it")).toBeUndefined();
  expect(second).not.toBe(first);
});

test("RowCache.replace() knows what was written, and what was deleted is none", () => {
  const cache = new RowBudget(1 << 20).open();
  cache.get(key("a"), source({ a: "old" }));
  cache.replace(rowText(key("a")), toUtf8("new"));
  const nothing = source({});
  cache.get(key("a"), nothing)!.fill(0); // the caller's
  expect(cache.get(key("a"), nothing)).toEqual(toUtf8("new"));
  cache.replace(rowText(key("a")), undefined);
  expect(cache.get(key("a"), nothing)).toBeUndefined();
  expect(nothing.asked).toEqual(["a"]);
});

test("RowCache.remember() gives back the bytes of rows that nobody else asked for, and reads them when somebody does", () => {
  const cache = new RowBudget(1 << 20).open();
  const rows = source({ own: "one", common: "two" });
  cache.get(key("common"), rows);
  recalled(cache, rows, "own", "common");
  expect(cache.get(key("common"), rows)).toEqual(toUtf8("two"));
  expect(rows.asked).toEqual(["common", "own"]);
  expect(cache.get(key("own"), rows)).toEqual(toUtf8("one"));
  expect(cache.get(key("own"), rows)).toEqual(toUtf8("one"));
  expect(rows.asked).toEqual(["common", "own", "own"]);
  expect(cache.recall("it")).toBeDefined();
  cache.forget(rowText(key("own")));
  expect(cache.recall("it")).toBeUndefined();
});

test("RowCache.recall() forgets what it could not be told of any more", () => {
  const cache = new RowBudget(1 << 20).open();
  const rows = source({ a: "one", large: "x".repeat(5000) });
  const first = recalled(cache, rows, "a");
  cache.age();
  expect(recalled(cache, rows, "a")).toBe(first); // its row is among the old ones still
  cache.age();
  expect(cache.recall("it")).toBeUndefined(); // its row is gone
  recalled(cache, rows, "a", "large"); // a row that is not kept
  expect(cache.recall("it")).toBeUndefined();
  recalled(cache, rows, "a");
  cache[Symbol.dispose]();
  expect(cache.recall("it")).toBeUndefined();
});

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

test(`view() and recall() get what a scan finds, after commits and rollbacks of rows that were read before (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  await using place = await openPlainPlace();
  await using store = await place.open();
  const keys = Array.from({ length: 60 }, (_, at) => new Uint8Array([at]));
  for (let round = 0; round < 40; round++) {
    const tx = store.begin();
    for (let i = 0; i < 12; i++) {
      const chosen = keys[prng.below(keys.length)]!;
      if (prng.chance(1, 3)) tx.delete(chosen);
      else tx.put(chosen, prng.fill(new Uint8Array(1 + prng.below(30))));
      if (prng.chance(1, 3)) tx.get(keys[prng.below(keys.length)]!);
      if (prng.chance(1, 8)) tx.scan({ start: chosen }, () => false);
      store.view((map) => map.get(keys[prng.below(keys.length)]!));
    }
    if (prng.chance(1, 4)) tx.rollback();
    else await tx.commit(new Uint8Array(10), store.head().index, epoch(1n));
    const scanned = new Map<number, Uint8Array>();
    store.view((map) =>
      map.scan({ start: new Uint8Array(0) }, (one, value) => {
        scanned.set(one[0]!, value);
        return true;
      }),
    );
    for (const one of keys) {
      const expected = scanned.get(one[0]!);
      expect(store.view((map) => map.get(one))).toEqual(expected);
      expect(store.recall(`${one[0]}`, (map) => ({ row: map.get(one) }))?.row).toEqual(expected);
    }
  }
});
