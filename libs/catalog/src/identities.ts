/** Users, their policies, and what may be asked of an access key. */
import { fromUuid, type TenantId, tenantId, toUuid, wallTime } from "@kiseki/base";
import {
  builtInPolicies,
  parsePolicy,
  type PolicyDocument,
  PolicyFault,
  readStoredPolicy,
} from "@kiseki/policy";
import type { Clock } from "@kiseki/ports";
import { and, asc, eq } from "drizzle-orm";
import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { policies, rolePolicies, roles, userPolicies, users } from "./schema.ts";
import { type AccessKeyOptions, CatalogError, type ManagedPolicy, type User } from "./types.ts";

/** The database, or a transaction on it. */
export type Orm = Pick<BunSQLiteDatabase, "select" | "insert" | "update" | "delete">;

const userNameForm = /^[\w+=,.@-]{1,64}$/;
const policyNameForm = /^[\w+=,.@-]{1,128}$/;
export const keyIdSizeMax = 128;
const keyIdForm = /^[\w.@+=-]{3,128}$/;
const secretForm = /^[\u0021-\u007e]{8,128}$/;
const descriptionSizeMax = 256;
/** Of one user; AWS's limit for managed policies. */
const attachedMax = 20;

export const toUser = (row: typeof users.$inferSelect): User => ({
  id: row.id,
  tenant: tenantId(fromUuid(row.tenant)),
  name: row.name,
  isRoot: row.isRoot,
  created: wallTime(row.created),
  isDisabled: row.isDisabled,
});

function checkPolicy(document: string, kind: "identity" | "session"): void {
  try {
    parsePolicy(document, { kind });
  } catch (reason) {
    if (!(reason instanceof PolicyFault)) throw reason;
    throw new CatalogError("invalid", `The policy is not valid: ${reason.message}`);
  }
}

/** @throws {CatalogError} `invalid`. */
export function checkKeyOptions({ policy, description, credentials }: AccessKeyOptions): void {
  if (policy !== undefined) checkPolicy(policy, "session");
  if (description !== undefined && description.length > descriptionSizeMax) {
    throw new CatalogError("invalid", `A description has at most ${descriptionSizeMax} characters`);
  }
  if (credentials === undefined) return;
  if (!keyIdForm.test(credentials.id) || !secretForm.test(credentials.secret)) {
    throw new CatalogError(
      "invalid",
      "An access key's id has 3-128 letters, digits, '.', '_', '@', '+', '=', '-'; its secret 8-128 printable characters",
    );
  }
}

export function readKeyPolicy(policy: string | null): readonly PolicyDocument[] {
  return policy === null ? [] : [readStoredPolicy(policy, "session")];
}

/** A name without a policy stands for one that refuses everything: somebody meant something by it. */
export function readUserPolicies(
  orm: Orm,
  user: { readonly id: string; readonly tenant: string },
): readonly PolicyDocument[] {
  const attached = orm.select().from(userPolicies).where(eq(userPolicies.user, user.id)).all();
  return attached.map(({ policy: name }) => {
    const document =
      builtInPolicies.get(name) ?? findPolicy(orm, user.tenant, name)?.document ?? "";
    return readStoredPolicy(document, "identity");
  });
}

export function findPolicy(orm: Orm, tenant: string, name: string) {
  const where = and(eq(policies.tenant, tenant), eq(policies.name, name));
  return orm.select().from(policies).where(where).get();
}

/** Users and managed policies of all tenants. */
export class UserTable {
  readonly #orm: BunSQLiteDatabase;
  readonly #clock: Clock;
  readonly #newId: () => string;

  constructor(orm: BunSQLiteDatabase, clock: Clock, newId: () => string) {
    this.#orm = orm;
    this.#clock = clock;
    this.#newId = newId;
  }

  list(tenant: TenantId): readonly User[] {
    const where = eq(users.tenant, toUuid(tenant));
    return this.#orm.select().from(users).where(where).orderBy(asc(users.name)).all().map(toUser);
  }

