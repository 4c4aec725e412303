/** Roles: rights that somebody takes on for a while, and whom they trust. */
import { fromUuid, type TenantId, tenantId, toUuid, type WallTime, wallTime } from "@kiseki/base";
import {
  builtInPolicies,
  parseTrustPolicy,
  type PolicyDocument,
  PolicyFault,
  readStoredPolicy,
  readTrustPolicy,
  type TrustPolicy,
} from "@kiseki/policy";
import type { Clock } from "@kiseki/ports";
import { and, asc, eq } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { findPolicy, type Orm } from "./identities.ts";
import { accounts, rolePolicies, roles } from "./schema.ts";
import { CatalogError } from "./types.ts";

const roleNameForm = /^[\w+=,.@-]{1,64}$/;
/** Of one role; AWS's limit for managed policies. */
const attachedMax = 20;
const secondsMin = 3600;
const secondsMax = 43_200;

export interface Role {
  /** UUID. */
  readonly id: string;
  readonly tenant: TenantId;
  /** 1 … 64 letters, digits, `+=,.@_-`. */
  readonly name: string;
  /** JSON of the trust policy, as it was put. */
  readonly trust: string;
  /** How long its credentials may be good for. */
  readonly secondsMax: number;
  readonly created: WallTime;
  /** Names of its policies, in order. */
  readonly policies: readonly string[];
}
/** A role as it is asked for at each request. */
export interface RoleRecord {
  readonly id: string;
  readonly tenant: TenantId;
  readonly account: string;
  readonly name: string;
  readonly trust: TrustPolicy;
  readonly secondsMax: number;
  /** What cannot be read stands as one that refuses everything. */
  readonly policies: readonly PolicyDocument[];
}

export interface RoleOptions {
  readonly trust: string;
  /** 3600 to 43200; an hour when left out. */
  readonly secondsMax?: number;
}

/** Roles of all tenants. What throws is a `CatalogError`. */
export class RoleTable {
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

