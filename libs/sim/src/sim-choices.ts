import type { Prng } from "@kiseki/base";
import type { ModelBucket, ModelUpload, ModelVersion } from "./sim-model.ts";
import type { SimNode } from "./sim-node.ts";

const keys = [
  "a",
  "a/",
  "a/b",
  "a/b/c",
  "a/b/d",
  "a.txt",
  "a-b",
  "dir/x",
  "dir/y",
  "dir/sub/z",
  "dir/sub/w",
  "x//y",
  "..",
  "./p",
  "tail/../q",
  "é/ü",
  "deep/1/2/3/4",
  "v/one",
  "v/two",
  "v/w/three",
  "k0",
  "k1",
  "k2",
  "k3",
] as const;
const sharedBodies = 6;
/** Bytes of all versions above which clients rather delete. */
const sizeWanted = 500_000;

/** One of `items`; draws nothing when there are none. */
export function pick<T>(prng: Prng, items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : items[prng.below(items.length)];
}

/** What clients pick at random: names, buckets, versions, uploads and bodies that the model knows. */
export class SimChoices {
  readonly #node: SimNode;
  readonly #prng: Prng;
  #seedNext: number;

  constructor(node: SimNode, seedFirst: number) {
    this.#node = node;
    this.#prng = node.world.prng;
    this.#seedNext = seedFirst;
  }
  /** The seed of a body that nobody has put yet. */
  seed(): number {
    return this.#seedNext++;
  }
  key(): string {
    return keys[this.#prng.below(keys.length)]!;
  }
  pick<T>(items: readonly T[]): T | undefined {
    return pick(this.#prng, items);
  }
  bucket(): ModelBucket | undefined {
    return this.pick([...this.#node.model.buckets.values()]);
  }
  /** An object that is there, as a rule. */
  object(): { readonly bucket: ModelBucket; readonly key: string } | undefined {
    const bucket = this.bucket();
    if (bucket === undefined) return undefined;
    const key = this.#prng.chance(1, 8) ? this.key() : this.pick([...bucket.keys.keys()]);
    return key === undefined ? undefined : { bucket, key };
  }
  version():
    { readonly bucket: ModelBucket; readonly key: string; readonly one: ModelVersion } | undefined {
    const found = this.object();
    const one = found && this.pick(found.bucket.keys.get(found.key) ?? []);
    return found && one && { ...found, one };
  }
  upload():
    | { readonly bucket: ModelBucket; readonly name: string; readonly upload: ModelUpload }
    | undefined {
    const bucket = this.bucket();
    const entry = bucket && this.pick([...bucket.uploads]);
    return bucket && entry && { bucket, name: entry[0], upload: entry[1] };
  }
  /** Seed and size of a body: shared ones are put again and again. */
  body(): { readonly seed: number; readonly size: number } {
    const { chunkSize, smallSizeMax } = this.#node.world.shape;
    const prng = this.#prng;
    if (prng.chance(2, 5)) {
      const seed = prng.below(sharedBodies);
      return { seed, size: smallSizeMax + 1 + ((seed * 977) % chunkSize) };
    }
    const seed = this.seed();
    switch (prng.below(8)) {
      case 0:
        return { seed, size: 0 };
      case 1:
      case 2:
      case 3:
        return { seed, size: 1 + prng.below(smallSizeMax) };
      case 4:
        return { seed, size: chunkSize };
      case 5:
        return { seed, size: chunkSize + prng.below(2 * chunkSize) };
      default:
        return { seed, size: smallSizeMax + 1 + prng.below(chunkSize - smallSizeMax) };
    }
  }
  /** True when clients should rather delete. */
  get isFull(): boolean {
    return this.#node.model.size() > sizeWanted;
  }
}
