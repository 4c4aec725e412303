import { idText, type TenantId, toHex } from "@kiseki/base";
import type { AccessKeyLimits, AccessKeyRecord } from "@kiseki/catalog";
import type { Session } from "@kiseki/format";
import { type Principal, rootPrincipal, userPrincipal } from "@kiseki/policy";
import type { Crypto } from "@kiseki/ports";
import type { Account } from "./access/access.ts";

/** Whose signature a request carries: of an access key, or of temporary credentials. */
export interface Identity {
  readonly secret: string;
  readonly principal: Principal;
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
  readonly #accounts = new Map<string, Account>();
  readonly #lookUpAccount: (tenant: TenantId) => Pick<Account, "account" | "name">;

  constructor(
    crypto: Crypto,
    lookUpAccount: (tenant: TenantId) => Pick<Account, "account" | "name">,
  ) {
    this.#crypto = crypto;
    this.#lookUpAccount = lookUpAccount;
  }

  of(key: AccessKeyRecord): Identity {
    let identity = this.#known.get(key);
    if (identity === undefined) this.#known.set(key, (identity = this.#make(key)));
    return identity;
  }

  /** Of a tenant, for ever; the canonical id are 64 hex digits. */
  account(tenant: TenantId): Account {
    const name = idText(tenant);
    let account = this.#accounts.get(name);
    if (account === undefined) {
      const canonicalId = toHex(this.#crypto.sha256(tenant));
      account = { ...this.#lookUpAccount(tenant), canonicalId };
      this.#accounts.set(name, account);
    }
    return account;
  }

  #make(key: AccessKeyRecord): Identity {
    const { tenant, secret, userName, user: id, policies, keyPolicies } = key;
    const { account, canonicalId } = this.account(tenant);
    const place = { tenant, account, canonicalId };
    const principal = key.isRoot
      ? rootPrincipal(place, keyPolicies)
      : userPrincipal(place, { id, name: userName }, policies, keyPolicies);
    return {
      secret,
      principal,
      accessKeyId: key.id,
      origin: { parentKey: key.id },
      ...(key.limits && { limits: key.limits }),
    };
  }
}
