/** Identity providers whose tokens a tenant takes. */
import { fromUuid, type TenantId, tenantId, toUuid, type WallTime, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { and, asc, eq } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type { Orm } from "./identities.ts";
import { providers } from "./schema.ts";
import { CatalogError } from "./types.ts";

const nameForm = /^[\w.-]{1,64}$/;
const clientIdForm = /^[\u0021-\u007e]{1,255}$/;
const claimForm = /^[\u0021-\u007e]{1,64}$/;
const clientIdsMax = 100;
const providersMax = 100;
const issuerSizeMax = 255;

export interface Provider {
  /** UUID. */
  readonly id: string;
  readonly tenant: TenantId;
  /** 1 … 64 letters, digits, `._-`. */
  readonly name: string;
  /** URL, as tokens name it, to the letter. */
  readonly issuer: string;
  /** Audiences that are taken; at least one. */
  readonly clientIds: readonly string[];
  /** Claim that names policies, for tokens that come without a role. */
  readonly policyClaim: string;
  readonly created: WallTime;
}
export type ProviderOptions = Pick<Provider, "issuer" | "clientIds" | "policyClaim">;

/** Providers of all tenants. What throws is a `CatalogError`. */
export class ProviderTable {
  readonly #orm: BunSQLiteDatabase;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #onChange: () => void;

  constructor(orm: BunSQLiteDatabase, clock: Clock, newId: () => string, onChange: () => void) {
    this.#orm = orm;
    this.#clock = clock;
    this.#newId = newId;
    this.#onChange = onChange;
  }

  list(tenant: TenantId): readonly Provider[] {
    const where = eq(providers.tenant, toUuid(tenant));
    const rows = this.#orm.select().from(providers).where(where).orderBy(asc(providers.name));
    return rows.all().map(toProvider);
  }
  lookUp(id: string): Provider | undefined {
    const row = this.#orm.select().from(providers).where(eq(providers.id, id)).get();
    return row && toProvider(row);
  }
  /** Of any tenant. */
  ofIssuer(issuer: string): readonly Provider[] {
    const rows = this.#orm.select().from(providers).where(eq(providers.issuer, issuer)).all();
    return rows.map(toProvider);
  }

  /** @throws `exists`, `invalid`. */
  create(tenant: TenantId, name: string, options: ProviderOptions): Provider {
    checkOptions(name, options);
    const { issuer, clientIds, policyClaim } = options;
    const row = {
      id: this.#newId(),
      tenant: toUuid(tenant),
      name,
      issuer,
      clientIds: JSON.stringify(clientIds),
      policyClaim,
      created: this.#clock.realtime(),
    };
    this.#change((tx) => {
      const known = tx.select().from(providers).where(eq(providers.tenant, row.tenant)).all();
      if (known.some((each) => each.name === name)) {
        throw new CatalogError("exists", `A provider of the name ${name} exists`);
      }
      if (known.some((each) => each.issuer === issuer)) {
        throw new CatalogError("exists", "A provider of this issuer exists");
      }
      if (known.length >= providersMax) {
        throw new CatalogError("invalid", `A tenant has at most ${providersMax} providers`);
      }
      tx.insert(providers).values(row).run();
    });
    return toProvider(row);
  }
  /** Credentials that came from its tokens end with it. @throws `not_found`. */
  delete(tenant: TenantId, name: string): void {
    this.#change((tx) => {
      const where = and(eq(providers.tenant, toUuid(tenant)), eq(providers.name, name));
      const gone = tx.delete(providers).where(where).returning({ id: providers.id }).all();
      if (gone.length === 0) throw new CatalogError("not_found", "There is no such provider");
    });
  }

  #change(work: (tx: Orm) => void): void {
    this.#orm.transaction(work, { behavior: "immediate" });
    this.#onChange();
  }
}

function checkOptions(name: string, { issuer, clientIds, policyClaim }: ProviderOptions): void {
  const refuse = (why: string): never => {
    throw new CatalogError("invalid", why);
  };
  if (!nameForm.test(name)) refuse("A provider's name has 1-64 letters, digits, '.', '_', '-'");
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  const isPlain = url !== undefined && url.search === "" && url.hash === "" && url.username === "";
  if (!isPlain || !/^https?:$/.test(url.protocol) || issuer.length > issuerSizeMax) {
    refuse("An issuer is a URL of https:// without query and fragment, as tokens name it");
  }
  if (clientIds.length < 1 || clientIds.length > clientIdsMax) {
    refuse(`A provider has 1 to ${clientIdsMax} client ids`);
  }
  if (!clientIds.every((id) => clientIdForm.test(id)))
    refuse("A client id has 1-255 printable characters");
  if (!claimForm.test(policyClaim)) refuse("A claim's name has 1-64 printable characters");
}

const toProvider = (row: typeof providers.$inferSelect): Provider => ({
  id: row.id,
  tenant: tenantId(fromUuid(row.tenant)),
  name: row.name,
  issuer: row.issuer,
  clientIds: JSON.parse(row.clientIds) as readonly string[],
  policyClaim: row.policyClaim,
  created: wallTime(row.created),
});
