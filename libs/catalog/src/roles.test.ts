import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { millis, prngFromSeed, wallTime } from "@kiseki/base";
import { CatalogError, openCatalog } from "./index.ts";

const clock = {
  monotonic: () => millis(0),
  realtime: () => wallTime(1_700_000_000_000),
  sleep: () => Promise.resolve(),
};
const trust = JSON.stringify({
  Statement: [{ Effect: "Allow", Principal: "*", Action: "sts:AssumeRole" }],
});
function open() {
  const catalog = openCatalog({ clock, prng: prngFromSeed(7), database: new Database(":memory:") });
  const { tenant } = catalog.createTenant("a");
  return { catalog, tenant: tenant.id, account: catalog.account(tenant.id) };
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

test("roles are found by account and name, with their policies, until they go", () => {
  const { catalog, tenant, account } = open();
  const role = catalog.roles.create(tenant, "job", { trust });
  expect(catalog.roles.list(tenant)).toEqual([role]);
  expect(role).toMatchObject({ name: "job", secondsMax: 3600, policies: [] });
  catalog.putPolicy(
    tenant,
    "mine",
    '{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}',
  );
  catalog.roles.attach(tenant, "job", "readonly");
  catalog.roles.attach(tenant, "job", "mine");
  catalog.roles.attach(tenant, "job", "mine");
  const found = catalog.roles.find(account, "job")!;
  expect(found).toMatchObject({ id: role.id, account });
  expect(found.policies).toHaveLength(2);
  expect(found.trust.statements).toHaveLength(1);
  expect(catalog.roles.lookUp(role.id)).toEqual(found);
  expect(codeOf(() => catalog.deletePolicy(tenant, "mine"))).toBe("in_use");
  catalog.roles.detach(tenant, "job", "mine");
  catalog.deletePolicy(tenant, "mine");
  expect(catalog.roles.find("000000000000", "job")).toBeUndefined();
  catalog.roles.delete(tenant, "job");
  expect(catalog.roles.find(account, "job")).toBeUndefined();
  expect(catalog.roles.lookUp(role.id)).toBeUndefined();
});
test("roles refuse names, trust, times and policies that are none", () => {
  const { catalog, tenant } = open();
  const { roles } = catalog;
  expect(codeOf(() => roles.create(tenant, "a b", { trust }))).toBe("invalid");
  expect(codeOf(() => roles.create(tenant, "a", { trust: "{}" }))).toBe("invalid");
  expect(codeOf(() => roles.create(tenant, "a", { trust, secondsMax: 3599 }))).toBe("invalid");
  expect(codeOf(() => roles.create(tenant, "a", { trust, secondsMax: 43_201 }))).toBe("invalid");
  expect(codeOf(() => roles.create(tenant, "a", { trust, secondsMax: 43_200 }))).toBe("done");
  expect(codeOf(() => roles.create(tenant, "a", { trust }))).toBe("exists");
  expect(codeOf(() => roles.attach(tenant, "a", "none"))).toBe("not_found");
  expect(codeOf(() => roles.attach(tenant, "b", "readonly"))).toBe("not_found");
  expect(codeOf(() => roles.detach(tenant, "a", "readonly"))).toBe("not_found");
  expect(codeOf(() => roles.setTrust(tenant, "a", "[]"))).toBe("invalid");
  expect(codeOf(() => roles.delete(tenant, "b"))).toBe("not_found");
});
test("providers are found by issuer and id, until they go", () => {
  const { catalog, tenant } = open();
  const options = {
    issuer: "https://id.example/realm",
    clientIds: ["app", "cli"],
    policyClaim: "policy",
  };
  const provider = catalog.providers.create(tenant, "id", options);
  expect(catalog.providers.list(tenant)).toEqual([provider]);
  expect(catalog.providers.ofIssuer(options.issuer)).toEqual([provider]);
  expect(catalog.providers.ofIssuer(`${options.issuer}/`)).toEqual([]);
  expect(catalog.providers.lookUp(provider.id)).toMatchObject(options);
  expect(
    codeOf(() => catalog.providers.create(tenant, "id", { ...options, issuer: "https://b" })),
  ).toBe("exists");
  expect(codeOf(() => catalog.providers.create(tenant, "id2", options))).toBe("exists");
  catalog.providers.delete(tenant, "id");
  expect(catalog.providers.lookUp(provider.id)).toBeUndefined();
  expect(codeOf(() => catalog.providers.delete(tenant, "id"))).toBe("not_found");
});
test.each([
  [{ issuer: "id.example" }],
  [{ issuer: "ftp://id.example" }],
  [{ issuer: "https://id.example/?a" }],
  [{ issuer: "https://id.example/#a" }],
  [{ issuer: "https://u:p@id.example/" }],
  [{ issuer: `https://id.example/${"a".repeat(255)}` }],
  [{ clientIds: [] }],
  [{ clientIds: ["a b"] }],
  [{ policyClaim: "" }],
])("providers refuse %j", (change) => {
  const { catalog, tenant } = open();
  const options = {
    issuer: "https://id.example",
    clientIds: ["a"],
    policyClaim: "policy",
    ...change,
  };
  expect(codeOf(() => catalog.providers.create(tenant, "id", options))).toBe("invalid");
});
test("generation() changes with users, policies, roles and providers", () => {
  const { catalog, tenant } = open();
  const seen = new Set([catalog.generation()]);
  const changed = (act: () => unknown) => {
    act();
    const before = seen.size;
    seen.add(catalog.generation());
    expect(seen.size).toBe(before + 1);
  };
  changed(() => catalog.roles.create(tenant, "r", { trust }));
  changed(() => catalog.roles.attach(tenant, "r", "readonly"));
  changed(() =>
    catalog.putPolicy(tenant, "p", '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'),
  );
  changed(() =>
    catalog.providers.create(tenant, "i", {
      issuer: "https://i",
      clientIds: ["a"],
      policyClaim: "p",
    }),
  );
  changed(() => catalog.providers.delete(tenant, "i"));
  changed(() => catalog.roles.delete(tenant, "r"));
});
