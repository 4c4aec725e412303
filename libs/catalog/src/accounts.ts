/** Account ids: 12 digits for each tenant, derived from its id and kept, because two may derive the same. */
import { fromUuid } from "@kiseki/base";
import { eq } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type { Orm } from "./identities.ts";
import { accounts, tenants } from "./schema.ts";
import { CatalogError } from "./types.ts";

const countMax = 1_000_000_000_000n;

/** The row for a tenant: what its id derives, or the next that is free. */
export function newAccount(tx: Orm, tenant: string): typeof accounts.$inferInsert {
  const bytes = fromUuid(tenant);
  let number = 0n;
  for (const byte of bytes) number = (number << 8n) | BigInt(byte);
  for (let step = 0n; ; step++) {
    const account = String((number + step) % countMax).padStart(12, "0");
    const taken = tx.select().from(accounts).where(eq(accounts.account, account)).get();
    if (taken === undefined) return { account, tenant };
  }
}

/** Tenants of before there were accounts get theirs. */
export function ensureAccounts(orm: BunSQLiteDatabase): void {
  const missing = (tx: Orm) => {
    const known = new Set(
      tx
        .select()
        .from(accounts)
        .all()
        .map(({ tenant }) => tenant),
    );
    const all = tx.select().from(tenants).all();
    return all.filter(({ id }) => !known.has(id));
  };
  if (missing(orm).length === 0) return;
  orm.transaction(
    (tx) => {
      for (const { id } of missing(tx)) tx.insert(accounts).values(newAccount(tx, id)).run();
    },
    { behavior: "immediate" },
  );
}

/** @throws {CatalogError} `not_found`. */
export function lookUpAccount(orm: Orm, tenant: string): string {
  const row = orm.select().from(accounts).where(eq(accounts.tenant, tenant)).get();
  if (row === undefined) throw new CatalogError("not_found", "There is no such tenant");
  return row.account;
}
