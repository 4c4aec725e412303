import { expect, test } from "bun:test";
import { compareBytes, epoch, fromHex, logIndex, toHex, toUtf8 } from "@kiseki/base";
import { prngFromSeed } from "@kiseki/base";
import type { MapReader, MapWriter } from "./ordered-map.ts";
import type { ShardStore } from "./shard-store.ts";

/** One place where a shard is kept; `open` may be called again after the store before was disposed. */
export interface ShardStorePlace extends AsyncDisposable {
  open(): Promise<ShardStore>;
  /** Ends `store` as a killed process would: nothing is flushed. Left out where the driver cannot. */
  kill?(store: ShardStore): Promise<void>;
  /** Makes the next commit be refused since someone else appended `entry`. Needed where `fenced` is declared. */
  fenceNext?(store: ShardStore, entry: Uint8Array): void;
  /** Makes the next commit's outcome unknown; `stored` says which it was. Needed where `unknown` is declared. */
  unknownNext?(store: ShardStore, stored: boolean): void;
}

const at = epoch(1n);
const hex = (text: string): Uint8Array => fromHex(text);
const entryOf = (n: number): Uint8Array => toUtf8(`entry ${n}`);

function rowsOf(
  map: MapReader,
  range: Parameters<MapReader["scan"]>[0] = { start: hex("") },
): readonly string[] {
  const rows: string[] = [];
  map.scan(range, (key, value) => {
    rows.push(`${toHex(key)}=${toHex(value)}`);
    return true;
  });
  return rows;
}

/** One batch: `change` in a transaction, committed as the next entry. Returns the index. */
async function commitBatch(
  store: ShardStore,
  change: (map: MapWriter) => void,
  entry: Uint8Array = entryOf(1),
): Promise<bigint> {
  const tx = store.begin();
  change(tx);
  const outcome = await tx.commit(entry, store.head().index, at);
  if (outcome.kind !== "committed") throw new Error(`Cannot commit: ${outcome.kind}`);
  return outcome.index;
}

/** What every `ShardStore` promises. */
export function shardStoreContract(
  name: string,
  openPlace: () => Promise<ShardStorePlace>,
  declared: ShardStore["declares"],
): void {
  const check = (claim: string, body: (place: ShardStorePlace) => Promise<void>): void => {
    test(`${name}: ${claim}`, async () => {
      await using place = await openPlace();
      await body(place);
    });
  };
  mapCases(check);
  viewCases(check);
  recallCases(check);
  modelCases(check);
  scanCases(check);
  longScanCases(check);
  commitCases(check, declared);
  logCases(check);
  consumerCases(check);
  if (declared.fenced) fencedCases(check);
  if (declared.unknown) unknownCases(check);
}

type Check = (claim: string, body: (place: ShardStorePlace) => Promise<void>) => void;

function mapCases(check: Check): void {
  check("get() sees puts and deletes of its transaction at once", async (place) => {
    await using store = await place.open();
    const tx = store.begin();
    expect(tx.get(hex("01"))).toBeUndefined();
    tx.put(hex("01"), hex("aa"));
    expect(tx.get(hex("01"))).toEqual(hex("aa"));
    tx.put(hex("01"), hex(""));
    expect(tx.get(hex("01"))).toEqual(hex(""));
    tx.delete(hex("01"));
    tx.delete(hex("02"));
    expect(tx.get(hex("01"))).toBeUndefined();
    tx.put(hex("01"), hex("bb"));
    expect(rowsOf(tx)).toEqual(["01=bb"]);
    tx.rollback();
  });
  check("put() and delete() borrow, get() and scan() give away", async (place) => {
    await using store = await place.open();
    const tx = store.begin();
    const key = hex("0102");
    const value = hex("0304");
    tx.put(key, value);
    key.fill(0);
    value.fill(0);
    tx.get(hex("0102"))!.fill(9);
    tx.scan({ start: hex("") }, (k, v) => {
      k.fill(9);
      v.fill(9);
      return true;
    });
    expect(rowsOf(tx)).toEqual(["0102=0304"]);
    await tx.commit(entryOf(1), logIndex(0n), at);
    store.view((map) => map.get(hex("0102"))!.fill(9));
    expect(store.view((map) => map.get(hex("0102")))).toEqual(hex("0304"));
  });
  check("rollback() leaves nothing, and another transaction may begin", async (place) => {
    await using store = await place.open();
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    const tx = store.begin();
    tx.put(hex("01"), hex("bb"));
    tx.put(hex("02"), hex("bb"));
    expect(rowsOf(tx)).toHaveLength(2);
    tx.delete(hex("01"));
    tx.rollback();
    tx.rollback();
    expect(store.view(rowsOf)).toEqual(["01=aa"]);
    expect(store.head().index).toBe(logIndex(1n));
    const next = store.begin();
    expect(rowsOf(next)).toEqual(["01=aa"]);
    next.rollback();
  });
}

