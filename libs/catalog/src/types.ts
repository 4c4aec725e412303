import type { TenantId, WallTime } from "@kiseki/base";
import type { PolicyDocument } from "@kiseki/policy";
import type { CacheRulesTable } from "./cache-rules.ts";
import type { ProviderTable } from "./providers.ts";
import type { RoleTable } from "./roles.ts";

export type CatalogErrorCode = "exists" | "in_use" | "not_found" | "invalid" | "newer_schema";

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
  /** Its access keys are refused. */
  readonly isDisabled: boolean;
}
/** A policy that users can be given, by name. */
export interface ManagedPolicy {
  /** 1 … 128 letters, digits, `+=,.@_-`. */
  readonly name: string;
  /** JSON, as it was put. */
  readonly document: string;
  /** There for every tenant, never changed. */
  readonly isBuiltIn: boolean;
  /** Undefined for built-in ones. */
  readonly changed: WallTime | undefined;
}
/** What a key may do where that differs from the node's defaults; 0: no limit. */
export interface AccessKeyLimits {
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly bytesPerSecond?: number;
  readonly requestsAtOnce?: number;
}
/** An access key without its secret. */
export interface AccessKeyInfo {
  /** 20 capital letters and digits, unless it was brought along. */
  readonly id: string;
  /** Id of the user. */
  readonly user: string;
  readonly tenant: TenantId;
  readonly created: WallTime;
  readonly isDisabled: boolean;
  /** JSON of the policy that narrows what the key's user may. */
  readonly policy: string | undefined;
  readonly expires: WallTime | undefined;
  readonly description: string;
  /** Absent: the node's defaults. */
  readonly limits?: AccessKeyLimits;
}
/** What a signature is checked with. */
export interface AccessKeyRecord extends AccessKeyInfo {
  readonly secret: string;
  /** Name of the user. */
  readonly userName: string;
  readonly isRoot: boolean;
  /** 12 digits: the tenant in ARNs. */
  readonly account: string;
  /** Of the user; what cannot be read stands as one that refuses everything. */
  readonly policies: readonly PolicyDocument[];
  /** Of the key. */
  readonly keyPolicies: readonly PolicyDocument[];
}
export interface AccessKeyOptions {
  readonly policy?: string;
  readonly expires?: WallTime;
  /** At most 256 characters. */
  readonly description?: string;
  /** Of a key that another system made; random when left out. */
  readonly credentials?: NewAccessKey;
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
  /** 12 digits that stand for the tenant in ARNs; the same for ever. */
  account(tenant: TenantId): string;
  users(tenant: TenantId): readonly User[];
  /** @throws {CatalogError} `exists`, `invalid`, `not_found`. */
  createUser(tenant: TenantId, name: string): User;
  /** Its access keys go with it. The root stays. @throws {CatalogError} `not_found`, `invalid`. */
  deleteUser(user: string): void;
  /** @throws {CatalogError} `not_found`, `invalid` for the root. */
  setUserDisabled(user: string, isDisabled: boolean): void;
  /** Built-in ones first, then by name. */
  policies(tenant: TenantId): readonly ManagedPolicy[];
  /** Makes or replaces it. @throws {CatalogError} `invalid`: the name, the document, or a built-in one. */
  putPolicy(tenant: TenantId, name: string, document: string): void;
  /** @throws {CatalogError} `not_found`, `in_use` while a user has it, `invalid` for built-in ones. */
  deletePolicy(tenant: TenantId, name: string): void;
  /** Names of a user's policies, in order. */
  userPolicies(user: string): readonly string[];
  /** Done before: nothing. @throws {CatalogError} `not_found`: user or policy; `invalid` for the root. */
  attachPolicy(user: string, policy: string): void;
  /** @throws {CatalogError} `not_found`: the user does not have it. */
  detachPolicy(user: string, policy: string): void;
  /** @throws {CatalogError} `not_found` when there is no such user; `invalid`, `exists`. */
  createAccessKey(user: string, options?: AccessKeyOptions): NewAccessKey;
  readonly roles: Pick<RoleTable, keyof RoleTable>;
  readonly providers: Pick<ProviderTable, keyof ProviderTable>;
  /** What clients may keep on their disks. */
  readonly cacheRules: Pick<CacheRulesTable, keyof CacheRulesTable>;
  /** Another text after any change of users, policies, roles and providers, whoever made it. */
  generation(): string;
  /** Managed policies by name; one that is not there stands for one that refuses everything. */
  policyDocuments(tenant: TenantId, names: readonly string[]): readonly PolicyDocument[];
  /** Oldest first, disabled ones too. */
  accessKeys(tenant: TenantId): readonly AccessKeyInfo[];
  /** @throws {CatalogError} `not_found`. */
  setAccessKeyDisabled(id: string, isDisabled: boolean): void;
  /** In the place of all that were set before. @throws {CatalogError} `not_found`. */
  setAccessKeyLimits(id: string, limits: AccessKeyLimits): void;
  /** @throws {CatalogError} `not_found`. */
  deleteAccessKey(id: string): void;
  /** The key for SigV4, or `undefined` when unknown, disabled, expired, or its user is disabled. Cached; changes through other connections are seen at once. */
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
