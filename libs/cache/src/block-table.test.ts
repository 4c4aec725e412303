import { expect, test } from "bun:test";
import { type Prng, prngFromSeed } from "@kiseki/base";
import { BlockTable, type CacheMode, type Ticket } from "./index.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const runCount = 200;
const stepCount = 400;

function store(table: BlockTable, key: string, size: number): readonly string[] {
  const ticket = table.admit(key, size);
  if (ticket === undefined || "kind" in ticket) throw new Error(`No room for ${key}`);
  for (const evicted of ticket.evicted) {
    expect(table.takeErasable(evicted)).toBe(true);
    table.erased(evicted);
  }
  expect(table.begin(ticket)).toBe(true);
  table.endStore(ticket, true);
  return ticket.evicted;
}
function use(table: BlockTable, key: string): boolean {
  const ticket = table.read(key);
  return ticket !== undefined && table.endRead(ticket, true);
}

test("BlockTable evicts the least recently used, and each use buys a round", () => {
  const table = new BlockTable("organic", 3);
  for (const key of ["a", "b", "c"]) store(table, key, 1);
  use(table, "a");
  use(table, "a");
  const gone = ["d", "e", "f", "g", "h", "i", "j"].flatMap((key) => store(table, key, 1));
  expect(gone.slice(0, 2)).toEqual(["b", "c"]);
  expect(gone.indexOf("a")).toBe(gone.length - 1);
});

test("BlockTable refuses what does not fit beside pins, and evicts none of them", () => {
  const table = new BlockTable("pinned", 3);
  for (const key of ["a", "b", "c"]) store(table, key, 1);
  expect(table.admit("d", 1)).toEqual({ kind: "cache_capacity_exceeded" });
  expect(["a", "b", "c"].map((key) => use(table, key))).toEqual([true, true, true]);
});

test("BlockTable serves nothing from before a wipe, and takes new entries after it", () => {
  const table = new BlockTable("organic", 10);
  store(table, "a", 1);
  store(table, "read", 1);
  const reading = table.read("read")!;
  const storing = table.admit("storing", 1) as Ticket;
  expect(table.begin(storing)).toBe(true);
  const admitted = table.admit("admitted", 1) as Ticket;
  expect(table.wipe()).toEqual(["a", "read"]);
  expect([table.takeErasable("read"), use(table, "a")]).toEqual([false, false]);
  expect(table.endRead(reading, true)).toBe(false);
  table.endStore(storing, true);
  expect([use(table, "storing"), table.begin(admitted)]).toEqual([false, false]);
  for (const key of ["a", "read", "storing"]) {
    expect(table.takeErasable(key)).toBe(true);
    table.erased(key);
  }
  expect(table.sizeOnDisk).toBe(0);
  store(table, "a", 1);
  expect(use(table, "a")).toBe(true);
});

test("BlockTable keeps pins beside what is used, until they are released", () => {
  const table = new BlockTable("organic", 3);
  const pin = table.admit("pin", 2, true) as Ticket;
  table.begin(pin);
  table.endStore(pin, true);
  store(table, "a", 1);
  expect(table.evict(3)).toEqual([]);
  expect(store(table, "b", 1)).toEqual(["a"]);
  expect(table.admit("c", 2)).toEqual({ kind: "cache_capacity_exceeded" });
  expect(use(table, "pin")).toBe(true);
  table.release("pin");
  expect([use(table, "pin"), table.takeErasable("pin")]).toEqual([false, true]);
  table.erased("pin");
  store(table, "c", 2);
  expect(table.evict(2)).toEqual(["b", "c"]);
  expect(use(table, "b")).toBe(false);
});

/** A disk and its driver, as simple as can be: what the table says against what is there. */
class Model {
  readonly table: BlockTable;
  readonly sizeMax: number;
  readonly isPinning: boolean;
  readonly #prng: Prng;
  readonly disk = new Map<string, number>();
  /** Stored, and neither evicted, wiped nor found wrong: the only keys that may be served. */
  readonly live = new Set<string>();
  /** Stays until it is released or wiped, found wrong, or never stored. */
  readonly pinned = new Set<string>();
  readonly doomed = new Set<string>();
  readonly erasing: string[] = [];
  readonly admitted: Ticket[] = [];
  readonly storing: { readonly ticket: Ticket; isWiped: boolean }[] = [];
  readonly reading: { readonly ticket: Ticket; isWiped: boolean }[] = [];
  served = 0;

  constructor(prng: Prng, mode: CacheMode) {
    this.#prng = prng;
    this.sizeMax = 20 + prng.below(60);
    this.isPinning = mode === "pinned";
    this.table = new BlockTable(mode, this.sizeMax);
  }
  #pick<T>(list: T[]): T | undefined {
    return list.length === 0 ? undefined : list.splice(this.#prng.below(list.length), 1)[0];
  }