  create(tenant: TenantId, name: string): User {
    if (!userNameForm.test(name)) {
      throw new CatalogError("invalid", "A user's name has 1-64 letters, digits, '+=,.@_-'");
    }
    const row = {
      id: this.#newId(),
      tenant: toUuid(tenant),
      name,
      isRoot: false,
      created: this.#clock.realtime(),
      isDisabled: false,
    };
    return this.#change((tx) => {
      const where = and(eq(users.tenant, row.tenant), eq(users.name, name));
      if (tx.select().from(users).where(where).get() !== undefined) {
        throw new CatalogError("exists", `A user of the name ${name} exists`);
      }
      tx.insert(users).values(row).run();
      return toUser(row);
    });
  }

  delete(user: string): void {
    this.#change((tx) => {
      refuseRoot(findUser(tx, user), "The root user cannot be deleted");
      tx.delete(users).where(eq(users.id, user)).run();
    });
  }

  setDisabled(user: string, isDisabled: boolean): void {
    this.#change((tx) => {
      refuseRoot(findUser(tx, user), "The root user cannot be disabled");
      tx.update(users).set({ isDisabled }).where(eq(users.id, user)).run();
    });
  }

  policies(tenant: TenantId): readonly ManagedPolicy[] {
    const builtIn = [...builtInPolicies].map(([name, document]) => ({
      name,
      document,
      isBuiltIn: true,
      changed: undefined,
    }));
    const own = this.#orm
      .select()
      .from(policies)
      .where(eq(policies.tenant, toUuid(tenant)))
      .orderBy(asc(policies.name))
      .all()
      .map(({ name, document, changed }) => ({
        name,
        document,
        isBuiltIn: false,
        changed: wallTime(changed),
      }));
    return [...builtIn, ...own];
  }

  putPolicy(tenant: TenantId, name: string, document: string): void {
    if (!policyNameForm.test(name)) {
      throw new CatalogError("invalid", "A policy's name has 1-128 letters, digits, '+=,.@_-'");
    }
    refuseBuiltIn(name);
    checkPolicy(document, "identity");
    const now = this.#clock.realtime();
    const owner = toUuid(tenant);
    this.#change((tx) => {
      const known = findPolicy(tx, owner, name);
      if (known !== undefined) {
        const change = { document, changed: now };
        tx.update(policies).set(change).where(eq(policies.id, known.id)).run();
        return;
      }
      const row = { id: this.#newId(), tenant: owner, name, document, created: now, changed: now };
      tx.insert(policies).values(row).run();
    });
  }

  deletePolicy(tenant: TenantId, name: string): void {
    refuseBuiltIn(name);
    const owner = toUuid(tenant);
    this.#change((tx) => {
      const known = findPolicy(tx, owner, name);
      if (known === undefined) throw new CatalogError("not_found", "There is no such policy");
      refuseUsedByRole(tx, owner, name);
      const holder = tx
        .select()
        .from(userPolicies)
        .innerJoin(users, eq(users.id, userPolicies.user))
        .where(and(eq(users.tenant, owner), eq(userPolicies.policy, name)))
        .get();
      if (holder !== undefined) {
        const who = holder.users.name;
        throw new CatalogError(
          "in_use",
          `The policy is attached to the user ${who}; detach it first`,
        );
      }
      tx.delete(policies).where(eq(policies.id, known.id)).run();
    });
  }

  attached(user: string): readonly string[] {
    const rows = this.#orm.select().from(userPolicies).where(eq(userPolicies.user, user)).all();
    return rows.map(({ policy }) => policy).toSorted();
  }

  attach(user: string, policy: string): void {
    this.#change((tx) => {
      const row = findUser(tx, user);
      refuseRoot(row, "The root user may do everything; policies mean nothing for it");
      if (!builtInPolicies.has(policy) && findPolicy(tx, row.tenant, policy) === undefined) {
        throw new CatalogError("not_found", "There is no such policy");
      }
      const held = tx.select().from(userPolicies).where(eq(userPolicies.user, user)).all();
      if (held.some((each) => each.policy === policy)) return;
      if (held.length >= attachedMax) {
        throw new CatalogError("invalid", `A user has at most ${attachedMax} policies`);
      }
      tx.insert(userPolicies).values({ user, policy }).run();
    });
  }

  detach(user: string, policy: string): void {
    this.#change((tx) => {
      const gone = tx
        .delete(userPolicies)
        .where(and(eq(userPolicies.user, user), eq(userPolicies.policy, policy)))
        .returning({ policy: userPolicies.policy })
        .all();
      if (gone.length === 0)
        throw new CatalogError("not_found", "The user does not have this policy");
    });
  }

  #change<T>(work: (tx: Orm) => T): T {
    return this.#orm.transaction(work, { behavior: "immediate" });
  }
}

function refuseUsedByRole(tx: Orm, tenant: string, policy: string): void {
  const holder = tx
    .select()
    .from(rolePolicies)
    .innerJoin(roles, eq(roles.id, rolePolicies.role))
    .where(and(eq(roles.tenant, tenant), eq(rolePolicies.policy, policy)))
    .get();
  if (holder === undefined) return;
  const who = holder.roles.name;
  throw new CatalogError("in_use", `The policy is attached to the role ${who}; detach it first`);
}

function findUser(tx: Orm, user: string): typeof users.$inferSelect {
  const row = tx.select().from(users).where(eq(users.id, user)).get();
  if (row === undefined) throw new CatalogError("not_found", "There is no such user");
  return row;
}

function refuseRoot({ isRoot }: { readonly isRoot: boolean }, why: string): void {
  if (isRoot) throw new CatalogError("invalid", why);
}

function refuseBuiltIn(name: string): void {
  if (builtInPolicies.has(name)) {
    throw new CatalogError("invalid", `The policy ${name} is built in and stays as it is`);
  }
}
