import type { TenantId, WallTime } from "@kiseki/base";

export type CatalogErrorCode = "exists" | "not_found" | "invalid" | "newer_schema";

export class CatalogError extends Error {
  override readonly name = "CatalogError";
  readonly code: CatalogErrorCode;
  constructor(code: CatalogErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Tenant {
  readonly id: TenantId;
  /** 1 … 63 letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  /** The tenant of requests that carry none; one at most. */
  readonly isDefault: boolean;
  readonly created: WallTime;
}
export interface User {
  /** UUID. */
  readonly id: string;
  readonly tenant: TenantId;
  readonly name: string;
  readonly isRoot: boolean;
  readonly created: WallTime;
}
/** An access key without its secret. */
export interface AccessKeyInfo {
  /** 20 capital letters and digits. */
  readonly id: string;
  /** Id of the user. */
  readonly user: string;
  readonly tenant: TenantId;
  readonly created: WallTime;
  readonly isDisabled: boolean;
}
/** What a signature is checked with. */
export interface AccessKeyRecord extends AccessKeyInfo {
  readonly secret: string;
  /** Name of the user. */
  readonly userName: string;
  readonly isRoot: boolean;
}
/** The only time that the secret is seen. */
export interface NewAccessKey {
  readonly id: string;
  /** 40 letters, digits, `+`, `/`. */
  readonly secret: string;
}

/** A tenant always has a root user. */
export interface NewTenant {
  readonly tenant: Tenant;
  readonly root: User;
}

/** `release` gives back a name only if it is the tenant's. */
export interface AliasChange {
  readonly kind: "claim" | "release";
  /** A bucket's, as it stands in front of the host's domain. */
  readonly name: string;
  readonly tenant: TenantId;
}
/**
 * Whether the tenant holds the name now: false for a claim of what another tenant has, and for every release.
 * `invalid` or `not_found`: this change was left out, the others were made.
 */
export type AliasOutcome = boolean | CatalogError;

/** All calls are synchronous and durable when they return. */
export interface Catalog {
  /** The default tenant and its root user; made by the first call ever. `isNew` on that call. */
  ensureDefaultTenant(name: string): NewTenant & { readonly isNew: boolean };
  /** @throws {CatalogError} `exists`, `invalid`. */
  createTenant(name: string): NewTenant;
  tenants(): readonly Tenant[];
  tenant(id: TenantId): Tenant | undefined;
  users(tenant: TenantId): readonly User[];
  /** @throws {CatalogError} `not_found` when there is no such user. */
  createAccessKey(user: string): NewAccessKey;
  /** Oldest first, disabled ones too. */
  accessKeys(tenant: TenantId): readonly AccessKeyInfo[];
  /** @throws {CatalogError} `not_found`. */
  setAccessKeyDisabled(id: string, isDisabled: boolean): void;
  /** @throws {CatalogError} `not_found`. */
  deleteAccessKey(id: string): void;
  /** The key for SigV4, or `undefined` when unknown or disabled. Cached; changes through other connections are seen at once. */
  lookUpAccessKey(id: string): AccessKeyRecord | undefined;
  /**
   * Takes and gives back virtual-host names, in order and in one transaction: all of it is done when it returns, or
   * nothing is when it throws. An outcome for each, see `AliasOutcome`.
   */
  changeAliases(changes: readonly AliasChange[]): readonly AliasOutcome[];
  /** The tenant of a virtual-host name. */
  lookUpAlias(bucket: string): TenantId | undefined;
  /** Removes the tenant with its users, keys and aliases (shred). */
  deleteTenant(id: TenantId): void;
}
