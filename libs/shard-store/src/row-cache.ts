import type { MapReader } from "@kiseki/ports";

/** What an entry takes besides its bytes: the key's text, the objects around. */
const entryOverhead = 256;
/** Rows beyond this are read anew each time: one of them would push out hundreds. */
const valueSizeMax = 4096;

/** What a remembered result takes besides its name, and the list of its rows; who has larger ones should not ask. */
const memoOverhead = 1536;

/** A committed row as it was read. */
export class CachedRow {
  /** `unread`: it is watched for a result that was made of it. */
  value: Uint8Array | "unread" | undefined;
  /** False once the row was changed, or may have been: nobody would tell. */
  isCurrent = true;
  /** Asked for more than once. */
  isShared = false;
  constructor(value: Uint8Array | undefined) {
    this.value = value;
  }
}

/** What somebody made of rows; true as long as each of them is current. */
interface Memo {
  readonly result: object;
  readonly rows: readonly CachedRow[];
}

/** Told what a cache takes. */
interface Account {
  readonly grew: (size: number) => void;
  /** The cache is gone; so many of its bytes were young. */
  readonly left: (size: number) => void;
}

/**
 * Bytes that the row caches of any number of stores hold together, at most about `sizeMax`: what is read most often
 * gets the room, whosever it is. Two generations: what is asked for moves to the young one, and when the young ones
 * of all are half the size, the old ones go, of stores that nobody reads too.
 */
export class RowBudget {
  readonly #generationSizeMax: number;
  readonly #caches = new Set<RowCache>();
  #youngSize = 0;

  constructor(sizeMax: number) {
    this.#generationSizeMax = sizeMax / 2;
  }
  /** A cache that counts until it is disposed. */
  open(): RowCache {
    const cache = new RowCache({
      grew: (size) => this.#grew(size),
      left: (size) => {
        this.#caches.delete(cache);
        this.#youngSize -= size;
      },
    });
    this.#caches.add(cache);
    return cache;
  }
  #grew(size: number): void {
    this.#youngSize += size;
    if (this.#youngSize < this.#generationSizeMax) return;
    for (const cache of this.#caches) cache.age();
    this.#youngSize = 0;
  }
}

/** Keys of bytes as keys of a `Map`; the engine's own hex is several times as fast as a character per byte. */
export const rowText = (key: Uint8Array): string => key.toHex();

/** Two generations: what is asked for moves to the young one. */
class Generations<Value> {
  young = new Map<string, Value>();
  old = new Map<string, Value>();

  delete(name: string): void {
    this.young.delete(name);
    this.old.delete(name);
  }
  age(): void {
    this.old = this.young;
    this.young = new Map();
  }
  clear(): void {
    this.young.clear();
    this.old.clear();
  }
}

/**
 * Committed rows of one store by key, and keys known to have none. Whoever commits tells which keys changed: until
 * then all that is here is true. Beside them results that were made of such rows alone.
 */
export class RowCache implements Disposable {
  readonly #account: Account;
  readonly #rows = new Generations<CachedRow>();
  readonly #memos = new Generations<Memo>();
  #youngSize = 0;
  #isClosed = false;

  constructor(account: Account) {
    this.#account = account;
  }
  /** The row of `key`, out of `source` when it is not here; the bytes are the caller's. It is added to `seen`. `text` as of `rowText`. */
  get(
    key: Uint8Array,
    source: Pick<MapReader, "get">,
    seen?: CachedRow[],
    text = rowText(key),
  ): Uint8Array | undefined {
    const { young, old } = this.#rows;
    let row = young.get(text);
    if (row === undefined) {
      row = old.get(text);
      if (row !== undefined) row.isShared = true;
      row ??= new CachedRow(source.get(key));
      this.#keep(text, row);
    } else row.isShared = true;
    if (row.value === "unread") row.value = source.get(key);
    seen?.push(row);
    return row.value?.slice();
  }
  /** What was made under `name`, if all rows that it was made of are as they were. */
  recall(name: string): object | undefined {
    let memo = this.#memos.young.get(name);
    const isOld = memo === undefined;
    memo ??= this.#memos.old.get(name);
    if (memo === undefined) return undefined;
    const { rows } = memo;
    for (let i = 0; i < rows.length; i++) {
      if (rows[i]!.isCurrent) continue;
      this.#memos.delete(name);
      return undefined;
    }
    if (isOld) this.#keepMemo(name, memo);
    return memo.result;
  }
  /** Nobody may change `result` from now on. Of its `rows`, those that nobody else has asked for give their bytes back. */
  remember(name: string, result: object, rows: readonly CachedRow[]): void {
    if (!rows.every((row) => row.isCurrent)) return;
    this.#keepMemo(name, { result, rows });
    for (const row of rows) if (!row.isShared && row.value !== undefined) row.value = "unread";
  }
  /** The committed row is another one now, or may be. `text` as of `rowText`. */
  forget(text: string): void {
    const { young, old } = this.#rows;
    for (const row of [young.get(text), old.get(text)]) if (row) row.isCurrent = false;
    this.#rows.delete(text);
  }
  /** As `forget`, when it is known what the row is now: what was written is often read soon. `value` is the cache's from then on. */
  replace(text: string, value: Uint8Array | undefined): void {
    this.forget(text);
    if (value !== undefined) this.#keep(text, new CachedRow(value));
  }
  /** What is young is old from now on; what was old goes. */
  age(): void {
    const { young, old } = this.#rows;
    for (const [text, row] of old) if (young.get(text) !== row) row.isCurrent = false; // nobody will tell it
    this.#rows.age();
    this.#memos.age();
    this.#youngSize = 0;
  }
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rows.clear();
    this.#memos.clear();
    this.#account.left(this.#youngSize);
  }
  #keep(text: string, row: CachedRow): void {
    const size = row.value === "unread" ? 0 : (row.value?.byteLength ?? 0);
    if (size > valueSizeMax || this.#isClosed) {
      row.isCurrent = false; // for whoever made something of it: nobody will tell it
      return;
    }
    this.#rows.young.set(text, row);
    this.#count(size + text.length + entryOverhead); // forgotten ones stay counted: it only turns sooner
  }
  #keepMemo(name: string, memo: Memo): void {
    if (this.#isClosed) return;
    this.#memos.young.set(name, memo);
    this.#count(name.length + memoOverhead);
  }
  #count(size: number): void {
    this.#youngSize += size;
    this.#account.grew(size);
  }
}
