import type { NodeNumber } from "./file-system.ts";

/** Each byte has a character of its own, and this is the fastest way to a string. */
const decoder = new TextDecoder("latin1");
const byteOfChar = new Map(
  Array.from({ length: 256 }, (_, byte) => [decoder.decode(Uint8Array.of(byte)), byte]),
);
/** A name as a key of a `Map`: one char a byte. */
export const nameKey = (name: Uint8Array): string => decoder.decode(name);
/** The name that a key was made of. */
export const nameOfKey = (key: string): Uint8Array =>
  Uint8Array.from(key, (char) => byteOfChar.get(char)!);

/** Directories that are known as a whole. */
const wholeMax = 10_000;

interface NameEntry {
  /** 0: the name is known not to be there. */
  readonly node: NodeNumber;
  readonly until: number;
}

/**
 * What names of directories mean, each for as long as its answer may be believed. Times are the caller's clock. When it
 * is full, the directories that were used first are forgotten as a whole.
 */
export class NameCache {
  readonly #directories = new Map<NodeNumber, Map<string, NameEntry>>();
  /** Directories of which every name is known, and until when that is believed. */
  readonly #whole = new Map<NodeNumber, number>();
  readonly #countMax: number;
  #count = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#count;
  }

  /** The node, 0 when the name is known not to be there, `undefined` when it has to be asked for. */
  get(parent: NodeNumber, name: string, now: number): NodeNumber | undefined {
    const entry = this.#directories.get(parent)?.get(name);
    return entry === undefined || entry.until <= now ? undefined : entry.node;
  }
  /** Every name that the directory has is known from now on. */
  setWhole(parent: NodeNumber, until: number): void {
    if (this.#whole.size >= wholeMax) this.#whole.clear();
    this.#whole.set(parent, until);
  }
  /** Until when a name that was never heard of is known not to be there; 0: it may be. */
  absentUntil(parent: NodeNumber, name: string): number {
    return this.#directories.get(parent)?.has(name) === true ? 0 : (this.#whole.get(parent) ?? 0);
  }
  /** Until when `get` answers; 0 for what it does not know. */
  until(parent: NodeNumber, name: string): number {
    return this.#directories.get(parent)?.get(name)?.until ?? 0;
  }
  /** What the name meant when it was last seen, however long ago. */
  last(parent: NodeNumber, name: string): NodeNumber | undefined {
    return this.#directories.get(parent)?.get(name)?.node;
  }

  /** At most `countMax` names of the directory, as bytes. */
  namesOf(parent: NodeNumber, countMax: number): Uint8Array[] {
    const keys = this.#directories.get(parent)?.keys() ?? [];
    const names: Uint8Array[] = [];
    for (const key of keys) {
      if (names.length >= countMax) break;
      names.push(nameOfKey(key));
    }
    return names;
  }

  set(parent: NodeNumber, name: string, node: NodeNumber, until: number): void {
    let names = this.#directories.get(parent);
    if (names === undefined) {
      names = new Map();
      this.#directories.set(parent, names);
    }
    if (!names.has(name)) this.#count += 1;
    names.set(name, { node, until });
    while (this.#count > this.#countMax && this.#directories.size > 0) {
      const [first] = this.#directories.keys();
      this.forgetDirectory(first!);
    }
  }
  forget(parent: NodeNumber, name: string): void {
    this.#whole.delete(parent);
    if (this.#directories.get(parent)?.delete(name) === true) this.#count -= 1;
  }
  forgetDirectory(parent: NodeNumber): void {
    this.#whole.delete(parent);
    this.#count -= this.#directories.get(parent)?.size ?? 0;
    this.#directories.delete(parent);
  }
  clear(): void {
    this.#directories.clear();
    this.#whole.clear();
    this.#count = 0;
  }
}
