import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { type Millis, millis, prngFromSeed, toUuid, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { CatalogError, openCatalog } from "./index.ts";
import { migrate } from "./migrations.ts";

let now = 1_700_000_000_000;
const clock: Clock = {
  monotonic: (): Millis => millis(0),
  realtime: () => wallTime(now),
  sleep: () => Promise.resolve(),
};
const prng = prngFromSeed(72);
const codeOf = (act: () => unknown): string => {
  try {
    act();
    return "done";
  } catch (reason) {
    if (reason instanceof CatalogError) return reason.code;
    throw reason;
  }
};
function openOne() {
  const catalog = openCatalog({ clock, prng, database: new Database(":memory:") });
  const { tenant, root } = catalog.ensureDefaultTenant("default");
  return { catalog, tenant: tenant.id, root };
}
const policyOf = (action: string) =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: action, Resource: "*" }],
  });

test("account() is 12 digits, one for each tenant, and stays", () => {
  const { catalog, tenant } = openOne();
  const { tenant: other } = catalog.createTenant("other");
  const account = catalog.account(tenant);
  expect(account).toMatch(/^\d{12}$/);
  expect(catalog.account(other.id)).not.toBe(account);
  expect(catalog.account(tenant)).toBe(account);
});

test("openCatalog() gives accounts to tenants of before, different ones to those that derive the same", () => {
  const database = new Database(":memory:");
  migrate(database);
  const ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-00e8d4a51001"];
  for (const [i, id] of ids.entries()) {
    database.run("INSERT INTO tenants VALUES (?, ?, 0, 0)", [id, `t${i}`]);
  }
  const catalog = openCatalog({ clock, prng, database });
  const accounts = catalog.tenants().map(({ id }) => catalog.account(id));
  expect(Number(accounts[1]) - Number(accounts[0])).toBe(1);
  expect(catalog.tenants().map(({ id }) => toUuid(id))).toEqual(ids);
});

test("migrate() brings a catalog of version 1 up with its users and keys", () => {
  const database = new Database(":memory:");
  migrate(database, 1);
  database.run("INSERT INTO tenants VALUES ('00000000-0000-4000-8000-000000000001', 'old', 1, 0)");
  database.run(
    "INSERT INTO users VALUES ('u', '00000000-0000-4000-8000-000000000001', 'root', 1, 0)",
  );
  database.run("INSERT INTO access_keys VALUES ('KEY', 'u', 'secret', 0, 0)");
  const catalog = openCatalog({ clock, prng, database });
  expect(catalog.lookUpAccessKey("KEY")).toMatchObject({
    isRoot: true,
    policies: [],
    keyPolicies: [],
    description: "",
  });
});

test("createUser(), setUserDisabled(), deleteUser(): its keys follow at once; the root stays", () => {
  const { catalog, tenant, root } = openOne();
  const bob = catalog.createUser(tenant, "bob");
  expect(codeOf(() => catalog.createUser(tenant, "bob"))).toBe("exists");
  for (const name of ["", "a b", "a/b", "x".repeat(65)]) {
    expect(codeOf(() => catalog.createUser(tenant, name))).toBe("invalid");
  }
  const { id } = catalog.createAccessKey(bob.id);
  expect(catalog.lookUpAccessKey(id)?.userName).toBe("bob");
  catalog.setUserDisabled(bob.id, true);
  expect(catalog.lookUpAccessKey(id)).toBeUndefined();
  expect(catalog.users(tenant).map(({ name, isDisabled }) => [name, isDisabled])).toEqual([
    ["bob", true],
    ["root", false],
  ]);
  catalog.setUserDisabled(bob.id, false);
  expect(catalog.lookUpAccessKey(id)?.id).toBe(id);
  catalog.deleteUser(bob.id);
  expect(catalog.lookUpAccessKey(id)).toBeUndefined();
  expect(catalog.accessKeys(tenant)).toEqual([]);
  expect(codeOf(() => catalog.deleteUser(bob.id))).toBe("not_found");
  expect(codeOf(() => catalog.deleteUser(root.id))).toBe("invalid");
  expect(codeOf(() => catalog.setUserDisabled(root.id, true))).toBe("invalid");
});

