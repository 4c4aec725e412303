import { expect, test } from "bun:test";
import { tenantOfCertificate } from "./tenant-identity.ts";

test("tenantOfCertificate() takes one tenant from SPIFFE id or unit, and nothing unclear", () => {
  const of = (units: readonly string[], uris: readonly string[] = []) =>
    tenantOfCertificate({ units, uris });
  expect(of(["tenant-acme"])).toBe("acme");
  expect(of(["people", "tenant-acme"])).toBe("acme");
  expect(of([], ["spiffe://cluster/tenant/acme/workload/w"])).toBe("acme");
  expect(of([], ["spiffe://cluster/org/acme"])).toBe("acme");
  expect(of(["tenant-acme"], ["spiffe://cluster/tenant/acme/project/p/workload/w"])).toBe("acme");
  expect(of([], [])).toBeUndefined();
  expect(of(["tenant-"])).toBeUndefined();
  expect(of(["kiseki-admin"], ["spiffe://cluster/fabric/1"])).toBeUndefined();
  expect(of(["tenant-acme", "tenant-other"])).toBeUndefined();
  expect(of(["tenant-acme"], ["spiffe://cluster/tenant/other/workload/w"])).toBeUndefined();
  expect(of([], ["https://cluster/tenant/acme"])).toBeUndefined();
  expect(of([], ["spiffe://cluster/tenant/a%2Fb"])).toBeUndefined();
});