  list(tenant: TenantId): readonly Role[] {
    const where = eq(roles.tenant, toUuid(tenant));
    const rows = this.#orm.select().from(roles).where(where).orderBy(asc(roles.name)).all();
    return rows.map((row) => this.#toRole(row));
  }

  /** @throws `exists`, `invalid`. */
  create(
    tenant: TenantId,
    name: string,
    { trust, secondsMax: seconds = secondsMin }: RoleOptions,
  ): Role {
    if (!roleNameForm.test(name)) {
      throw new CatalogError("invalid", "A role's name has 1-64 letters, digits, '+=,.@_-'");
    }
    if (!Number.isInteger(seconds) || seconds < secondsMin || seconds > secondsMax) {
      throw new CatalogError(
        "invalid",
        `A role's credentials last ${secondsMin} to ${secondsMax} s at most`,
      );
    }
    checkTrust(trust);
    const row = {
      id: this.#newId(),
      tenant: toUuid(tenant),
      name,
      trust,
      secondsMax: seconds,
      created: this.#clock.realtime(),
    };
    this.#change((tx) => {
      if (findRole(tx, row.tenant, name) !== undefined) {
        throw new CatalogError("exists", `A role of the name ${name} exists`);
      }
      tx.insert(roles).values(row).run();
    });
    return this.#toRole(row);
  }
  /** @throws `not_found`, `invalid`. */
  setTrust(tenant: TenantId, name: string, trust: string): void {
    checkTrust(trust);
    this.#change((tx) => {
      const { id } = needRole(tx, toUuid(tenant), name);
      tx.update(roles).set({ trust }).where(eq(roles.id, id)).run();
    });
  }
  /** Its credentials end with it. @throws `not_found`. */
  delete(tenant: TenantId, name: string): void {
    this.#change((tx) => {
      const { id } = needRole(tx, toUuid(tenant), name);
      tx.delete(roles).where(eq(roles.id, id)).run();
    });
  }
  /** Done before: nothing. @throws `not_found`: role or policy; `invalid`: too many. */
  attach(tenant: TenantId, name: string, policy: string): void {
    const owner = toUuid(tenant);
    this.#change((tx) => {
      const { id: role } = needRole(tx, owner, name);
      if (!builtInPolicies.has(policy) && findPolicy(tx, owner, policy) === undefined) {
        throw new CatalogError("not_found", "There is no such policy");
      }
      const held = tx.select().from(rolePolicies).where(eq(rolePolicies.role, role)).all();
      if (held.some((each) => each.policy === policy)) return;
      if (held.length >= attachedMax) {
        throw new CatalogError("invalid", `A role has at most ${attachedMax} policies`);
      }
      tx.insert(rolePolicies).values({ role, policy }).run();
    });
  }
  /** @throws `not_found`: no such role, or it does not have the policy. */
  detach(tenant: TenantId, name: string, policy: string): void {
    this.#change((tx) => {
      const { id } = needRole(tx, toUuid(tenant), name);
      const where = and(eq(rolePolicies.role, id), eq(rolePolicies.policy, policy));
      const gone = tx
        .delete(rolePolicies)
        .where(where)
        .returning({ role: rolePolicies.role })
        .all();
      if (gone.length === 0)
        throw new CatalogError("not_found", "The role does not have this policy");
    });
  }

  /** By the two parts of its ARN. */
  find(account: string, name: string): RoleRecord | undefined {
    const row = this.#orm
      .select()
      .from(roles)
      .innerJoin(accounts, eq(accounts.tenant, roles.tenant))
      .where(and(eq(accounts.account, account), eq(roles.name, name)))
      .get();
    return row && this.#toRecord(row.roles, account);
  }
  lookUp(id: string): RoleRecord | undefined {
    const row = this.#orm
      .select()
      .from(roles)
      .innerJoin(accounts, eq(accounts.tenant, roles.tenant))
      .where(eq(roles.id, id))
      .get();
    return row && this.#toRecord(row.roles, row.accounts.account);
  }

  #toRole(row: typeof roles.$inferSelect): Role {
    const { id, name, trust, secondsMax: seconds } = row;
    return {
      id,
      tenant: tenantId(fromUuid(row.tenant)),
      name,
      trust,
      secondsMax: seconds,
      created: wallTime(row.created),
      policies: this.#attached(id),
    };
  }
  #toRecord(row: typeof roles.$inferSelect, account: string): RoleRecord {
    const { id, name, secondsMax: seconds } = row;
    return {
      id,
      tenant: tenantId(fromUuid(row.tenant)),
      account,
      name,
      trust: readTrustPolicy(row.trust),
      secondsMax: seconds,
      policies: readPolicies(this.#orm, row.tenant, this.#attached(id)),
    };
  }
  #attached(role: string): readonly string[] {
    const rows = this.#orm.select().from(rolePolicies).where(eq(rolePolicies.role, role)).all();
    return rows.map(({ policy }) => policy).toSorted();
  }

  #change(work: (tx: Orm) => void): void {
    this.#orm.transaction(work, { behavior: "immediate" });
    this.#onChange();
  }
}

/** Managed policies by name; one that is not there stands for one that refuses everything. */
export function readPolicies(
  orm: Orm,
  tenant: string,
  names: readonly string[],
): readonly PolicyDocument[] {
  return names.map((name) =>
    readStoredPolicy(
      builtInPolicies.get(name) ?? findPolicy(orm, tenant, name)?.document ?? "",
      "identity",
    ),
  );
}

function checkTrust(trust: string): void {
  try {
    parseTrustPolicy(trust);
  } catch (reason) {
    if (!(reason instanceof PolicyFault)) throw reason;
    throw new CatalogError("invalid", `The trust policy is not valid: ${reason.message}`);
  }
}

function findRole(tx: Orm, tenant: string, name: string) {
  const where = and(eq(roles.tenant, tenant), eq(roles.name, name));
  return tx.select().from(roles).where(where).get();
}

function needRole(tx: Orm, tenant: string, name: string) {
  const row = findRole(tx, tenant, name);
  if (row === undefined) throw new CatalogError("not_found", "There is no such role");
  return row;
}
