import type { Database } from "bun:sqlite";
import {
  fromUuid,
  newBytes,
  type Prng,
  type TenantId,
  tenantId,
  toUuid,
  wallTime,
} from "@kiseki/base";
import type { PolicyDocument } from "@kiseki/policy";
import type { Clock } from "@kiseki/ports";
import { and, asc, eq } from "drizzle-orm";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { LRUCache } from "lru-cache";
import { ensureAccounts, lookUpAccount, newAccount } from "./accounts.ts";
import { CacheRulesTable } from "./cache-rules.ts";
import {
  checkKeyOptions,
  keyIdSizeMax,
  type Orm,
  readKeyPolicy,
  readUserPolicies,
  toUser,
  UserTable,
} from "./identities.ts";
import { migrate } from "./migrations.ts";
import { ProviderTable } from "./providers.ts";
import { readPolicies, RoleTable } from "./roles.ts";
import { accessKeyLimits, accessKeys, accounts, aliases, tenants, users } from "./schema.ts";
import {
  type AccessKeyInfo,
  type AccessKeyLimits,
  type AccessKeyOptions,
  type AccessKeyRecord,
  type AliasChange,
  type AliasOutcome,
  type Catalog,
  CatalogError,
  type ManagedPolicy,
  type NewAccessKey,
  type NewTenant,
  type Tenant,
  type User,
} from "./types.ts";

/** Access keys whose record is kept in memory. */
const accessKeysCachedMax = 10_000;
const aliasesCachedMax = 10_000;
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const aliasForm = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const secretLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export interface CatalogParts {
  readonly clock: Clock;
  /** The secure one: secrets come from it. */
  readonly prng: Prng;
  /** Opened, and closed, by the caller, who also seals and mirrors it. One connection per thread. */
  readonly database: Database;
  /** No other connection commits to the file as long as this one is open: nobody need ask whether one did. */
  readonly isAlone?: boolean;
}

/** Opens the catalog and brings its schema to the newest version. @throws {CatalogError} `newer_schema`. */
export function openCatalog(parts: CatalogParts): Catalog {
  const { database } = parts;
  for (const pragma of [
    "secure_delete = ON",
    "temp_store = MEMORY",
    "foreign_keys = ON",
    "journal_mode = WAL",
    "synchronous = FULL",
  ]) {
    database.prepare(`PRAGMA ${pragma}`).all();
  }
  migrate(database);
  ensureAccounts(drizzle({ client: database }));
  return new SqlCatalog(parts);
}

