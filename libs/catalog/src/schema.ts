import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/**
 * The catalog's tables, drawn in `docs/formats/catalog.md`. Only types that PostgreSQL has too: ids are
 * text, times are milliseconds since the Unix epoch. A change here needs a migration in `migrations.ts`;
 * a test compares the two.
 */
export const tenants = sqliteTable(
  "tenants",
  {
    /** UUID. */
    id: text("id").primaryKey(),
    name: text("name").notNull().unique(),
    isDefault: integer("is_default", { mode: "boolean" }).notNull(),
    created: integer("created").notNull(),
  },
  (table) => [
    uniqueIndex("tenants_one_default")
      .on(table.isDefault)
      .where(sql`is_default = 1`),
  ],
);

export const users = sqliteTable(
  "users",
  {
    /** UUID. */
    id: text("id").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    isRoot: integer("is_root", { mode: "boolean" }).notNull(),
    created: integer("created").notNull(),
    isDisabled: integer("is_disabled", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [uniqueIndex("users_tenant_name").on(table.tenant, table.name)],
);

export const accessKeys = sqliteTable(
  "access_keys",
  {
    id: text("id").primaryKey(),
    user: text("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    secret: text("secret").notNull(),
    isDisabled: integer("is_disabled", { mode: "boolean" }).notNull(),
    created: integer("created").notNull(),
    /** JSON of a policy that narrows what the user may; null: nothing is narrowed. */
    policy: text("policy"),
    /** Milliseconds since 1970; null: never. */
    expires: integer("expires"),
    description: text("description").notNull().default(""),
  },
  (table) => [index("access_keys_user").on(table.user)],
);

/** Account ids: what ARNs name a tenant by. */
export const accounts = sqliteTable(
  "accounts",
  {
    /** 12 digits. */
    account: text("account").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
  },
  (table) => [uniqueIndex("accounts_tenant").on(table.tenant)],
);

/** Managed policies of a tenant; the built-in ones are no rows. */
export const policies = sqliteTable(
  "policies",
  {
    /** UUID. */
    id: text("id").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    /** JSON, as it was put. */
    document: text("document").notNull(),
    created: integer("created").notNull(),
    changed: integer("changed").notNull(),
  },
  (table) => [uniqueIndex("policies_tenant_name").on(table.tenant, table.name)],
);

/** Which policies a user has, by name: built-in ones too. */
export const userPolicies = sqliteTable(
  "user_policies",
  {
    user: text("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    policy: text("policy").notNull(),
  },
  (table) => [uniqueIndex("user_policies_user").on(table.user, table.policy)],
);
/** What a key may do beside the node's defaults; a column that is null follows them, 0 is no limit. */
export const accessKeyLimits = sqliteTable("access_key_limits", {
  accessKey: text("access_key")
    .primaryKey()
    .references(() => accessKeys.id, { onDelete: "cascade" }),
  requestsPerSecond: integer("requests_per_second"),
  burst: integer("burst"),
  bytesPerSecond: integer("bytes_per_second"),
  requestsAtOnce: integer("requests_at_once"),
});

/** Rights that somebody takes on for a while. */
export const roles = sqliteTable(
  "roles",
  {
    /** UUID. */
    id: text("id").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    /** JSON, as it was put. */
    trust: text("trust").notNull(),
    secondsMax: integer("seconds_max").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("roles_tenant_name").on(table.tenant, table.name)],
);

/** Which policies a role has, by name: built-in ones too. */
export const rolePolicies = sqliteTable(
  "role_policies",
  {
    role: text("role_id")
      .notNull()
      .references(() => roles.id, { onDelete: "cascade" }),
    policy: text("policy").notNull(),
  },
  (table) => [uniqueIndex("role_policies_role").on(table.role, table.policy)],
);

/** Identity providers whose tokens a tenant takes. */
export const providers = sqliteTable(
  "providers",
  {
    /** UUID. */
    id: text("id").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    issuer: text("issuer").notNull(),
    /** JSON: list of texts. */
    clientIds: text("client_ids").notNull(),
    policyClaim: text("policy_claim").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [
    uniqueIndex("providers_tenant_name").on(table.tenant, table.name),
    index("providers_issuer").on(table.issuer),
  ],
);

export const aliases = sqliteTable(
  "aliases",
  {
    /** A bucket's name as it stands in front of the host's domain. */
    name: text("name").primaryKey(),
    tenant: text("tenant")
      .notNull()
      .references(() => tenants.id, { onDelete: "cascade" }),
    created: integer("created").notNull(),
  },
  (table) => [index("aliases_tenant").on(table.tenant)],
);

/** What holds for the whole cluster unless it is narrowed, by name. */
export const clusterRules = sqliteTable("cluster_rules", {
  name: text("name").primaryKey(),
  /** JSON. */
  rules: text("rules").notNull(),
});

/** What a tenant's clients may keep on their disks. */
export const cacheRules = sqliteTable("cache_rules", {
  tenant: text("tenant")
    .primaryKey()
    .references(() => tenants.id, { onDelete: "cascade" }),
  /** JSON. */
  rules: text("rules").notNull(),
});
