import type { Database } from "bun:sqlite";
import { CatalogError } from "./types.ts";

/** Versions of the schema, oldest first; append only: version n is what the first n make. */
const migrations: readonly string[] = [
  `CREATE TABLE tenants (
     id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, is_default INTEGER NOT NULL,
     created INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX tenants_one_default ON tenants (is_default) WHERE is_default = 1;
   CREATE TABLE users (
     id TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
     name TEXT NOT NULL, is_root INTEGER NOT NULL, created INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX users_tenant_name ON users (tenant, name);
   CREATE TABLE access_keys (
     id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
     secret TEXT NOT NULL, is_disabled INTEGER NOT NULL, created INTEGER NOT NULL
   );
   CREATE INDEX access_keys_user ON access_keys (user_id);
   CREATE TABLE aliases (
     name TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
     created INTEGER NOT NULL
   );
   CREATE INDEX aliases_tenant ON aliases (tenant);`,
  `ALTER TABLE users ADD COLUMN is_disabled INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE access_keys ADD COLUMN policy TEXT;
   ALTER TABLE access_keys ADD COLUMN expires INTEGER;
   ALTER TABLE access_keys ADD COLUMN description TEXT NOT NULL DEFAULT '';
   CREATE TABLE accounts (
     account TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE
   );
   CREATE UNIQUE INDEX accounts_tenant ON accounts (tenant);
   CREATE TABLE policies (
     id TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
     name TEXT NOT NULL, document TEXT NOT NULL, created INTEGER NOT NULL, changed INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX policies_tenant_name ON policies (tenant, name);
   CREATE TABLE user_policies (
     user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, policy TEXT NOT NULL
   );
   CREATE UNIQUE INDEX user_policies_user ON user_policies (user_id, policy);`,
  `CREATE TABLE access_key_limits (
     access_key TEXT PRIMARY KEY NOT NULL REFERENCES access_keys (id) ON DELETE CASCADE,
     requests_per_second INTEGER, burst INTEGER, bytes_per_second INTEGER, requests_at_once INTEGER
   );`,
  `CREATE TABLE roles (
     id TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
     name TEXT NOT NULL, trust TEXT NOT NULL, seconds_max INTEGER NOT NULL, created INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX roles_tenant_name ON roles (tenant, name);
   CREATE TABLE role_policies (
     role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE, policy TEXT NOT NULL
   );
   CREATE UNIQUE INDEX role_policies_role ON role_policies (role_id, policy);
   CREATE TABLE providers (
     id TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
     name TEXT NOT NULL, issuer TEXT NOT NULL, client_ids TEXT NOT NULL, policy_claim TEXT NOT NULL,
     created INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX providers_tenant_name ON providers (tenant, name);
   CREATE INDEX providers_issuer ON providers (issuer);`,
  `CREATE TABLE cluster_rules (name TEXT PRIMARY KEY NOT NULL, rules TEXT NOT NULL);
   CREATE TABLE cache_rules (
     tenant TEXT PRIMARY KEY NOT NULL REFERENCES tenants (id) ON DELETE CASCADE, rules TEXT NOT NULL
   );`,
];

/**
 * Brings the catalog to the newest version (or to an older one, for tests of the way up), in one transaction.
 * @throws {CatalogError} `newer_schema`.
 */
export function migrate(database: Database, target = migrations.length): void {
  const step = database.transaction(() => {
    database.run("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
    const row = database.query<{ version: number }, []>("SELECT version FROM schema_version").get();
    const version = row?.version ?? 0;
    if (version > migrations.length) {
      throw new CatalogError(
        "newer_schema",
        `Cannot open the catalog: its version is ${version}, this program knows ${migrations.length}`,
      );
    }
    for (const migration of migrations.slice(version, target)) database.run(migration);
    database.run("DELETE FROM schema_version");
    database.query("INSERT INTO schema_version VALUES (?)").run(target);
  });
  step.immediate();
}
