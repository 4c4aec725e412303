import { toHex } from "@kiseki/base";
import type { AccessKeyLimits, AccessKeyRecord } from "@kiseki/catalog";
import type { Session } from "@kiseki/format";
import { type Principal, rootPrincipal, userPrincipal } from "@kiseki/policy";
import type { Crypto } from "@kiseki/ports";

/** Whose signature a request carries: of an access key, or of temporary credentials. */
export interface Identity {
  readonly secret: string;
  readonly principal: Principal;
  /** Where S3 shows an owner's name. */
  readonly displayName: string;
  /** What its requests are counted by; of temporary credentials the key that asked for them. */
  readonly accessKeyId: string;
  /** What temporary credentials that it asks for end with. */
  readonly origin: Pick<Session, "parentKey" | "provider">;
  /** Of its own; absent: the node's. */
  readonly limits?: AccessKeyLimits;
}

/** Identities of access keys; one is made anew only when the catalog has read its key anew. */
export class Identities {
  readonly #crypto: Crypto;
  readonly #known = new WeakMap<AccessKeyRecord, Identity>();
  readonly #canonicalIds = new Map<string, string>();

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  of(key: AccessKeyRecord): Identity {
    let identity = this.#known.get(key);
    if (identity === undefined) this.#known.set(key, (identity = this.#make(key)));
    return identity;
  }

  /** 64 hex digits that stand for a tenant where S3 shows an owner. */
  canonicalId(tenant: AccessKeyRecord["tenant"]): string {
    const name = toHex(tenant);
    let id = this.#canonicalIds.get(name);
    if (id === undefined) {
      this.#canonicalIds.set(name, (id = toHex(this.#crypto.sha256(tenant))));
    }
    return id;
  }

  #make(key: AccessKeyRecord): Identity {
    const { tenant, account, secret, userName, user: id, policies, keyPolicies } = key;
    const place = { tenant, account, canonicalId: this.canonicalId(tenant) };
    const principal = key.isRoot
      ? rootPrincipal(place, keyPolicies)
      : userPrincipal(place, { id, name: userName }, policies, keyPolicies);
    return {
      secret,
      principal,
      displayName: userName,
      accessKeyId: key.id,
      origin: { parentKey: key.id },
      ...(key.limits && { limits: key.limits }),
    };
  }
}
