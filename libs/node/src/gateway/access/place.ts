/** Whose buckets a call is about. Each tenant has its own space of names; another's is reached by its alias. */
import { idText, type TenantId, toHex } from "@kiseki/base";
import type { Principal } from "@kiseki/policy";
import type { S3Call } from "@kiseki/s3";
import type { OpenTenant } from "../../object/types.ts";
import { BucketCache } from "../scope.ts";
import { whenReady } from "../when-ready.ts";
import type { Account } from "./access.ts";

/** A request that goes away when its signal says so; the signal is asked for only when something is waited for. */
interface Waiting {
  readonly signal: AbortSignal;
}

export interface PlacesOptions {
  /** At once when the tenant is open. */
  readonly openTenant: (
    tenant: TenantId,
    need: "read" | "write",
    request: Waiting,
  ) => OpenTenant | Promise<OpenTenant>;
  readonly accountOf: (tenant: TenantId) => Account;
  /** The tenant that holds a bucket's name for everybody. */
  readonly lookUpAlias: (bucket: string) => TenantId | undefined;
  /** Whose buckets requests are about that no tenant makes and no alias names. */
  readonly defaultTenant: TenantId;
}

export interface Place {
  readonly tenant: OpenTenant;
  readonly owner: Account;
  readonly buckets: BucketCache;
}

export class Places {
  readonly #options: PlacesOptions;
  /** One per tenant, by its id's text. */
  readonly #buckets = new Map<string, BucketCache>();

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** @throws what `openTenant` throws. */
  open(
    { tenant: own }: Principal,
    call: S3Call,
    need: "read" | "write",
    request: Waiting,
  ): Place | Promise<Place> {
    const bucket = call.kind === "create_bucket" || !("bucket" in call) ? undefined : call.bucket;
    const { lookUpAlias, defaultTenant } = this.#options;
    if (own === undefined) {
      const named = bucket === undefined ? undefined : lookUpAlias(bucket);
      return this.#open(named ?? defaultTenant, need, request);
    }
    return whenReady(this.#open(own, need, request), (place) => {
      const { buckets, tenant } = place;
      if (bucket === undefined || buckets.find(tenant, bucket) !== undefined) return place;
      const other = lookUpAlias(bucket);
      const isOther = other !== undefined && toHex(other) !== toHex(own);
      return isOther ? this.#open(other, need, request) : place;
    });
  }

  /**
   * Where a copy reads from: `target`, unless its source is a bucket of somebody else's.
   * @throws what `openTenant` throws.
   */
  openSource(
    principal: Principal,
    call: S3Call,
    target: Place,
    request: Waiting,
  ): Place | Promise<Place> {
    if (!("source" in call) || call.source.bucket === call.bucket) return target;
    const asked = { kind: "head_bucket", bucket: call.source.bucket } as const;
    return this.open(principal, asked, "read", request);
  }

  /** What is remembered of the bucket may be old: administration made or removed it. */
  forget(bucket: string): void {
    for (const cache of this.#buckets.values()) cache.forget(bucket);
  }

  #open(id: TenantId, need: "read" | "write", request: Waiting): Place | Promise<Place> {
    return whenReady(this.#options.openTenant(id, need, request), (tenant) => {
      const name = idText(id);
      let buckets = this.#buckets.get(name);
      if (buckets === undefined) this.#buckets.set(name, (buckets = new BucketCache()));
      return { tenant, owner: this.#options.accountOf(id), buckets };
    });
  }
}