function viewCases(check: Check): void {
  check("begin() refuses a second transaction", async (place) => {
    await using store = await place.open();
    const tx = store.begin();
    expect(() => store.begin()).toThrow();
    tx.rollback();
    store.begin().rollback();
  });
  check("view() shows committed rows only, and one state for its length", async (place) => {
    await using store = await place.open();
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    const tx = store.begin();
    tx.put(hex("01"), hex("bb"));
    tx.put(hex("02"), hex("bb"));
    expect(rowsOf(tx)).toHaveLength(2);
    expect(store.view(rowsOf)).toEqual(["01=aa"]);
    expect(store.view((map) => store.view(() => rowsOf(map)))).toEqual(["01=aa"]);
    await tx.commit(entryOf(2), logIndex(1n), at);
    await store.readBarrier();
    expect(store.view(rowsOf)).toEqual(["01=bb", "02=bb"]);
    expect(() =>
      store.view(() => {
        throw new RangeError("of the body");
      }),
    ).toThrow("of the body");
    expect(store.view(rowsOf)).toEqual(["01=bb", "02=bb"]);
  });
}

/** What `recall` makes of a row, and how often it was made. */
function recallCases(check: Check): void {
  const textOf = (map: MapReader, key: string) => ({ text: map.get(hex(key))?.toHex() ?? "none" });
  check("recall() answers what rows say now, of rows that were absent too", async (place) => {
    await using store = await place.open();
    const recalled = () => [
      store.recall("one", (map) => textOf(map, "01"))?.text,
      store.recall("both", (map) => ({ text: textOf(map, "01").text + textOf(map, "02").text }))
        ?.text,
    ];
    expect(recalled()).toEqual(["none", "nonenone"]);
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    expect(recalled()).toEqual(["aa", "aanone"]);
    expect(recalled()).toEqual(["aa", "aanone"]);
    await commitBatch(store, (map) => map.put(hex("02"), hex("bb")));
    expect(recalled()).toEqual(["aa", "aabb"]);
    await commitBatch(store, (map) => map.delete(hex("01")));
    expect(recalled()).toEqual(["none", "nonebb"]);
  });
  check(
    "view() shows all of a commit or nothing of it, also while it is under way",
    async (place) => {
      await using store = await place.open();
      const keys = ["01", "02", "0301", "0302"].map(hex);
      const seen = (): number =>
        store.view((map) => {
          const values = keys.map((key) => map.get(key)?.[0] ?? 0);
          map.scan({ start: hex("03") }, (_, value) => values.push(value[0]!) > 0);
          expect(new Set(values).size).toBe(1);
          return values[0]!;
        });
      for (let n = 1; n <= 8; n++) {
        const tx = store.begin();
        for (const key of keys) tx.put(key, Uint8Array.of(n));
        let isCommitted = false;
        const committed = tx.commit(entryOf(n), store.head().index, at).then((outcome) => {
          isCommitted = true;
          expect(seen()).toBe(n);
          return outcome;
        });
        while (!isCommitted) {
          expect([n - 1, n]).toContain(seen());
          await new Promise((resolve) => setTimeout(resolve));
        }
        expect((await committed).kind).toBe("committed");
      }
    },
  );
  check("recall() sees what a scan would find", async (place) => {
    await using store = await place.open();
    const recalled = () => store.recall("all", (map) => ({ rows: rowsOf(map) }))?.rows;
    expect(recalled()).toEqual([]);
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    expect(recalled()).toEqual(["01=aa"]);
  });
  check("recall() shows committed rows only", async (place) => {
    await using store = await place.open();
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    const recalled = () => store.recall("one", (map) => textOf(map, "01"))?.text;
    const tx = store.begin();
    tx.put(hex("01"), hex("bb"));
    expect(recalled()).toBe("aa");
    tx.rollback();
    expect(recalled()).toBe("aa");
  });
}

