import type { Epoch } from "@kiseki/base";

/** What a committed change touched. */
export interface ChangedInode {
  readonly inode: bigint;
  /** Names in it came, went or moved; else its attributes or content. */
  readonly isDirectory: boolean;
  /** The native client whose operation it was. */
  readonly client?: Uint8Array | undefined;
}
interface Entry {
  readonly position: bigint;
  readonly change: ChangedInode;
}
export interface Taken {
  /** Changes were missed. */
  readonly isReset: boolean;
  /** Of the last change that was taken. */
  readonly position: bigint;
  readonly changes: readonly ChangedInode[];
}
/** One who follows. */
export interface ChangeWatch extends Disposable {
  /** What lies behind the position that was asked for is not known any more. */
  readonly isReset: boolean;
  readonly position: bigint;
  /** Resolves when there is something to take. */
  changed(): Promise<void>;
  take(countMax: number): Taken;
}

const entriesMax = 16_384;
/** Positions of one epoch; those of two never meet. */
const positionBits = 40n;

/**
 * Which inodes have changed, for those who cache them. Kept in memory, and only while somebody watches: who comes back with a
 * position of before begins anew.
 */
export class ChangeFeed {
  readonly #entries: Entry[] = [];
  readonly #watches = new Set<Watch>();
  #last: bigint;
  /** Of the change before the first that is known. */
  #base: bigint;

  constructor(epoch: Epoch) {
    this.#last = this.#base = epoch << positionBits;
  }
  get isWatched(): boolean {
    return this.#watches.size > 0;
  }
  get last(): bigint {
    return this.#last;
  }
  note(changes: readonly ChangedInode[]): void {
    if (!this.isWatched || changes.length === 0) return;
    for (const change of changes) {
      this.#last += 1n;
      this.#entries.push({ position: this.#last, change });
    }
    if (this.#entries.length > 2 * entriesMax) {
      this.#entries.splice(0, this.#entries.length - entriesMax);
      this.#base = this.#entries[0]!.position - 1n;
    }
    for (const watch of this.#watches) watch.wake();
  }
  /** From behind `position`; 0: from now on. */
  watch(position: bigint): ChangeWatch {
    const isKnown = position >= this.#base && position <= this.#last && this.isWatched;
    const isReset = position !== 0n && !isKnown;
    const watch = new Watch(this, isKnown ? position : this.#last, isReset, () => {
      this.#watches.delete(watch);
      if (this.isWatched) return;
      this.#entries.length = 0;
      this.#last += 1n; // what goes by from here on is not known
      this.#base = this.#last;
    });
    this.#watches.add(watch);
    return watch;
  }
  after(position: bigint, countMax: number): Taken {
    const isReset = position < this.#base;
    const first = Number((isReset ? this.#base : position) - this.#base);
    const taken = this.#entries.slice(first, first + countMax);
    return {
      isReset,
      position: taken.at(-1)?.position ?? (isReset ? this.#base : position),
      changes: taken.map(({ change }) => change),
    };
  }
}

class Watch implements ChangeWatch {
  readonly isReset: boolean;
  readonly #feed: ChangeFeed;
  readonly #onEnd: () => void;
  #position: bigint;
  #waiting = Promise.withResolvers<void>();

  constructor(feed: ChangeFeed, position: bigint, isReset: boolean, onEnd: () => void) {
    this.#feed = feed;
    this.#position = position;
    this.isReset = isReset;
    this.#onEnd = onEnd;
  }
  get position(): bigint {
    return this.#position;
  }
  changed(): Promise<void> {
    if (this.#feed.last > this.#position) return Promise.resolve();
    return this.#waiting.promise;
  }
  wake(): void {
    this.#waiting.resolve();
    this.#waiting = Promise.withResolvers();
  }
  take(countMax: number): Taken {
    const taken = this.#feed.after(this.#position, countMax);
    this.#position = taken.position;
    return taken;
  }
  [Symbol.dispose](): void {
    this.#onEnd();
    this.wake();
  }
}
