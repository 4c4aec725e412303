/** Rules of client caches, of the cluster and of tenants. */
import { type TenantId, toUuid } from "@kiseki/base";
import {
  type CacheRules,
  clusterRulesOf,
  encodeRules,
  faultsOfRules,
  parseRules,
} from "@kiseki/cache";
import { eq } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { cacheRules, clusterRules, tenants } from "./schema.ts";
import { CatalogError } from "./types.ts";

const clusterName = "cache";
/** For what another program wrote: nobody keeps anything rather than too much. */
const unreadable: CacheRules = { isEnabled: false };

export class CacheRulesTable {
  readonly #orm: BunSQLiteDatabase;
  constructor(orm: BunSQLiteDatabase) {
    this.#orm = orm;
  }

  /** Of a tenant, or of the cluster. */
  get(tenant?: TenantId): CacheRules {
    const row =
      tenant === undefined
        ? this.#orm.select().from(clusterRules).where(eq(clusterRules.name, clusterName)).get()
        : this.#orm
            .select()
            .from(cacheRules)
            .where(eq(cacheRules.tenant, toUuid(tenant)))
            .get();
    return row === undefined ? {} : (parseRules(row.rules) ?? unreadable);
  }
  /** In place of all that were set before. @throws {CatalogError} `not_found`, `invalid`. */
  set(rules: CacheRules, tenant?: TenantId): void {
    const [fault] = faultsOfRules(rules);
    if (fault !== undefined)
      throw new CatalogError("invalid", `Cannot set ${fault}: it is out of its range`);
    const text = encodeRules(rules);
    if (tenant === undefined) {
      const row = { name: clusterName, rules: text };
      this.#orm
        .insert(clusterRules)
        .values(row)
        .onConflictDoUpdate({ target: clusterRules.name, set: row })
        .run();
      return;
    }
    const [foreign] = clusterRulesOf(rules);
    if (foreign !== undefined)
      throw new CatalogError("invalid", `Cannot set ${foreign} for a tenant: it is the cluster's`);
    const row = { tenant: toUuid(tenant), rules: text };
    this.#orm.transaction((tx) => {
      if (tx.select().from(tenants).where(eq(tenants.id, row.tenant)).get() === undefined)
        throw new CatalogError("not_found", "There is no such tenant");
      tx.insert(cacheRules)
        .values(row)
        .onConflictDoUpdate({ target: cacheRules.tenant, set: row })
        .run();
    });
  }
}
