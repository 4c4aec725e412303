import { expect, test } from "bun:test";
import { prngFromSeed, toHex } from "@kiseki/base";
import type { FragmentIndex } from "./fragment-index.ts";

/** What every `FragmentIndex` promises. */
export function fragmentIndexContract(name: string, open: () => FragmentIndex): void {
  test(`${name}: get() gives what was put last`, () => {
    using index = open();
    const key = new Uint8Array(48).fill(1);
    expect(index.get(key)).toBeUndefined();
    index.put(key, new Uint8Array([1]));
    index.put(key, new Uint8Array([2, 3]));
    expect(index.get(key)).toEqual(new Uint8Array([2, 3]));
    index.delete(key);
    index.delete(key);
    expect(index.get(key)).toBeUndefined();
  });

  test(`${name}: scan() visits every row once, in order, in pieces`, () => {
    using index = open();
    const prng = prngFromSeed(5);
    const keys = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const key = prng.fill(new Uint8Array(48));
      keys.add(toHex(key));
      index.put(key, new Uint8Array([i]));
      if (i === 50) index.flush();
    }
    const seen: string[] = [];
    let after: Uint8Array | undefined;
    for (;;) {
      const before = seen.length;
      index.scan(after, 7, (key) => {
        seen.push(toHex(key));
        after = key;
      });
      if (seen.length === before) break;
      expect(seen.length - before).toBeLessThanOrEqual(7);
    }
    expect(seen).toEqual([...keys].toSorted());
    expect(index.count()).toBe(100);
  });

  test(`${name}: metas are apart from rows; clear() forgets both`, () => {
    using index = open();
    index.putMeta("a", new Uint8Array([1]));
    index.put(new Uint8Array(48), new Uint8Array([2]));
    expect(index.count()).toBe(1);
    expect(index.meta("a")).toEqual(new Uint8Array([1]));
    index.checkpoint();
    index.clear();
    expect(index.count()).toBe(0);
    expect(index.meta("a")).toBeUndefined();
  });
}