test("putPolicy(), attachPolicy(), detachPolicy(), deletePolicy(): a key sees each change at once", () => {
  const { catalog, tenant, root } = openOne();
  const bob = catalog.createUser(tenant, "bob");
  const { id } = catalog.createAccessKey(bob.id);
  const actions = () =>
    catalog
      .lookUpAccessKey(id)!
      .policies.map(({ statements }) => statements[0]!.actions.members[0]?.plain);
  expect(actions()).toEqual([]);
  catalog.putPolicy(tenant, "mine", policyOf("s3:GetObject"));
  expect(codeOf(() => catalog.attachPolicy(bob.id, "nothing"))).toBe("not_found");
  expect(codeOf(() => catalog.attachPolicy(root.id, "mine"))).toBe("invalid");
  catalog.attachPolicy(bob.id, "mine");
  catalog.attachPolicy(bob.id, "mine");
  expect(actions()).toEqual(["s3:getobject"]);
  catalog.putPolicy(tenant, "mine", policyOf("s3:PutObject"));
  expect(actions()).toEqual(["s3:putobject"]);
  catalog.attachPolicy(bob.id, "readonly");
  expect(catalog.userPolicies(bob.id)).toEqual(["mine", "readonly"]);
  expect(codeOf(() => catalog.deletePolicy(tenant, "mine"))).toBe("in_use");
  catalog.detachPolicy(bob.id, "mine");
  expect(actions()).toEqual(["s3:getbucketlocation"]);
  expect(codeOf(() => catalog.detachPolicy(bob.id, "mine"))).toBe("not_found");
  catalog.deletePolicy(tenant, "mine");
  expect(codeOf(() => catalog.deletePolicy(tenant, "mine"))).toBe("not_found");
  expect(catalog.policies(tenant).map(({ name }) => name)).toEqual([
    "consoleAdmin",
    "diagnostics",
    "readonly",
    "readwrite",
    "writeonly",
  ]);
});

test("putPolicy() refuses what is not valid, and to change what is built in", () => {
  const { catalog, tenant } = openOne();
  expect(codeOf(() => catalog.putPolicy(tenant, "x", "{}"))).toBe("invalid");
  expect(codeOf(() => catalog.putPolicy(tenant, "a b", policyOf("*")))).toBe("invalid");
  expect(codeOf(() => catalog.putPolicy(tenant, "readonly", policyOf("*")))).toBe("invalid");
  expect(codeOf(() => catalog.deletePolicy(tenant, "readonly"))).toBe("invalid");
});

test("a policy of another tenant cannot be attached, and one that is gone refuses everything", () => {
  const database = new Database(":memory:");
  const catalog = openCatalog({ clock, prng, database });
  const { tenant } = catalog.ensureDefaultTenant("default");
  const { tenant: other } = catalog.createTenant("other");
  const bob = catalog.createUser(tenant.id, "bob");
  catalog.putPolicy(other.id, "theirs", policyOf("*"));
  expect(codeOf(() => catalog.attachPolicy(bob.id, "theirs"))).toBe("not_found");
  database.run("INSERT INTO user_policies VALUES (?, 'theirs')", [bob.id]);
  const { id } = catalog.createAccessKey(bob.id);
  expect(catalog.lookUpAccessKey(id)!.policies[0]!.statements[0]!.effect).toBe("Deny");
});

test("createAccessKey() takes a policy, an end, a description, and a key that was brought along", () => {
  const { catalog, tenant, root } = openOne();
  const credentials = { id: "minio-user", secret: "minio-secret" };
  const expires = wallTime(now + 1000);
  const options = { policy: policyOf("s3:GetObject"), expires, description: "backup", credentials };
  expect(catalog.createAccessKey(root.id, options)).toEqual(credentials);
  expect(codeOf(() => catalog.createAccessKey(root.id, { credentials }))).toBe("exists");
  expect(catalog.lookUpAccessKey("minio-user")).toMatchObject({
    secret: "minio-secret",
    description: "backup",
  });
  expect(catalog.lookUpAccessKey("minio-user")!.keyPolicies).toHaveLength(1);
  expect(catalog.accessKeys(tenant)[0]).toMatchObject({
    id: "minio-user",
    expires,
    policy: options.policy,
  });
  now += 1000;
  expect(catalog.lookUpAccessKey("minio-user")).toBeUndefined();
  const refused = [
    { policy: "{}" },
    { description: "x".repeat(257) },
    { credentials: { id: "ab", secret: "long enough" } },
    { credentials: { id: "abc/d", secret: "long enough" } },
    { credentials: { id: "abc", secret: "short" } },
  ];
  for (const each of refused)
    expect(codeOf(() => catalog.createAccessKey(root.id, each))).toBe("invalid");
});
