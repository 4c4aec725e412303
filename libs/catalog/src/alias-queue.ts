import { type TenantId, toHex } from "@kiseki/base";
import type { AliasChange, AliasOutcome, Catalog } from "./types.ts";

/** Changes of one transaction; more wait for the next one. */
const changesMax = 256;

interface Waiting {
  readonly change: AliasChange;
  readonly resolve: (isHeld: boolean) => void;
  readonly reject: (reason: unknown) => void;
}

/** A bucket's row, as its tenant's shard has it. */
export interface AliasedBucket {
  readonly tenant: TenantId;
  readonly name: string;
  /** Whether the bucket is there now. */
  readonly exists: () => boolean;
}

/**
 * Takes and gives back the virtual-host names of buckets: who asks while a commit goes on, or in the same turn of
 * the loop, shares the next commit. A name is taken before its bucket is made and given back after the bucket went,
 * so that it never means two buckets; while somebody makes the bucket nobody gives its name back.
 */
export class AliasQueue {
  readonly #catalog: Pick<Catalog, "changeAliases">;
  /** How many are making a bucket of the name now. */
  readonly #making = new Map<string, number>();
  readonly #queue: Waiting[] = [];
  #isScheduled = false;

  constructor(catalog: Pick<Catalog, "changeAliases">) {
    this.#catalog = catalog;
  }

  /** Takes the name for `bucket`, unless another tenant has it, then makes it; gives it back if that fails. */
  async make<T>(bucket: AliasedBucket, make: () => Promise<T>): Promise<T> {
    const { tenant, name } = bucket;
    const key = keyOf(bucket);
    this.#making.set(key, (this.#making.get(key) ?? 0) + 1);
    let hasAlias = false;
    let isMade = false;
    try {
      hasAlias = await this.#change({ kind: "claim", name, tenant });
      const made = await make();
      isMade = true;
      return made;
    } finally {
      const left = this.#making.get(key)! - 1;
      if (left === 0) this.#making.delete(key);
      else this.#making.set(key, left);
      if (hasAlias && !isMade) await this.release(bucket);
    }
  }
  /** Gives the name back when there is no such bucket and nobody makes one. */
  async release(bucket: AliasedBucket): Promise<void> {
    if (this.#making.has(keyOf(bucket)) || bucket.exists()) return;
    await this.#change({ kind: "release", name: bucket.name, tenant: bucket.tenant });
  }

  #change(change: AliasChange): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    this.#queue.push({ change, resolve, reject });
    this.#schedule();
    return promise;
  }
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#commit(this.#queue.splice(0, changesMax));
      if (this.#queue.length > 0) this.#schedule();
    });
  }
  #commit(batch: readonly Waiting[]): void {
    let outcomes: readonly AliasOutcome[];
    try {
      outcomes = this.#catalog.changeAliases(batch.map(({ change }) => change));
    } catch (reason) {
      for (const { reject } of batch) reject(reason);
      return;
    }
    batch.forEach(({ resolve, reject }, at) => {
      const outcome = outcomes[at]!;
      if (typeof outcome === "boolean") resolve(outcome);
      else reject(outcome);
    });
  }
}

const keyOf = ({ tenant, name }: AliasedBucket): string => `${toHex(tenant)}/${name}`;
