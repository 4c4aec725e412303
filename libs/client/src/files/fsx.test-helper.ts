import { type Prng, prngFromSeed } from "@kiseki/base";
import type { FileSystem } from "@kiseki/vfs";
import {
  caller,
  close,
  good,
  lookup,
  type Mounted,
  open,
  readOnly,
  readWrite,
  utf8,
} from "./mount.test-helper.ts";

/** A file may be so long; most steps fall around the end of the first piece. */
const sizeMax = (4 << 20) + 300_000;
const windowStart = (4 << 20) - 200_000;
const noiseSize = 1 << 20;

export interface FsxOptions {
  readonly seed: number;
  readonly steps: number;
  /** Looks at the file through another mount now and then, `ttlMs` after it was stored. */
  readonly other?: Mounted;
  readonly ttlMs: number;
}

/** Index of the first byte that differs; -1 for none. */
function difference(a: Uint8Array, b: Uint8Array): number {
  if (a.byteLength !== b.byteLength) return Math.min(a.byteLength, b.byteLength);
  if (Buffer.compare(a, b) === 0) return -1;
  return a.findIndex((byte, i) => byte !== b[i]);
}
interface Place {
  readonly offset: number;
  readonly length: number;
}

class Fsx {
  readonly #mounts: readonly Mounted[];
  readonly #options: FsxOptions;
  readonly #prng: Prng;
  readonly #name: string;
  readonly #model = new Uint8Array(sizeMax);
  /** What is written is cut out of this: to draw each byte anew would take longer than the step. */
  readonly #noise: Uint8Array;
  #size = 0;
  /** Of each mount; the one that takes a step is `#at`. */
  readonly #handles: number[] = [];
  #at = 0;

  constructor(mounts: readonly Mounted[], options: FsxOptions) {
    this.#mounts = mounts;
    this.#options = options;
    this.#prng = prngFromSeed(options.seed);
    this.#name = `fsx-${options.seed}`;
    this.#noise = this.#prng.fill(new Uint8Array(noiseSize));
  }

