import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { millis, newBytes, prngFromSeed, type TenantId, tenantId, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { type Catalog, CatalogError, openCatalog } from "./index.ts";
import {
  accessKeyLimits,
  accessKeys,
  accounts,
  aliases,
  policies,
  tenants,
  userPolicies,
  users,
} from "./schema.ts";

const clock: Clock = {
  monotonic: () => millis(0),
  realtime: () => wallTime(1_700_000_000_000),
  sleep: () => Promise.resolve(),
};
const prng = prngFromSeed(71);
const open = (database: Database, isAlone = false) =>
  openCatalog({ clock, prng, database, isAlone });
/** One claim by itself. */
function claim(catalog: Catalog, name: string, tenant: TenantId): boolean {
  const outcome = catalog.changeAliases([{ kind: "claim", name, tenant }])[0];
  if (outcome instanceof CatalogError) throw outcome;
  return outcome!;
}
const codeOf = (act: () => unknown): string => {
  try {
    act();
    return "done";
  } catch (reason) {
    if (reason instanceof CatalogError) return reason.code;
    throw reason;
  }
};
async function openFile() {
  const owned = new AsyncDisposableStack();
  const directory = await mkdtemp(`${tmpdir()}/kiseki-catalog-`);
  owned.defer(() => rm(directory, { recursive: true }));
  const path = `${directory}/catalog`;
  const connect = () => owned.adopt(new Database(path, { create: true }), (each) => each.close());
  return { path, connect, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("migrations make the tables that the Drizzle schema names", () => {
  const database = new Database(":memory:");
  open(database);
  for (const table of [
    tenants,
    users,
    accessKeys,
    accessKeyLimits,
    aliases,
    accounts,
    policies,
    userPolicies,
  ]) {
    const { name, columns, indexes } = getTableConfig(table);
    const made = database.query(`SELECT * FROM pragma_table_info('${name}')`).all() as {
      name: string;
      type: string;
      notnull: number;
      pk: number;
    }[];
    expect(
      made.map((column) => [column.name, column.type, column.notnull === 1, column.pk === 1]),
    ).toEqual(
      columns.map((column) => [
        column.name,
        column.getSQLType().toUpperCase(),
        column.notNull,
        column.primary,
      ]),
    );
    const listed = database.query(`SELECT name FROM pragma_index_list('${name}')`).all() as {
      name: string;
    }[];
    for (const index of indexes) {
      expect(listed.map((each) => each.name)).toContain(index.config.name);
    }
  }
});
test("openCatalog() keeps what is there, and refuses a newer schema untouched", async () => {
  await using file = await openFile();
  const catalog = open(file.connect());
  const { tenant, isNew } = catalog.ensureDefaultTenant("default");
  expect(isNew).toBe(true);
  const database = file.connect();
  const again = open(database).ensureDefaultTenant("other");
  expect([again.isNew, again.tenant]).toEqual([false, tenant]);
  expect(again.root.isRoot).toBe(true);
  database.run("UPDATE schema_version SET version = 99");
  expect(codeOf(() => open(database))).toBe("newer_schema");
  expect(database.query("SELECT version FROM schema_version").all()).toEqual([{ version: 99 }]);
});
test("createTenant() refuses a taken name and names out of range", () => {
  const catalog = open(new Database(":memory:"));
  const { tenant, root } = catalog.createTenant("acme");
  expect(catalog.tenant(tenant.id)).toEqual(tenant);
  expect(catalog.users(tenant.id)).toEqual([root]);
  expect(codeOf(() => catalog.createTenant("acme"))).toBe("exists");
  for (const name of ["", "-a", "a b", "a".repeat(64), "a/b", "ä"]) {
    expect(
      codeOf(() => catalog.createTenant(name)),
      name,
    ).toBe("invalid");
  }
  expect(catalog.tenants()).toEqual([tenant]);
});
test("createAccessKey() answers an id of 20 and a secret of 40, different each time", () => {
  const catalog = open(new Database(":memory:"));
  const { tenant, root } = catalog.ensureDefaultTenant("default");
  const made = Array.from({ length: 50 }, () => catalog.createAccessKey(root.id));
  for (const key of made) {
    expect(key.id).toMatch(/^[A-Z0-9]{20}$/);
    expect(key.secret).toMatch(/^[A-Za-z0-9+/]{40}$/);
    expect(catalog.lookUpAccessKey(key.id)).toEqual({
      id: key.id,
      secret: key.secret,
      user: root.id,
      userName: "root",
      isRoot: true,
      tenant: tenant.id,
      created: clock.realtime(),
      isDisabled: false,
      account: catalog.account(tenant.id),
      policies: [],
      keyPolicies: [],
      policy: undefined,
      expires: undefined,
      description: "",
    });
  }
  expect(new Set(made.map((key) => key.secret)).size).toBe(50);
  expect(JSON.stringify(catalog.accessKeys(tenant.id))).not.toContain(made[0]!.secret);
  expect(catalog.accessKeys(tenant.id)).toHaveLength(50);
  expect(codeOf(() => catalog.createAccessKey("nobody"))).toBe("not_found");
});
test("setAccessKeyLimits() is seen at once, takes the place of what was, and goes with its key", () => {
  const catalog = open(new Database(":memory:"));
  const { tenant, root } = catalog.ensureDefaultTenant("default");
  const { id } = catalog.createAccessKey(root.id);
  expect(catalog.lookUpAccessKey(id)?.limits).toBeUndefined();
  catalog.setAccessKeyLimits(id, { requestsPerSecond: 5, requestsAtOnce: 0 });
  expect(catalog.lookUpAccessKey(id)?.limits).toEqual({ requestsPerSecond: 5, requestsAtOnce: 0 });
  catalog.setAccessKeyLimits(id, { bytesPerSecond: 7 });
  expect(catalog.lookUpAccessKey(id)?.limits).toEqual({ bytesPerSecond: 7 });
  expect(catalog.accessKeys(tenant.id)[0]?.limits).toEqual({ bytesPerSecond: 7 });
  catalog.setAccessKeyLimits(id, {});
  expect(catalog.lookUpAccessKey(id)?.limits).toBeUndefined();
  catalog.deleteAccessKey(id);
  expect(codeOf(() => catalog.setAccessKeyLimits(id, {}))).toBe("not_found");
});
test.each([false, true])(
  "lookUpAccessKey() sees disabling, enabling and deletion at once, alone: %p",
  (isAlone) => {
    const catalog = open(new Database(":memory:"), isAlone);
    const { tenant, root } = catalog.ensureDefaultTenant("default");
    const { id } = catalog.createAccessKey(root.id);
    expect(catalog.lookUpAccessKey(id)?.id).toBe(id);
    catalog.setAccessKeyDisabled(id, true);
    expect(catalog.lookUpAccessKey(id)).toBeUndefined();
    expect(catalog.accessKeys(tenant.id)[0]?.isDisabled).toBe(true);
    catalog.setAccessKeyDisabled(id, false);
    expect(catalog.lookUpAccessKey(id)?.id).toBe(id);
    catalog.deleteAccessKey(id);
    expect(catalog.lookUpAccessKey(id)).toBeUndefined();
    expect(codeOf(() => catalog.deleteAccessKey(id))).toBe("not_found");
    expect(codeOf(() => catalog.setAccessKeyDisabled(id, true))).toBe("not_found");
    expect(catalog.lookUpAccessKey("nobody")).toBeUndefined();
    expect(catalog.lookUpAccessKey("x".repeat(1 << 20))).toBeUndefined();
  },
);
test("lookUpAccessKey() sees what another connection changed", async () => {
  await using file = await openFile();
  const [one, two] = [open(file.connect()), open(file.connect())];
  const { root } = one.ensureDefaultTenant("default");
  const { id } = one.createAccessKey(root.id);
  expect(two.lookUpAccessKey(id)?.id).toBe(id);
  one.setAccessKeyDisabled(id, true);
  expect(two.lookUpAccessKey(id)).toBeUndefined();
  one.deleteAccessKey(id);
  expect(two.lookUpAccessKey(id)).toBeUndefined();
});
test("a deleted secret is in no byte of the file after a checkpoint", async () => {
  await using file = await openFile();
  const database = file.connect();
  const catalog = open(database);
  const { root } = catalog.ensureDefaultTenant("default");
  const { id, secret } = catalog.createAccessKey(root.id);
  const checkpoint = () => database.query("PRAGMA wal_checkpoint(TRUNCATE)").all();
  checkpoint();
  expect((await readFile(file.path)).includes(secret)).toBe(true);
  catalog.deleteAccessKey(id);
  checkpoint();
  expect((await readFile(file.path)).includes(secret)).toBe(false);
});
test("changeAliases() gives a name to the first tenant, until it gives it back", () => {
  const catalog = open(new Database(":memory:"));
  const [a, b] = [catalog.createTenant("a").tenant.id, catalog.createTenant("b").tenant.id];
  const release = (name: string, tenant: TenantId) =>
    catalog.changeAliases([{ kind: "release", name, tenant }]);
  expect(claim(catalog, "photos", a)).toBe(true);
  expect(claim(catalog, "photos", a)).toBe(true);
  expect(claim(catalog, "photos", b)).toBe(false);
  expect(catalog.lookUpAlias("photos")).toEqual(a);
  release("photos", b);
  expect(catalog.lookUpAlias("photos")).toEqual(a);
  release("photos", a);
  expect(catalog.lookUpAlias("photos")).toBeUndefined();
  expect(claim(catalog, "photos", b)).toBe(true);
  for (const name of ["ab", "A.b", "a_b", "-ab", "ab-", "a".repeat(64)]) {
    expect(
      codeOf(() => claim(catalog, name, a)),
      name,
    ).toBe("invalid");
  }
  const nobody = tenantId(newBytes(16));
  expect(codeOf(() => claim(catalog, "other", nobody))).toBe("not_found");
});
test("changeAliases() does all of its changes in order, or none of them", () => {
  const database = new Database(":memory:");
  const catalog = open(database);
  const [a, b] = [catalog.createTenant("a").tenant.id, catalog.createTenant("b").tenant.id];
  const outcomes = catalog.changeAliases([
    { kind: "claim", name: "one", tenant: a },
    { kind: "claim", name: "No", tenant: a },
    { kind: "claim", name: "one", tenant: b },
    { kind: "release", name: "one", tenant: a },
    { kind: "claim", name: "one", tenant: b },
    { kind: "claim", name: "two", tenant: a },
  ]);
  const texts = outcomes.map((each) => (each instanceof CatalogError ? each.code : String(each)));
  expect(texts).toEqual(["true", "invalid", "false", "false", "true", "true"]);
  expect([catalog.lookUpAlias("one"), catalog.lookUpAlias("two")]).toEqual([b, a]);
  database.run(
    "CREATE TRIGGER broken BEFORE INSERT ON aliases WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'full'); END",
  );
  expect(() =>
    catalog.changeAliases([
      { kind: "claim", name: "three", tenant: a },
      { kind: "release", name: "two", tenant: a },
      { kind: "claim", name: "bad", tenant: a },
    ]),
  ).toThrow("full");
  expect([catalog.lookUpAlias("three"), catalog.lookUpAlias("two")]).toEqual([undefined, a]);
});
test("lookUpAlias() remembers names, those that nobody has too, until they change", () => {
  const database = new Database(":memory:");
  const catalog = open(database);
  const [a, b] = [catalog.createTenant("a").tenant.id, catalog.createTenant("b").tenant.id];
  const seen: unknown[] = [];
  const look = (): void => void seen.push(catalog.lookUpAlias("name"));
  look();
  claim(catalog, "name", a);
  look();
  catalog.changeAliases([
    { kind: "release", name: "name", tenant: a },
    { kind: "claim", name: "name", tenant: b },
  ]);
  look();
  catalog.changeAliases([{ kind: "release", name: "name", tenant: b }]);
  look();
  expect(seen).toEqual([undefined, a, b, undefined]);
});
test("deleteTenant() takes users, keys and aliases along, and nobody else's", () => {
  const catalog = open(new Database(":memory:"));
  const [a, b] = [catalog.createTenant("a"), catalog.createTenant("b")];
  const keys = [a, b].map(({ root }) => catalog.createAccessKey(root.id).id);
  claim(catalog, "photos", a.tenant.id);
  for (const key of keys) expect(catalog.lookUpAccessKey(key)).toBeDefined();
  catalog.deleteTenant(a.tenant.id);
  expect(catalog.lookUpAccessKey(keys[0]!)).toBeUndefined();
  expect(catalog.lookUpAccessKey(keys[1]!)).toBeDefined();
  expect(catalog.lookUpAlias("photos")).toBeUndefined();
  expect(catalog.users(a.tenant.id)).toEqual([]);
  expect(catalog.tenants()).toEqual([b.tenant]);
});