function modelCases(check: Check): void {
  check("a map of random rows equals a plain model", async (place) => {
    const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 20_261_120);
    const prng = prngFromSeed(seed);
    await using store = await place.open();
    const model = new Map<string, string>();
    for (let batch = 0; batch < 30; batch++) {
      const tx = store.begin();
      const draft = new Map(model);
      for (let i = 0; i < 20; i++) {
        const key = prng.fill(new Uint8Array(prng.below(4)));
        for (let j = 0; j < key.byteLength; j++)
          key[j] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][key[j]! % 6]!;
        if (prng.chance(1, 3)) {
          tx.delete(key);
          draft.delete(toHex(key));
        } else {
          const value = prng.fill(new Uint8Array(prng.below(40)));
          tx.put(key, value);
          draft.set(toHex(key), toHex(value));
        }
        if (prng.chance(1, 10))
          expect({ seed, rows: rowsOf(tx) }).toEqual({ seed, rows: sorted(draft) });
      }
      if (prng.chance(1, 4)) {
        tx.rollback();
        continue;
      }
      await tx.commit(entryOf(batch), store.head().index, at);
      model.clear();
      for (const [key, value] of draft) model.set(key, value);
      expect({ seed, rows: store.view(rowsOf) }).toEqual({ seed, rows: sorted(model) });
    }
  });
}

function sorted(model: ReadonlyMap<string, string>): readonly string[] {
  return [...model]
    .sort(([a], [b]) => compareBytes(hex(a), hex(b)))
    .map(([key, value]) => `${key}=${value}`);
}

function scanCases(check: Check): void {
  const keys = ["", "00", "0000", "0001", "01", "7f", "80", "80ff", "ff", "ff00", "ffff", "ffffff"];
  const fill = (map: MapWriter): void => {
    for (const key of keys.toReversed()) map.put(hex(key), hex("01"));
  };
  const bounds = [...keys, "02", "fe", "80fe"];
  const expectAllRanges = (map: MapReader): void => {
    for (const start of bounds) {
      for (const end of [undefined, ...bounds]) {
        const wanted = keys.filter(
          (key) =>
            compareBytes(hex(key), hex(start)) >= 0 &&
            (end === undefined || compareBytes(hex(key), hex(end)) < 0),
        );
        const range = { start: hex(start), end: end === undefined ? undefined : hex(end) };
        const strip = (rows: readonly string[]): readonly string[] =>
          rows.map((row) => row.slice(0, -3));
        expect(strip(rowsOf(map, range))).toEqual(wanted);
        expect(strip(rowsOf(map, { ...range, backward: true }))).toEqual(wanted.toReversed());
      }
    }
  };
  check("scan() visits [start, end) in the order of unsigned bytes, both ways", async (place) => {
    await using store = await place.open();
    const tx = store.begin();
    fill(tx);
    expectAllRanges(tx);
    await tx.commit(entryOf(1), logIndex(0n), at);
    store.view(expectAllRanges);
  });
  check("scan() of a transaction sees its own rows", async (place) => {
    await using store = await place.open();
    await commitBatch(store, fill);
    const tx = store.begin();
    tx.delete(hex("80"));
    tx.put(hex("81"), hex("02"));
    tx.put(hex("ff"), hex("03"));
    expect(rowsOf(tx, { start: hex("7f"), end: hex("ff00") })).toEqual([
      "7f=01",
      "80ff=01",
      "81=02",
      "ff=03",
    ]);
    tx.delete(hex("81"));
    expect(rowsOf(tx, { start: hex("81"), end: hex("ff") })).toEqual([]);
    tx.rollback();
  });
}

function longScanCases(check: Check): void {
  check("scan() goes over many rows, ends when told, and may be nested", async (place) => {
    await using store = await place.open();
    const count = 3000;
    const keyOf = (n: number): Uint8Array => new Uint8Array([n >> 8, n & 0xff]);
    await commitBatch(store, (map) => {
      for (let n = 0; n < count; n++) map.put(keyOf(n), new Uint8Array(n % 50));
    });
    store.view((map) => {
      for (const backward of [false, true]) {
        let visited = 0;
        map.scan({ start: hex(""), backward }, (key) => {
          const expected = backward ? count - 1 - visited : visited;
          expect(key).toEqual(keyOf(expected));
          visited += 1;
          return true;
        });
        expect(visited).toBe(count);
      }
      let outer = 0;
      let inner = 0;
      map.scan({ start: keyOf(100) }, () => {
        outer += 1;
        map.scan({ start: keyOf(200), end: keyOf(220) }, () => {
          inner += 1;
          return true;
        });
        return outer < 30;
      });
      expect([outer, inner]).toEqual([30, 600]);
    });
  });
}

