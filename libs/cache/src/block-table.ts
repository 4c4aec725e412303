import { assert } from "@kiseki/base";

/** `bypass` has no table: nothing is kept. */
export type CacheMode = "pinned" | "organic";

/**
 * The right to use one entry, until it is given back: the entry is neither evicted nor erased meanwhile. `evicted`:
 * what the driver erases before it begins to store.
 */
export interface Ticket {
  readonly key: string;
  readonly size: number;
  readonly evicted: readonly string[];
}
export interface CacheCapacityExceeded {
  readonly kind: "cache_capacity_exceeded";
}
const capacityExceeded: CacheCapacityExceeded = { kind: "cache_capacity_exceeded" };

interface Entry extends Ticket {
  readonly isPinned: boolean;
  /** admitted: has room; storing: may be on the disk; stored: can be read; erasing: about to leave the disk. */
  state: "admitted" | "storing" | "stored" | "erasing";
  readers: number;
  /** To be erased once nobody reads or stores it. */
  isDoomed: boolean;
  /** Rounds of eviction that it still survives: one for each time it was used. */
  credits: number;
}
/** More uses than this earn no longer life, so that a round of eviction stays short. */
const creditsMax = 8;

/** Entries by key, and which of them leave for which. Nothing here is done: the driver does what the answers say. */
export class BlockTable {
  readonly #isPinning: boolean;
  readonly #sizeMax: number;
  readonly #entries = new Map<string, Entry>();
  /** What may be evicted, the first first. */
  readonly #ring = new Map<string, Entry>();
  #sizeKept = 0;
  #sizeOnDisk = 0;

  constructor(mode: CacheMode, sizeMax: number) {
    this.#isPinning = mode === "pinned";
    this.#sizeMax = sizeMax;
  }

  /** Bytes that may be on the disk. */
  get sizeOnDisk(): number {
    return this.#sizeOnDisk;
  }

  /** Whether `read` would give a ticket. */
  has(key: string): boolean {
    const entry = this.#entries.get(key);
    return entry?.state === "stored" && !entry.isDoomed;
  }
  /** A ticket to read the entry. */
  read(key: string): Ticket | undefined {
    const entry = this.#entries.get(key);
    if (entry?.state !== "stored" || entry.isDoomed) return undefined;
    entry.readers += 1;
    entry.credits = Math.min(creditsMax, entry.credits + 1);
    if (this.#ring.delete(key)) this.#ring.set(key, entry);
    return entry;
  }
  /**
   * Gives a ticket to read back. True: the bytes may be served; not after a wipe. `isRight`: false where the disk had
   * other bytes. Then, or once nobody reads a doomed entry, the driver erases what `takeErasable` tells.
   */
  endRead(ticket: Ticket, isRight: boolean): boolean {
    const entry = entryOf(ticket);
    assert(entry.readers > 0, "a ticket is given back once");
    entry.readers -= 1;
    const isServed = isRight && !entry.isDoomed;
    if (!isRight) this.#doom(entry);
    return isServed;
  }

  /** A ticket to store; `undefined`: the key is here already. `isPinned`: it stays until it is released. */
  admit(
    key: string,
    size: number,
    isPinned = this.#isPinning,
  ): Ticket | CacheCapacityExceeded | undefined {
    assert(size > 0, "an entry has bytes");
    if (this.#entries.has(key)) return undefined;
    const evicted = this.#makeRoom(size);
    if (evicted === undefined) return capacityExceeded;
    const usual = { state: "admitted", readers: 0, isDoomed: false, credits: 0 } as const;
    const entry: Entry = { key, size, evicted, isPinned, ...usual };
    this.#entries.set(key, entry);
    if (!isPinned) this.#ring.set(key, entry);
    this.#sizeKept += size;
    return entry;
  }
  /** Whether the driver may begin to write now: not while what makes room is on the disk still. */
  begin(ticket: Ticket): boolean {
    const entry = entryOf(ticket);
    assert(entry.state === "admitted", "storing begins once");
    if (entry.isDoomed || this.#sizeOnDisk + entry.size > this.#sizeMax) {
      this.#forget(entry);
      return false;
    }
    entry.state = "storing";
    this.#sizeOnDisk += entry.size;
    return true;
  }
  endStore(ticket: Ticket, isStored: boolean): void {
    const entry = entryOf(ticket);
    assert(entry.state === "storing", "storing ends once");
    entry.state = "stored";
    if (!isStored) this.#doom(entry);
  }

  /** The entry is not served from now on, pinned or not; it is erased as what a wipe leaves is. */
  release(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#doom(entry);
  }
  /** Whether the driver erases the entry now: doomed, and nobody is at it. It says `erased` when the file has gone. */
  takeErasable(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry?.state !== "stored" || !entry.isDoomed || entry.readers > 0) return false;
    entry.state = "erasing";
    return true;
  }
  /** The file has gone, and its room is free. A file that could not be erased keeps its room for ever. */
  erased(key: string): void {
    const entry = this.#entries.get(key);
    assert(entry?.state === "erasing", "only what was taken is erased");
    this.#sizeOnDisk -= entry.size;
    this.#entries.delete(key);
  }

  /** Nothing that is here is served from now on. The keys to erase; the others follow as they are given back. */
  wipe(): string[] {
    const keys = [...this.#entries.keys()];
    for (const entry of this.#entries.values()) this.#doom(entry);
    return keys.filter((key) => this.#entries.get(key)!.state === "stored");
  }

  #doom(entry: Entry): void {
    if (entry.isDoomed) return;
    entry.isDoomed = true;
    this.#ring.delete(entry.key);
    this.#sizeKept -= entry.size;
  }
  #forget(entry: Entry): void {
    this.#doom(entry);
    this.#entries.delete(entry.key);
  }

  /** Where others need the room: keys to erase with `size` bytes in all, or none where there are not so many. */
  evict(size: number): string[] {
    return this.#evict(size) ?? [];
  }

  #makeRoom(size: number): string[] | undefined {
    const missing = this.#sizeKept + size - this.#sizeMax;
    return missing <= 0 ? [] : this.#evict(missing);
  }
  /** Least recently used first, but each use buys an entry one more round. Nothing is evicted where that is no help. */
  #evict(size: number): string[] | undefined {
    let missing = size;
    const movable = (entry: Entry): boolean => entry.state === "stored" && entry.readers === 0;
    let sizeMovable = 0;
    for (const entry of this.#ring.values()) {
      if (movable(entry)) sizeMovable += entry.size;
      if (sizeMovable >= missing) break;
    }
    if (sizeMovable < missing) return undefined;
    const evicted: string[] = [];
    while (missing > 0) {
      const [key, entry] = this.#ring.entries().next().value!;
      this.#ring.delete(key);
      if (movable(entry) && entry.credits === 0) {
        this.#doom(entry);
        evicted.push(key);
        missing -= entry.size;
        continue;
      }
      if (movable(entry)) entry.credits -= 1;
      this.#ring.set(key, entry);
    }
    return evicted;
  }
}

/** Tickets are the entries themselves: nobody else makes them. */
function entryOf(ticket: Ticket): Entry {
  return ticket as Entry;
}