  step(): void {
    const key = `${this.#prng.below(30)}`;
    const choice = this.#prng.below(100);
    if (choice < 25) this.#read(key);
    else if (choice < 45) this.#admit(key);
    else if (choice < 55) this.#begin();
    else if (choice < 65) this.#endStore();
    else if (choice < 80) this.#endRead();
    else if (choice < 95) this.#erase();
    else if (choice < 97) this.#evict();
    else if (choice < 99) this.#release(key);
    else this.#wipe();
    this.check();
  }
  check(): void {
    const used = [...this.disk.values()].reduce((sum, size) => sum + size, 0);
    expect(used).toBe(this.table.sizeOnDisk);
    expect(used).toBeLessThanOrEqual(this.sizeMax);
    for (const key of this.live) expect(this.disk.has(key)).toBe(true);
    const pinned = [...this.pinned].filter((key) => this.disk.has(key));
    expect(pinned.every((key) => this.live.has(key) || this.isStoring(key))).toBe(true);
  }
  isStoring(key: string): boolean {
    return this.storing.some(({ ticket }) => ticket.key === key);
  }

  #read(key: string): void {
    const ticket = this.table.read(key);
    expect(ticket !== undefined).toBe(this.live.has(key));
    if (ticket !== undefined) this.reading.push({ ticket, isWiped: false });
  }
  #endRead(): void {
    const read = this.#pick(this.reading);
    if (read === undefined) return;
    const { key } = read.ticket;
    const isRight = this.#prng.below(10) > 0;
    const isLive = this.live.has(key) && !read.isWiped;
    expect(this.table.endRead(read.ticket, isRight)).toBe(isRight && isLive);
    if (isRight && isLive) this.served += 1;
    if (!isRight) this.#doom(key);
  }
  #doom(key: string): void {
    this.pinned.delete(key);
    if (this.live.delete(key)) this.doomed.add(key);
  }
  /** Others need the room: what goes is live, not pinned, and read by nobody. */
  #evict(): void {
    for (const key of this.table.evict(1 + this.#prng.below(20))) this.#evicted(key);
  }
  #evicted(key: string): void {
    expect(this.live.has(key)).toBe(true);
    expect(this.pinned.has(key)).toBe(false);
    expect(this.reading.some((read) => read.ticket.key === key)).toBe(false);
    this.#doom(key);
  }
  #release(key: string): void {
    this.table.release(key);
    for (const each of [...this.storing, ...this.reading])
      if (each.ticket.key === key) each.isWiped = true;
    const at = this.admitted.findIndex((ticket) => ticket.key === key);
    if (at >= 0) expect(this.table.begin(this.admitted.splice(at, 1)[0]!)).toBe(false);
    this.#doom(key);
  }
  #admit(key: string): void {
    const isHere = [this.live, this.doomed, new Set(this.erasing)].some((keys) => keys.has(key));
    const tickets = [...this.admitted, ...this.storing.map(({ ticket }) => ticket)];
    // An image of staging is pinned whatever the mode.
    const isPinned = this.isPinning || this.#prng.below(6) === 0;
    const ticket = this.table.admit(key, 1 + this.#prng.below(12), isPinned);
    if (isHere || tickets.some((each) => each.key === key)) {
      expect(ticket).toBeUndefined();
      return;
    }
    if (ticket === undefined) throw new Error(`${key} is not there and was not admitted`);
    if ("kind" in ticket) return;
    if (this.isPinning) expect(ticket.evicted).toEqual([]);
    for (const evicted of ticket.evicted) this.#evicted(evicted);
    if (isPinned) this.pinned.add(key);
    this.admitted.push(ticket);
  }
  #begin(): void {
    const ticket = this.#pick(this.admitted);
    if (ticket === undefined) return;
    if (!this.table.begin(ticket)) {
      this.pinned.delete(ticket.key);
      return;
    }
    this.disk.set(ticket.key, ticket.size);
    this.storing.push({ ticket, isWiped: false });
  }
  #endStore(): void {
    const stored = this.#pick(this.storing);
    if (stored === undefined) return;
    const isStored = this.#prng.below(10) > 0;
    this.table.endStore(stored.ticket, isStored);
    const isLive = isStored && !stored.isWiped;
    (isLive ? this.live : this.doomed).add(stored.ticket.key);
    if (!isLive) this.pinned.delete(stored.ticket.key);
  }
  #erase(): void {
    const done = this.#prng.below(2) === 0 ? this.#pick(this.erasing) : undefined;
    if (done !== undefined) {
      this.disk.delete(done);
      this.table.erased(done);
    }
    for (const key of [...this.doomed, ...this.live]) {
      const isRead = this.reading.some(({ ticket }) => ticket.key === key);
      const isTaken = this.table.takeErasable(key);
      expect(isTaken).toBe(this.doomed.has(key) && !isRead);
      if (!isTaken) continue;
      this.doomed.delete(key);
      this.erasing.push(key);
    }
  }
  #wipe(): void {
    const keys = this.table.wipe();
    for (const key of this.live) expect(keys).toContain(key);
    for (const key of [...this.live]) this.#doom(key);
    this.pinned.clear();
    for (const each of [...this.storing, ...this.reading]) each.isWiped = true;
    this.admitted.splice(0).forEach((ticket) => {
      expect(this.table.begin(ticket)).toBe(false);
    });
  }
}

test.each(["organic", "pinned"] as const)(
  `BlockTable as %s does as the model does, seed ${seed}`,
  (mode) => {
    let served = 0;
    for (let run = 0; run < runCount; run += 1) {
      const model = new Model(prngFromSeed(seed + run), mode);
      for (let step = 0; step < stepCount; step += 1) model.step();
      served += model.served;
    }
    expect(served).toBeGreaterThan(runCount);
  },
);