class SqlCatalog implements Catalog {
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #orm: BunSQLiteDatabase;
  readonly #users: UserTable;
  readonly roles: RoleTable;
  readonly providers: ProviderTable;
  readonly cacheRules: CacheRulesTable;
  readonly #dataVersion: () => number;
  readonly #cached = new LRUCache<string, AccessKeyRecord>({ max: accessKeysCachedMax });
  /** Names that nobody has too: to ask for one again is no more work. */
  readonly #cachedAliases = new LRUCache<string, { readonly tenant: TenantId | undefined }>({
    max: aliasesCachedMax,
  });
  #cachedVersion = -1;
  #ownChanges = 0;

  constructor({ clock, prng, database, isAlone }: CatalogParts) {
    this.#clock = clock;
    this.#prng = prng;
    this.#orm = drizzle({ client: database });
    const newId = () => this.#uuid();
    this.#users = new UserTable(this.#orm, clock, newId);
    const onChange = () => void this.#ownChanges++;
    this.roles = new RoleTable(this.#orm, clock, newId, onChange);
    this.providers = new ProviderTable(this.#orm, clock, newId, onChange);
    this.cacheRules = new CacheRulesTable(this.#orm);
    const query = database.query<{ data_version: number }, []>("PRAGMA data_version");
    this.#dataVersion = isAlone ? () => 0 : () => query.get()?.data_version ?? 0;
  }

  ensureDefaultTenant(name: string): NewTenant & { readonly isNew: boolean } {
    const row = this.#orm.select().from(tenants).where(eq(tenants.isDefault, true)).get();
    if (row === undefined) return { ...this.#insertTenant(name, true), isNew: true };
    const root = this.users(tenantId(fromUuid(row.id))).find((user) => user.isRoot);
    if (root === undefined)
      throw new CatalogError("not_found", "The default tenant has no root user");
    return { tenant: toTenant(row), root, isNew: false };
  }
  createTenant(name: string): NewTenant {
    return this.#insertTenant(name, false);
  }
  #insertTenant(name: string, isDefault: boolean): NewTenant {
    if (!nameForm.test(name)) {
      throw new CatalogError("invalid", "A tenant's name has 1-63 letters, digits, '.', '_', '-'");
    }
    const created = this.#clock.realtime();
    const tenant = { id: this.#uuid(), name, isDefault, created };
    const root = {
      id: this.#uuid(),
      tenant: tenant.id,
      name: "root",
      isRoot: true,
      created,
      isDisabled: false,
    };
    this.#orm.transaction(
      (tx) => {
        if (tx.select().from(tenants).where(eq(tenants.name, name)).get() !== undefined) {
          throw new CatalogError("exists", `A tenant of the name ${name} exists`);
        }
        tx.insert(tenants).values(tenant).run();
        tx.insert(accounts).values(newAccount(tx, tenant.id)).run();
        tx.insert(users).values(root).run();
      },
      { behavior: "immediate" },
    );
    return { tenant: toTenant(tenant), root: toUser(root) };
  }
  tenants(): readonly Tenant[] {
    return this.#orm.select().from(tenants).orderBy(asc(tenants.name)).all().map(toTenant);
  }
  tenant(id: TenantId): Tenant | undefined {
    const row = this.#orm
      .select()
      .from(tenants)
      .where(eq(tenants.id, toUuid(id)))
      .get();
    return row && toTenant(row);
  }
  deleteTenant(id: TenantId): void {
    this.#orm
      .delete(tenants)
      .where(eq(tenants.id, toUuid(id)))
      .run();
    this.#cached.clear();
    this.#cachedAliases.clear();
    this.#ownChanges += 1;
  }
  account(tenant: TenantId): string {
    return lookUpAccount(this.#orm, toUuid(tenant));
  }
  users(tenant: TenantId): readonly User[] {
    return this.#users.list(tenant);
  }
  createUser(tenant: TenantId, name: string): User {
    return this.#users.create(tenant, name);
  }
  deleteUser(user: string): void {
    this.#changing(() => this.#users.delete(user));
  }
  setUserDisabled(user: string, isDisabled: boolean): void {
    this.#changing(() => this.#users.setDisabled(user, isDisabled));
  }
  policies(tenant: TenantId): readonly ManagedPolicy[] {
    return this.#users.policies(tenant);
  }
  putPolicy(tenant: TenantId, name: string, document: string): void {
    this.#changing(() => this.#users.putPolicy(tenant, name, document));
  }
  deletePolicy(tenant: TenantId, name: string): void {
    this.#changing(() => this.#users.deletePolicy(tenant, name));
  }
  userPolicies(user: string): readonly string[] {
    return this.#users.attached(user);
  }
  attachPolicy(user: string, policy: string): void {
    this.#changing(() => this.#users.attach(user, policy));
  }
  detachPolicy(user: string, policy: string): void {
    this.#changing(() => this.#users.detach(user, policy));
  }
  /** What is remembered of access keys may be of before. */
  #changing(change: () => void): void {
    change();
    this.#cached.clear();
    this.#ownChanges += 1;
  }
  generation(): string {
    return `${this.#dataVersion()}-${this.#ownChanges}`;
  }
  policyDocuments(tenant: TenantId, names: readonly string[]): readonly PolicyDocument[] {
    return readPolicies(this.#orm, toUuid(tenant), names);
  }

  createAccessKey(user: string, options: AccessKeyOptions = {}): NewAccessKey {
    checkKeyOptions(options);
    const { id, secret } = options.credentials ?? {
      id: this.#letters(idLetters, 20),
      secret: this.#letters(secretLetters, 40),
    };
    const { policy = null, expires = null, description = "" } = options;
    this.#orm.transaction(
      (tx) => {
        if (tx.select().from(users).where(eq(users.id, user)).get() === undefined) {
          throw new CatalogError("not_found", "There is no such user");
        }
        if (tx.select().from(accessKeys).where(eq(accessKeys.id, id)).get() !== undefined) {
          throw new CatalogError("exists", "There is an access key of this id");
        }
        const created = this.#clock.realtime();
        const row = { id, user, secret, isDisabled: false, created, policy, expires, description };
        tx.insert(accessKeys).values(row).run();
      },
      { behavior: "immediate" },
    );
    return { id, secret };
  }
  accessKeys(tenant: TenantId): readonly AccessKeyInfo[] {
    return this.#orm
      .select({
        id: accessKeys.id,
        user: accessKeys.user,
        created: accessKeys.created,
        isDisabled: accessKeys.isDisabled,
        policy: accessKeys.policy,
        expires: accessKeys.expires,
        description: accessKeys.description,
        limits: accessKeyLimits,
      })
      .from(accessKeys)
      .innerJoin(users, eq(users.id, accessKeys.user))
      .leftJoin(accessKeyLimits, eq(accessKeyLimits.accessKey, accessKeys.id))
      .where(eq(users.tenant, toUuid(tenant)))
      .orderBy(asc(accessKeys.created), asc(accessKeys.id))
      .all()
      .map(({ limits, ...row }) => ({ ...toKeyInfo(row), tenant, ...limitsField(limits) }));
  }
  setAccessKeyDisabled(id: string, isDisabled: boolean): void {
    const changed = this.#orm
      .update(accessKeys)
      .set({ isDisabled })
      .where(eq(accessKeys.id, id))
      .returning({ id: accessKeys.id })
      .all();
    this.#forgetAccessKey(id, changed.length);
  }
  setAccessKeyLimits(id: string, limits: AccessKeyLimits): void {
    const row = {
      requestsPerSecond: limits.requestsPerSecond ?? null,
      burst: limits.burst ?? null,
      bytesPerSecond: limits.bytesPerSecond ?? null,
      requestsAtOnce: limits.requestsAtOnce ?? null,
    };
    const isKnown = this.#orm.transaction(
      (tx) => {
        if (tx.select().from(accessKeys).where(eq(accessKeys.id, id)).get() === undefined) {
          return false;
        }
        tx.insert(accessKeyLimits)
          .values({ accessKey: id, ...row })
          .onConflictDoUpdate({ target: accessKeyLimits.accessKey, set: row })
          .run();
        return true;
      },
      { behavior: "immediate" },
    );
    this.#forgetAccessKey(id, isKnown ? 1 : 0);
  }
  deleteAccessKey(id: string): void {
    const gone = this.#orm
      .delete(accessKeys)
      .where(eq(accessKeys.id, id))
      .returning({ id: accessKeys.id })
      .all();
    this.#forgetAccessKey(id, gone.length);
  }
  #forgetAccessKey(id: string, changed: number): void {
    this.#cached.delete(id);
    if (changed === 0) throw new CatalogError("not_found", "There is no such access key");
  }
  /** Another connection's commit makes what is remembered old. */
  #checkCached(): void {
    const version = this.#dataVersion();
    if (version === this.#cachedVersion) return;
    this.#cached.clear();
    this.#cachedAliases.clear();
    this.#cachedVersion = version;
  }
  lookUpAccessKey(id: string): AccessKeyRecord | undefined {
    this.#checkCached();
    const record = this.#cached.get(id) ?? this.#readAccessKey(id);
    if (record === undefined) return undefined;
    this.#cached.set(id, record);
    const isPast = record.expires !== undefined && record.expires <= this.#clock.realtime();
    return record.isDisabled || isPast ? undefined : record;
  }
  #readAccessKey(id: string): AccessKeyRecord | undefined {
    if (id.length > keyIdSizeMax) return undefined;
    const row = this.#orm
      .select()
      .from(accessKeys)
      .innerJoin(users, eq(users.id, accessKeys.user))
      .innerJoin(accounts, eq(accounts.tenant, users.tenant))
      .leftJoin(accessKeyLimits, eq(accessKeyLimits.accessKey, accessKeys.id))
      .where(eq(accessKeys.id, id))
      .get();
    if (row === undefined) return undefined;
    const { access_keys: key, users: user, accounts: account } = row;
    return {
      ...toKeyInfo(key),
      secret: key.secret,
      userName: user.name,
      isRoot: user.isRoot,
      tenant: tenantId(fromUuid(user.tenant)),
      isDisabled: key.isDisabled || user.isDisabled,
      account: account.account,
      policies: readUserPolicies(this.#orm, user),
      keyPolicies: readKeyPolicy(key.policy),
      ...limitsField(row.access_key_limits),
    };
  }

  changeAliases(changes: readonly AliasChange[]): readonly AliasOutcome[] {
    try {
      return this.#orm.transaction((tx) => changes.map((change) => this.#changeAlias(tx, change)), {
        behavior: "immediate",
      });
    } finally {
      for (const { name } of changes) this.#cachedAliases.delete(name);
    }
  }
  #changeAlias(tx: Orm, { kind, name, tenant }: AliasChange): AliasOutcome {
    const own = toUuid(tenant);
    if (kind === "release") {
      tx.delete(aliases)
        .where(and(eq(aliases.name, name), eq(aliases.tenant, own)))
        .run();
      return false;
    }
    if (!aliasForm.test(name)) {
      return new CatalogError("invalid", "A virtual-host name has 3-63 of a-z, 0-9, '.', '-'");
    }
    if (tx.select().from(tenants).where(eq(tenants.id, own)).get() === undefined) {
      return new CatalogError("not_found", "There is no such tenant");
    }
    const held = tx.select().from(aliases).where(eq(aliases.name, name)).get();
    if (held !== undefined) return held.tenant === own;
    tx.insert(aliases).values({ name, tenant: own, created: this.#clock.realtime() }).run();
    return true;
  }
  lookUpAlias(bucket: string): TenantId | undefined {
    this.#checkCached();
    let known = this.#cachedAliases.get(bucket);
    if (known === undefined) {
      const row = this.#orm.select().from(aliases).where(eq(aliases.name, bucket)).get();
      known = { tenant: row && tenantId(fromUuid(row.tenant)) };
      this.#cachedAliases.set(bucket, known);
    }
    return known.tenant;
  }

  #uuid(): string {
    const id = this.#prng.fill(newBytes(16));
    id[6] = (id[6]! & 0x0f) | 0x40; // RFC 9562: version 4, variant 10
    id[8] = (id[8]! & 0x3f) | 0x80;
    return toUuid(id);
  }
  #letters(alphabet: string, count: number): string {
    let text = "";
    for (let i = 0; i < count; i++) text += alphabet[this.#prng.below(alphabet.length)]!;
    return text;
  }
}

