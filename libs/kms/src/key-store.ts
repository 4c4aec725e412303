import type { Database } from "bun:sqlite";
import { type Keyset, keyset, type TenantId, tenantId, type WallTime } from "@kiseki/base";
import { KeyStoreError } from "./errors.ts";

/** Versions of the schema, oldest first; append only. Drawn in `docs/formats/keys.md`. */
const migrations: readonly string[] = [
  `CREATE TABLE master (
     epoch INTEGER PRIMARY KEY, sealed BLOB NOT NULL, created INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE tenant (
     tenant BLOB PRIMARY KEY, provider TEXT NOT NULL, ttl_ms INTEGER NOT NULL, state TEXT NOT NULL,
     current_keyset INTEGER NOT NULL, id_key BLOB NOT NULL, dir_secret BLOB NOT NULL,
     effective_at INTEGER, created INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE keyset (
     tenant BLOB NOT NULL, keyset INTEGER NOT NULL, system_share BLOB NOT NULL,
     tenant_share BLOB NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (tenant, keyset)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE internal_kek (
     tenant BLOB NOT NULL, epoch INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (tenant, epoch)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE internal_kek_destroyed (
     tenant BLOB PRIMARY KEY, destroyed_at INTEGER NOT NULL, is_erased INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

/** `shredding`: the KEK may be destroyed already, our wrapped shares may be there still; nothing opens. */
type TenantRowState = "live" | "shredding" | "shredded";

export interface TenantRow {
  readonly tenant: TenantId;
  readonly provider: string;
  readonly ttlMs: number;
  readonly state: TenantRowState;
  readonly current: Keyset;
  /** Sealed under the root of the current keyset; empty after a shred. */
  readonly idKey: Uint8Array;
  readonly dirSecret: Uint8Array;
  readonly effectiveAt: number | undefined;
}
export interface KeysetRow {
  readonly tenant: TenantId;
  readonly keyset: Keyset;
  readonly systemShare: Uint8Array;
  readonly tenantShare: Uint8Array;
}
interface MasterRow {
  readonly epoch: number;
  readonly sealed: Uint8Array;
}

type Row = Record<string, string | number | bigint | Uint8Array | null>;
const blob = (row: Row, name: string): Uint8Array => {
  const value = row[name];
  if (!(value instanceof Uint8Array)) throw new KeyStoreError("damaged", `Key store: ${name}`);
  return value;
};
const integer = (row: Row, name: string): number => {
  const value = Number(row[name]);
  if (!Number.isSafeInteger(value)) throw new KeyStoreError("damaged", `Key store: ${name}`);
  return value;
};

/**
 * Rows of the key store, without any key to open them. `database` is given in, so that the pages are
 * sealed and mirrored by whoever opened it; it stays the caller's to close. What a change replaces or
 * deletes is overwritten (`secure_delete`); `erase` also takes it out of the WAL and out of free space.
 */
export class KeyStore {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }
  /** Applies missing migrations in one transaction. @throws {KeyStoreError} `newer_schema`. */
  static open(database: Database): KeyStore {
    for (const pragma of ["secure_delete = ON", "temp_store = MEMORY", "journal_mode = WAL"]) {
      database.prepare(`PRAGMA ${pragma}`).all();
    }
    database.prepare("PRAGMA synchronous = FULL").all();
    database
      .transaction(() => {
        const row = database.prepare("PRAGMA user_version").get() as { user_version: number };
        const version = row.user_version;
        if (version > migrations.length) {
          throw new KeyStoreError(
            "newer_schema",
            `Cannot open the key store: its version is ${version}, this program knows ${migrations.length}`,
          );
        }
        for (const migration of migrations.slice(version)) database.run(migration);
        database.run(`PRAGMA user_version = ${migrations.length}`);
      })
      .immediate();
    return new KeyStore(database);
  }
  /** Runs `change` as one durable transaction; a throw undoes it. */
  change<T>(change: () => T): T {
    return this.#database.transaction(change).immediate();
  }
  #all(sql: string, ...values: (Uint8Array | number | string | null)[]): readonly Row[] {
    return this.#database.query<Row, typeof values>(sql).all(...values);
  }
  #run(sql: string, ...values: (Uint8Array | number | string | null)[]): void {
    this.#database.query(sql).run(...values);
  }

  masters(): readonly MasterRow[] {
    const rows = this.#all("SELECT epoch, sealed FROM master ORDER BY epoch");
    return rows.map((row) => ({ epoch: integer(row, "epoch"), sealed: blob(row, "sealed") }));
  }
  insertMaster(row: MasterRow, created: WallTime): void {
    this.#run("INSERT INTO master VALUES (?, ?, ?)", row.epoch, row.sealed, created);
  }
  deleteMaster(epoch: number): void {
    this.#run("UPDATE master SET sealed = zeroblob(length(sealed)) WHERE epoch = ?", epoch);
    this.#run("DELETE FROM master WHERE epoch = ?", epoch);
  }

  tenant(tenant: TenantId): TenantRow | undefined {
    const row = this.#all("SELECT * FROM tenant WHERE tenant = ?", tenant)[0];
    if (row === undefined) return undefined;
    const state = row["state"];
    if (state !== "live" && state !== "shredding" && state !== "shredded") {
      throw new KeyStoreError("damaged", "Key store: state");
    }
    return {
      tenant,
      provider: String(row["provider"]),
      ttlMs: integer(row, "ttl_ms"),
      state,
      current: keyset(integer(row, "current_keyset")),
      idKey: blob(row, "id_key"),
      dirSecret: blob(row, "dir_secret"),
      effectiveAt: row["effective_at"] === null ? undefined : integer(row, "effective_at"),
    };
  }
  insertTenant(row: TenantRow, created: WallTime): void {
    this.#run(
      "INSERT INTO tenant VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
      row.tenant,
      row.provider,
      row.ttlMs,
      row.state,
      row.current,
      row.idKey,
      row.dirSecret,
      created,
    );
  }
  /** The tenant's secrets under the root of `current`, which becomes the keyset for new writes. */
  updateTenantSecrets(row: Pick<TenantRow, "tenant" | "current" | "idKey" | "dirSecret">): void {
    this.#run(
      "UPDATE tenant SET current_keyset = ?, id_key = ?, dir_secret = ? WHERE tenant = ?",
      row.current,
      row.idKey,
      row.dirSecret,
      row.tenant,
    );
  }
  unfinishedShreds(): readonly TenantId[] {
    const rows = this.#all("SELECT tenant FROM tenant WHERE state = 'shredding' ORDER BY tenant");
    return rows.map((row) => tenantId(blob(row, "tenant")));
  }
  markShredding(tenant: TenantId): void {
    this.#run("UPDATE tenant SET state = 'shredding' WHERE tenant = ?", tenant);
  }
  /** Overwrites and deletes every wrapped share of the tenant, and its sealed secrets. */
  finishShred(tenant: TenantId, effectiveAt: number): void {
    for (const { keyset: number } of this.keysets(tenant)) this.deleteKeyset(tenant, number);
    this.#run(
      `UPDATE tenant SET id_key = zeroblob(length(id_key)), dir_secret = zeroblob(length(dir_secret)),
       state = 'shredded', effective_at = ? WHERE tenant = ?`,
      effectiveAt,
      tenant,
    );
  }

  keysets(tenant: TenantId): readonly KeysetRow[] {
    const rows = this.#all("SELECT * FROM keyset WHERE tenant = ? ORDER BY keyset", tenant);
    return rows.map(toKeysetRow);
  }
  keyset(tenant: TenantId, number: Keyset): KeysetRow | undefined {
    const sql = "SELECT * FROM keyset WHERE tenant = ? AND keyset = ?";
    return this.#all(sql, tenant, number).map(toKeysetRow)[0];
  }
  everyKeyset(): readonly KeysetRow[] {
    return this.#all("SELECT * FROM keyset ORDER BY tenant, keyset").map(toKeysetRow);
  }
  insertKeyset(row: KeysetRow, created: WallTime): void {
    const { tenant, keyset: number, systemShare, tenantShare } = row;
    const sql = "INSERT INTO keyset VALUES (?, ?, ?, ?, ?)";
    this.#run(sql, tenant, number, systemShare, tenantShare, created);
  }
  updateSystemShare(tenant: TenantId, number: Keyset, wrapped: Uint8Array): void {
    const sql = "UPDATE keyset SET system_share = ? WHERE tenant = ? AND keyset = ?";
    this.#run(sql, wrapped, tenant, number);
  }
  updateTenantShare(tenant: TenantId, number: Keyset, wrapped: Uint8Array): void {
    const sql = "UPDATE keyset SET tenant_share = ? WHERE tenant = ? AND keyset = ?";
    this.#run(sql, wrapped, tenant, number);
  }
  deleteKeyset(tenant: TenantId, number: Keyset): void {
    this.#run(
      `UPDATE keyset SET system_share = zeroblob(length(system_share)),
       tenant_share = zeroblob(length(tenant_share)) WHERE tenant = ? AND keyset = ?`,
      tenant,
      number,
    );
    this.#run("DELETE FROM keyset WHERE tenant = ? AND keyset = ?", tenant, number);
  }

  /** KEKs of the tenant, oldest first. */
  keks(tenant: TenantId): readonly MasterRow[] {
    const rows = this.#all(
      "SELECT epoch, sealed FROM internal_kek WHERE tenant = ? ORDER BY epoch",
      tenant,
    );
    return rows.map((row) => ({ epoch: integer(row, "epoch"), sealed: blob(row, "sealed") }));
  }
  insertKek(tenant: TenantId, row: MasterRow): void {
    this.#run("INSERT INTO internal_kek VALUES (?, ?, ?)", tenant, row.epoch, row.sealed);
  }
  /** When the tenant's KEK was destroyed, in milliseconds since the Unix epoch. */
  kekDestroyedAt(tenant: TenantId): number | undefined {
    const sql = "SELECT destroyed_at FROM internal_kek_destroyed WHERE tenant = ?";
    const row = this.#all(sql, tenant)[0];
    return row && integer(row, "destroyed_at");
  }
  destroyKeks(tenant: TenantId, at: WallTime): void {
    this.#run("UPDATE internal_kek SET sealed = zeroblob(length(sealed)) WHERE tenant = ?", tenant);
    this.#run("DELETE FROM internal_kek WHERE tenant = ?", tenant);
    this.#run("INSERT INTO internal_kek_destroyed VALUES (?, ?, 0)", tenant, at);
  }
  /** Destroyed tenants whose KEK may lie in free space still: an `erase` did not come through. */
  keksToErase(): readonly TenantId[] {
    const rows = this.#all("SELECT tenant FROM internal_kek_destroyed WHERE is_erased = 0");
    return rows.map((row) => tenantId(blob(row, "tenant")));
  }
  /**
   * Rewrites the file, so that nothing deleted is left in it or in its WAL, and notes it.
   * @returns false when a reader is in the way: call it again.
   */
  erase(): boolean {
    if (!this.#checkpoint()) return false;
    this.#database.run("VACUUM");
    if (!this.#checkpoint()) return false;
    this.#run("UPDATE internal_kek_destroyed SET is_erased = 1 WHERE is_erased = 0");
    return true;
  }
  #checkpoint(): boolean {
    const row = this.#all("PRAGMA wal_checkpoint(TRUNCATE)")[0];
    return row !== undefined && integer(row, "busy") === 0;
  }
}

function toKeysetRow(row: Row): KeysetRow {
  return {
    tenant: tenantId(blob(row, "tenant")),
    keyset: keyset(integer(row, "keyset")),
    systemShare: blob(row, "system_share"),
    tenantShare: blob(row, "tenant_share"),
  };
}
