import { toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";

/** Four HMACs each: worth keeping, and few are in use in one day. */
const keyCountMax = 1024;

/** What a signing key is good for. */
export interface KeyScope {
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

interface CachedKey {
  readonly secret: string;
  readonly key: Uint8Array;
}

/** Keys derived from secrets for one day, region and service. Owned here; borrowers copy. */
export class SigningKeys {
  readonly #crypto: Crypto;
  readonly #cached = new Map<string, CachedKey>();

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  /** Borrowed until the next call. */
  find(accessKeyId: string, secret: string, { day, region, service }: KeyScope): Uint8Array {
    const name = `${day}/${region}/${service}/${accessKeyId}`;
    const cached = this.#cached.get(name);
    if (cached !== undefined) {
      this.#cached.delete(name);
      if (cached.secret === secret) {
        this.#cached.set(name, cached); // youngest again
        return cached.key;
      }
      this.#crypto.wipe(cached.key);
    }
    if (this.#cached.size >= keyCountMax) this.#dropOldest();
    const key = this.derive(secret, { day, region, service });
    this.#cached.set(name, { secret, key });
    return key;
  }

  /** A key of its own, kept nowhere. */
  derive(secret: string, { day, region, service }: KeyScope): Uint8Array {
    const steps = [day, region, service, "aws4_request"];
    let key = toUtf8(`AWS4${secret}`);
    for (const step of steps) {
      const next = this.#crypto.hmacSha256(key, toUtf8(step));
      this.#crypto.wipe(key);
      key = next;
    }
    return key;
  }

  #dropOldest(): void {
    const oldest = this.#cached.entries().next().value;
    if (oldest === undefined) return;
    this.#cached.delete(oldest[0]);
    this.#crypto.wipe(oldest[1].key);
  }
}