/** `limits` of a key: left out where all of it follows the defaults. */
function limitsField(row: typeof accessKeyLimits.$inferSelect | null): {
  limits?: AccessKeyLimits;
} {
  if (row === null) return {};
  const { requestsPerSecond, burst, bytesPerSecond, requestsAtOnce } = row;
  const limits = {
    ...(requestsPerSecond === null ? {} : { requestsPerSecond }),
    ...(burst === null ? {} : { burst }),
    ...(bytesPerSecond === null ? {} : { bytesPerSecond }),
    ...(requestsAtOnce === null ? {} : { requestsAtOnce }),
  };
  return Object.keys(limits).length === 0 ? {} : { limits };
}
const toTenant = (row: typeof tenants.$inferSelect): Tenant => ({
  id: tenantId(fromUuid(row.id)),
  name: row.name,
  isDefault: row.isDefault,
  created: wallTime(row.created),
});
function toKeyInfo(
  row: Omit<typeof accessKeys.$inferSelect, "secret">,
): Omit<AccessKeyInfo, "tenant"> {
  const { id, user, isDisabled, description } = row;
  return {
    ...{ id, user, isDisabled, description },
    created: wallTime(row.created),
    policy: row.policy ?? undefined,
    expires: row.expires === null ? undefined : wallTime(row.expires),
  };
}
