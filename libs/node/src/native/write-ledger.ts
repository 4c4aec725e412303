import { assert, type ChunkId, type Millis, sameBytes, type SealId, toHex } from "@kiseki/base";
import type { SealRef } from "@kiseki/chunk-store";

/** A key that was leased, and what became of it. */
interface Lease {
  readonly holder: object;
  readonly ref: SealRef;
  readonly expires: Millis;
  /** Kept as small content. */
  isSmall: boolean;
  /** Of the bytes that came under it first. */
  fingerprint: Uint8Array | undefined;
  /** There once they are kept, or on their way there. */
  receipt: Promise<Uint8Array> | undefined;
  state: "open" | "kept" | "committing" | "void";
}

/** Receipts that one operation names; settled once its outcome is known. */
export interface Commitment {
  /** `isCommitted`: the map names the seals; else they may be named by another operation, or go with their holder. */
  settle(isCommitted: boolean): void;
}

/**
 * Keys leased to native clients (KEYS §4). A key is for one sealing: the first bytes that come under it are the only ones
 * ever; the same again have the same receipt. A receipt is committed once, and its key is forgotten then: nothing more is
 * taken under it. What its holder leaves uncommitted is removed.
 */
export class WriteLedger {
  readonly #leases = new Map<string, Lease>();
  readonly #byHolder = new Map<object, Set<string>>();
  readonly #remove: (refs: readonly SealRef[]) => void;

  /** `remove`: forgets what is stored under seals that nothing will ever name. */
  constructor(remove: (refs: readonly SealRef[]) => void) {
    this.#remove = remove;
  }

  /** Keys that `holder` has. */
  countOf(holder: object): number {
    return this.#byHolder.get(holder)?.size ?? 0;
  }
  lease(holder: object, chunkId: ChunkId, sealId: SealId, expires: Millis): void {
    const name = toHex(sealId);
    assert(!this.#leases.has(name), "a seal id is leased once");
    const ref = { chunkId, sealId };
    const nothing = { fingerprint: undefined, receipt: undefined } as const;
    const fresh = { ...nothing, isSmall: false, state: "open" } as const;
    this.#leases.set(name, { holder, ref, expires, ...fresh });
    let names = this.#byHolder.get(holder);
    if (names === undefined) this.#byHolder.set(holder, (names = new Set()));
    names.add(name);
  }

  /**
   * The receipt of bytes that came under a key. `put` keeps them; it is called for the first to come, and again for
   * the same bytes when it failed. `unknown`: no such key is out any more. `conflict`: other bytes came before.
   */
  keep(
    { sealId, isSmall }: SealRef & { readonly isSmall: boolean },
    fingerprint: Uint8Array,
    put: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> | "unknown" | "conflict" {
    const lease = this.#leases.get(toHex(sealId));
    if (lease === undefined || lease.state === "void") return "unknown";
    if (lease.fingerprint !== undefined) {
      const isSame = sameBytes(lease.fingerprint, fingerprint) && lease.isSmall === isSmall;
      if (!isSame) return "conflict";
    }
    lease.fingerprint = fingerprint;
    lease.isSmall = isSmall;
    return (lease.receipt ??= this.#put(lease, put));
  }
  async #put(lease: Lease, put: () => Promise<Uint8Array>): Promise<Uint8Array> {
    try {
      const receipt = await put();
      if (lease.state === "void") this.#remove([lease.ref]);
      else lease.state = "kept";
      return receipt;
    } catch (reason) {
      lease.receipt = undefined; // the same bytes may come again
      throw reason;
    }
  }

  /** Whether what was kept under a key is small content. */
  isSmall({ sealId }: SealRef): boolean {
    return this.#leases.get(toHex(sealId))?.isSmall === true;
  }
  /** Takes what `holder` names in an operation; `undefined`: some of it is not its own, not kept or committed already. */
  commit(holder: object, refs: readonly SealRef[]): Commitment | undefined {
    const leases: Lease[] = [];
    for (const { chunkId, sealId } of refs) {
      const lease = this.#leases.get(toHex(sealId));
      const isFree = lease?.state === "kept" && !leases.includes(lease);
      if (!isFree || lease.holder !== holder || !sameBytes(lease.ref.chunkId, chunkId)) {
        return undefined;
      }
      leases.push(lease);
    }
    for (const lease of leases) lease.state = "committing";
    return {
      settle: (isCommitted) => {
        for (const lease of leases) lease.state = isCommitted ? "void" : "kept";
        if (isCommitted || !this.#byHolder.has(holder)) this.#drop(leases);
      },
    };
  }

  /** The holder will not commit these. */
  giveBack(holder: object, sealIds: readonly SealId[]): void {
    const own = sealIds.map((sealId) => this.#leases.get(toHex(sealId)));
    this.#drop(own.filter((lease) => lease !== undefined && lease.holder === holder) as Lease[]);
  }
  /** The holder is gone: what it did not commit goes too, what is being committed when that has failed. */
  end(holder: object): void {
    const names = this.#byHolder.get(holder);
    this.#byHolder.delete(holder);
    this.#drop([...(names ?? [])].map((name) => this.#leases.get(name)!));
  }
  /** Keys whose time is over. */
  sweep(now: Millis): void {
    const over = [...this.#leases.values()].filter(({ expires }) => expires <= now);
    if (over.length > 0) this.#drop(over);
  }

  #drop(leases: readonly Lease[]): void {
    const left: SealRef[] = [];
    for (const lease of leases) {
      if (lease.state === "committing") continue;
      if (lease.state === "kept") left.push(lease.ref);
      lease.state = "void";
      const name = toHex(lease.ref.sealId);
      this.#leases.delete(name);
      this.#byHolder.get(lease.holder)?.delete(name);
    }
    if (left.length > 0) this.#remove(left);
  }
}