  get #mount(): Mounted {
    return this.#mounts[this.#at]!;
  }
  get #fs(): FileSystem {
    return this.#mount.fs;
  }
  get #handle(): number {
    return this.#handles[this.#at]!;
  }

  async run(): Promise<Map<string, number>> {
    const options = { mode: 0o644, isExclusive: false, flags: readWrite };
    for (const { fs } of this.#mounts) {
      const made = await good(fs.create(1, utf8(this.#name), options, caller));
      this.#handles.push(made.handle);
    }
    const counts = new Map<string, number>();
    for (let i = 0; i < this.#options.steps; i += 1) {
      this.#at = this.#prng.below(this.#mounts.length);
      try {
        const kind = await this.#step();
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
        const { size } = (await lookup(this.#fs, this.#name)).attributes;
        if (size !== this.#size) throw new Error(`size ${size}, not ${this.#size} after ${kind}`);
      } catch (reason) {
        throw new Error(`step ${i}: ${String(reason)}`, { cause: reason });
      }
    }
    for (const [i, { fs }] of this.#mounts.entries()) await close(fs, this.#handles[i]!);
    return counts;
  }

  #place(lengthMax: number): Place {
    const start = this.#prng.chance(1, 5) ? 0 : windowStart;
    const offset = start + this.#prng.below(this.#prng.chance(1, 2) ? 20_000 : 350_000);
    return { offset, length: 1 + this.#prng.below(Math.min(lengthMax, sizeMax - offset)) };
  }

  async #check(fs: FileSystem, handle: number, { offset, length }: Place): Promise<void> {
    const target = new Uint8Array(length).fill(0xee);
    const count = await good(fs.read(handle, offset, target));
    const end = Math.min(this.#size, offset + length);
    const wanted = this.#model.subarray(Math.min(offset, this.#size), end);
    const at = difference(target.subarray(0, count), wanted);
    if (at >= 0) throw new Error(`byte ${offset + at} of ${this.#size} differs (${count} read)`);
  }

  async #step(): Promise<string> {
    const place = this.#place(this.#prng.chance(1, 10) ? 200_000 : 9000);
    const act = this.#prng.below(100);
    if (act < 35) return this.#write(place);
    if (act < 65) {
      await this.#check(this.#fs, this.#handle, place);
      return "read";
    }
    if (act < 72) return this.#truncate(this.#prng.chance(1, 30) ? 0 : place.offset);
    if (act < 82) return this.#allocate(place);
    if (act < 88) return this.#copy(place, this.#place(1).offset);
    if (act < 92) {
      await good(this.#fs.fsync(this.#handle, false));
      return "fsync";
    }
    if (act < 95) {
      await close(this.#fs, this.#handle);
      this.#handles[this.#at] = await open(this.#fs, this.#name);
      return "reopen";
    }
    if (act >= 98 && this.#options.other !== undefined)
      return this.#look(this.#options.other, place);
    await this.#mount.clock.pass(this.#prng.below(3000));
    return "pass";
  }

  async #write({ offset, length }: Place): Promise<string> {
    const start = this.#prng.below(noiseSize - length);
    const bytes = this.#noise.slice(start, start + length);
    await good(this.#fs.write(this.#handle, offset, bytes));
    this.#model.set(bytes, offset);
    this.#size = Math.max(this.#size, offset + length);
    return "write";
  }
  async #truncate(size: number): Promise<string> {
    const { node } = await lookup(this.#fs, this.#name);
    await good(this.#fs.setattr(node, { size }, this.#handle));
    if (size < this.#size) this.#model.fill(0, size, this.#size);
    this.#size = size;
    return "truncate";
  }
  async #allocate({ offset, length }: Place): Promise<string> {
    const isPunch = this.#prng.chance(1, 2);
    const mode = this.#prng.chance(1, 3) ? "allocate" : isPunch ? "punch" : "zero";
    const isSizeKept = mode === "punch" || this.#prng.chance(1, 2);
    await good(this.#fs.fallocate(this.#handle, { mode, offset, length, isSizeKept }));
    const end = offset + length;
    if (mode !== "allocate")
      this.#model.fill(0, Math.min(this.#size, offset), Math.min(this.#size, end));
    if (!isSizeKept) this.#size = Math.max(this.#size, end);
    return mode;
  }
  async #copy({ offset, length }: Place, target: number): Promise<string> {
    const isApart = target >= offset + length || target + length <= offset;
    if (!isApart || target + length > sizeMax) return "none";
    const handles = { source: this.#handle, target: this.#handle };
    const range = { ...handles, sourceOffset: offset, targetOffset: target, length };
    let copied = 0;
    const wanted = Math.max(0, Math.min(length, this.#size - offset));
    while (copied < wanted) {
      const count = await good(
        this.#fs.copyFileRange({
          ...range,
          sourceOffset: offset + copied,
          targetOffset: target + copied,
          length: length - copied,
        }),
      );
      if (count === 0 || count > wanted - copied)
        throw new Error(`${count} copied of ${wanted - copied}`);
      copied += count;
    }
    this.#model.copyWithin(target, offset, offset + copied);
    if (copied > 0) this.#size = Math.max(this.#size, target + copied);
    return "copy";
  }
  async #look({ fs, clock }: Mounted, place: Place): Promise<string> {
    await good(this.#fs.fsync(this.#handle, false));
    await clock.pass(this.#options.ttlMs);
    const handle = await open(fs, this.#name, readOnly);
    await this.#check(fs, handle, place);
    await close(fs, handle);
    return "other";
  }
}

/**
 * Random operations on one file, each through any of the mounts, against bytes in memory, as fsx does: every read is compared, and after each step the
 * size. Throws with the step when something differs; else how often each kind of step was taken.
 */
export const fsx = (
  mounts: readonly Mounted[],
  options: FsxOptions,
): Promise<Map<string, number>> => new Fsx(mounts, options).run();