function commitCases(check: Check, declared: ShardStore["declares"]): void {
  check("declares what the contract was told", async (place) => {
    await using store = await place.open();
    expect(store.declares).toEqual(declared);
  });
  check("an empty store has head 0 and first 1", async (place) => {
    await using store = await place.open();
    expect(store.head()).toEqual({ index: logIndex(0n), first: logIndex(1n) });
    expect(store.read(logIndex(1n), 10, 1000)).toEqual([]);
    expect(store.view(rowsOf)).toEqual([]);
    expect(store.consumers().size).toBe(0);
  });
  check("commit() appends and keeps rows and entry over a reopening", async (place) => {
    {
      await using store = await place.open();
      expect(await commitBatch(store, (map) => map.put(hex("00"), hex("aa")))).toBe(1n);
      expect(await commitBatch(store, (map) => map.put(hex("01"), hex("bb")), entryOf(2))).toBe(2n);
      expect(await commitBatch(store, (map) => map.delete(hex("00")), entryOf(3))).toBe(3n);
      store.begin().put(hex("ee"), hex("ee")); // open when the store is disposed
    }
    await using store = await place.open();
    expect(store.head()).toEqual({ index: logIndex(3n), first: logIndex(1n) });
    expect(store.view(rowsOf)).toEqual(["01=bb"]);
    expect(store.read(logIndex(1n), 10, 1000)).toEqual(
      [1, 2, 3].map((n) => ({ index: logIndex(BigInt(n)), bytes: entryOf(n) })),
    );
  });
  check("a committed batch survives a kill, an open one leaves nothing", async (place) => {
    if (place.kill === undefined) return;
    const store = await place.open();
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    const tx = store.begin();
    tx.put(hex("02"), hex("bb"));
    rowsOf(tx);
    await place.kill(store);
    await using again = await place.open();
    expect(again.head().index).toBe(logIndex(1n));
    expect(again.view(rowsOf)).toEqual(["01=aa"]);
  });
  check("a batch without rows is an entry all the same", async (place) => {
    await using store = await place.open();
    expect(await commitBatch(store, () => {})).toBe(1n);
    expect(store.read(logIndex(1n), 1, 1)).toHaveLength(1);
  });
  check("a transaction is over after commit()", async (place) => {
    await using store = await place.open();
    const tx = store.begin();
    tx.put(hex("01"), hex("aa"));
    await tx.commit(entryOf(1), logIndex(0n), at);
    tx.rollback();
    expect(() => tx.put(hex("02"), hex("bb"))).toThrow();
    expect(() => tx.get(hex("02"))).toThrow();
    await expect(tx.commit(entryOf(2), logIndex(1n), at)).rejects.toThrow();
    expect(store.view(rowsOf)).toEqual(["01=aa"]);
  });
}

