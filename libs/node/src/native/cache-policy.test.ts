import { afterAll, beforeAll, expect, test } from "bun:test";
import { encodeRules } from "@kiseki/cache";
import { TenantKeysError } from "@kiseki/kms";
import { fromRulesMessage, toRulesMessage } from "@kiseki/rpc";
import { getCacheRules, setCacheRules } from "../admin/cache-rules.ts";
import type { AdminParts } from "../admin/types.ts";
import { type Mount, NativeBed } from "./bed.test-helper.ts";
import { keyHealthOf } from "./cache-policy.ts";

let bed: NativeBed;
let mount: Mount;
beforeAll(async () => {
  bed = await NativeBed.open();
  mount = await bed.mount();
});
afterAll(() => bed[Symbol.asyncDispose]());

const signal = new AbortController().signal;

test("getCachePolicy() answers the cluster's rules, narrowed by the tenant's", async () => {
  const parts = { node: bed.node } as AdminParts;
  const set = (tenant: string, rules: Parameters<typeof toRulesMessage>[0]) =>
    setCacheRules(parts, { tenant, rules: toRulesMessage(rules) } as never);
  const asked = async () => {
    const { session } = mount.at;
    const { failure, policy } = await mount.client.files.getCachePolicy({ session });
    expect(failure).toBeUndefined();
    return fromRulesMessage(policy);
  };
  expect(await asked()).toMatchObject({ isEnabled: true, sizeMax: 50 * 1024 ** 3 });
  set("", { sizeMax: 1 << 30, modesAllowed: ["organic", "bypass"], keyHealthIntervalMs: 500 });
  set("default", { sizeMax: 2 ** 31, modesAllowed: ["pinned", "organic"], metadataTtlMs: 7 });
  set("other", { isEnabled: false });
  expect(await asked()).toEqual({
    isEnabled: true,
    modesAllowed: ["organic"],
    sizeMax: 1 << 30,
    metadataTtlMs: 7,
    disconnectSecondsMax: 300,
    keyHealthIntervalMs: 500,
    isStagingEnabled: true,
  });
  expect(fromRulesMessage(getCacheRules(parts, "other").policy as never)).toMatchObject({
    isEnabled: false,
  });
  for (const [tenant, rules, code] of [
    ["nobody", {}, "not_found"],
    ["default", { disconnectSecondsMax: 1 }, "invalid"],
    ["", { keyHealthIntervalMs: 1 }, "invalid"],
  ] as const)
    expect(() => set(tenant, rules)).toThrow(expect.objectContaining({ code }));
  const rules = bed.node.storage.catalog.cacheRules.get();
  expect(encodeRules(rules)).toContain('"sizeMax":1073741824');
  const stolen = { session: new Uint8Array(16) };
  const refused = await mount.client.files.getCachePolicy(stolen);
  expect(refused).toMatchObject({ failure: { code: "session_expired" } });
});

test("getKeyHealth() says whether the tenant's key is there, gone, or out of reach", async () => {
  const { session } = mount.at;
  const health = async () => (await mount.client.files.getKeyHealth({ session })).health;
  expect(await health()).toBe("healthy");
  const answering = (reason: unknown) => ({
    isShredded: () => false,
    open: () => Promise.reject(reason),
  });
  const of = (code: string) =>
    new TenantKeysError("kms_unavailable", "vault", "No", {
      cause: Object.assign(new Error(code), { code }),
    });
  const tenant = bed.node.defaultTenant;
  for (const [code, expected] of [
    ["timeout", "unreachable"],
    ["auth_failed", "unreachable"],
    ["kek_destroyed", "destroyed"],
    ["key_not_found", "destroyed"],
  ] as const)
    expect(await keyHealthOf(answering(of(code)), tenant, signal)).toBe(expected);
  const bug = new Error("bug");
  expect(keyHealthOf(answering(bug), tenant, signal)).rejects.toBe(bug);
  await bed.node.storage.tenantKeys.shred(tenant, signal);
  expect(await health()).toBe("destroyed");
});