function logCases(check: Check): void {
  const sized = (n: number): Uint8Array => new Uint8Array(100).fill(n);
  const indexesOf = (entries: readonly { readonly index: bigint }[]): readonly number[] =>
    entries.map((entry) => Number(entry.index));
  check(
    "read() gives at most countMax entries and about sizeMax bytes, at least one",
    async (place) => {
      await using store = await place.open();
      for (let n = 1; n <= 10; n++) await commitBatch(store, () => {}, sized(n));
      expect(indexesOf(store.read(logIndex(1n), 3, 1 << 20))).toEqual([1, 2, 3]);
      expect(indexesOf(store.read(logIndex(4n), 100, 250))).toEqual([4, 5]);
      expect(indexesOf(store.read(logIndex(4n), 100, 1))).toEqual([4]);
      expect(indexesOf(store.read(logIndex(9n), 100, 1 << 20))).toEqual([9, 10]);
      expect(store.read(logIndex(11n), 100, 1 << 20)).toEqual([]);
      expect(store.read(logIndex(7n), 1, 1)[0]!.bytes).toEqual(sized(7));
    },
  );
  check("truncate() drops up to upTo, never past the head, durably", async (place) => {
    {
      await using store = await place.open();
      for (let n = 1; n <= 10; n++) await commitBatch(store, () => {}, sized(n));
      expect(store.truncate(logIndex(3n))).toBe(logIndex(4n));
      expect(store.truncate(logIndex(2n))).toBe(logIndex(4n));
      expect(store.head()).toEqual({ index: logIndex(10n), first: logIndex(4n) });
      expect(indexesOf(store.read(logIndex(4n), 2, 1000))).toEqual([4, 5]);
    }
    await using store = await place.open();
    expect(store.head()).toEqual({ index: logIndex(10n), first: logIndex(4n) });
    expect(store.truncate(logIndex(99n))).toBe(logIndex(11n));
    expect(store.read(logIndex(11n), 2, 1000)).toEqual([]);
    expect(await commitBatch(store, () => {}, sized(11))).toBe(11n);
    expect(indexesOf(store.read(logIndex(11n), 2, 1000))).toEqual([11]);
  });
  check("an emptied log keeps its count over a reopening", async (place) => {
    {
      await using store = await place.open();
      for (let n = 1; n <= 600; n++) await commitBatch(store, () => {}, sized(n & 0xff));
      expect(store.truncate(logIndex(600n))).toBe(logIndex(601n));
    }
    await using store = await place.open();
    expect(store.head()).toEqual({ index: logIndex(600n), first: logIndex(601n) });
  });
  check("size() grows with what is stored", async (place) => {
    await using store = await place.open();
    const before = store.size();
    await commitBatch(store, (map) => map.put(hex("01"), new Uint8Array(300_000)));
    expect(store.size()).toBeGreaterThanOrEqual(before + 300_000);
  });
}

function consumerCases(check: Check): void {
  check("consumers hold the log, and their marks are kept", async (place) => {
    {
      await using store = await place.open();
      store.registerConsumer("audit", logIndex(0n));
      for (let n = 1; n <= 6; n++) await commitBatch(store, () => {});
      store.registerConsumer("views", logIndex(5n));
      expect(store.truncate(logIndex(6n))).toBe(logIndex(1n));
      store.advanceConsumer("audit", logIndex(2n));
      expect(store.truncate(logIndex(6n))).toBe(logIndex(3n));
      store.advanceConsumer("audit", logIndex(4n));
      store.advanceConsumer("audit", logIndex(1n)); // never back
      store.registerConsumer("audit", logIndex(0n)); // keeps the mark
      await commitBatch(store, () => {});
    }
    await using store = await place.open();
    expect([...store.consumers()].sort()).toEqual([
      ["audit", logIndex(4n)],
      ["views", logIndex(5n)],
    ]);
    expect(store.truncate(logIndex(7n))).toBe(logIndex(5n));
  });
  check("a mark advanced before a commit is durable with it", async (place) => {
    if (place.kill === undefined) return;
    const store = await place.open();
    store.registerConsumer("audit", logIndex(0n));
    await commitBatch(store, () => {});
    const tx = store.begin();
    store.advanceConsumer("audit", logIndex(1n));
    await tx.commit(entryOf(2), logIndex(1n), at);
    await place.kill(store);
    await using again = await place.open();
    expect(again.consumers().get("audit")).toBe(logIndex(1n));
  });
}

function fencedCases(check: Check): void {
  check("fenced: nothing of the batch is kept, the other's entry can be read", async (place) => {
    await using store = await place.open();
    await commitBatch(store, (map) => map.put(hex("01"), hex("aa")));
    const tx = store.begin();
    tx.put(hex("02"), hex("bb"));
    place.fenceNext!(store, toUtf8("the other's"));
    expect(await tx.commit(entryOf(2), logIndex(1n), at)).toEqual({ kind: "fenced" });
    expect(store.view(rowsOf)).toEqual(["01=aa"]);
    expect(store.read(logIndex(2n), 9, 1000).map((entry) => entry.bytes)).toEqual([
      toUtf8("the other's"),
    ]);
  });
}

function unknownCases(check: Check): void {
  for (const stored of [true, false]) {
    check(
      `unknown: the log tells afterwards, entry ${stored ? "" : "not "}stored`,
      async (place) => {
        await using store = await place.open();
        const tx = store.begin();
        tx.put(hex("02"), hex("bb"));
        place.unknownNext!(store, stored);
        expect(await tx.commit(entryOf(1), logIndex(0n), at)).toEqual({ kind: "unknown" });
        expect(store.read(logIndex(1n), 9, 1000)).toHaveLength(stored ? 1 : 0);
      },
    );
  }
}
