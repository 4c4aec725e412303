import { expect, test } from "bun:test";
import { tenantId } from "@kiseki/base";
import {
  type Acl,
  aclGrants,
  aclPermission,
  anonymousPrincipal,
  cannedAcl,
  isPrivateAcl,
  isPublicAcl,
  type Principal,
  rootPrincipal,
  userPrincipal,
} from "./index.ts";

const tenant = tenantId(new Uint8Array(16));
const own = { tenant, account: "111111111111", canonicalId: "1".repeat(64) };
const other = { tenant, account: "222222222222", canonicalId: "2".repeat(64) };
const root = rootPrincipal(own, []);
const otherRoot = rootPrincipal(other, []);
const bob = () => userPrincipal(own, { id: "AIDBOB", name: "bob" }, [], []);
const eve = () => userPrincipal(other, { id: "AIDEVE", name: "eve" }, [], []);
const owner = { id: own.canonicalId, displayName: "own" };

test("aclGrants(): owner, groups, other accounts, and what IgnorePublicAcls takes away", () => {
  const read = (acl: Acl, principal: Principal, isIgnored = false) =>
    aclGrants(acl, principal, "READ", isIgnored);
  const open = cannedAcl("public-read", owner, owner);
  expect(read(open, anonymousPrincipal)).toBe(true);
  expect(read(open, anonymousPrincipal, true)).toBe(false);
  expect(aclGrants(open, anonymousPrincipal, "WRITE", false)).toBe(false);
  const known = cannedAcl("authenticated-read", owner, owner);
  expect(read(known, anonymousPrincipal)).toBe(false);
  expect(read(known, eve())).toBe(true);
  expect(read(known, eve(), true)).toBe(false);
  const closed = cannedAcl("private", owner, owner);
  expect(read(closed, root)).toBe(true);
  expect(read(closed, bob())).toBe(false);
  const foreign = cannedAcl(
    "bucket-owner-full-control",
    { id: other.canonicalId, displayName: "" },
    owner,
  );
  expect(read(foreign, root)).toBe(true);
  expect(read(foreign, bob())).toBe(true);
  expect(read(foreign, eve())).toBe(false);
  expect(read(foreign, otherRoot)).toBe(true);
});

test("isPublicAcl(), isPrivateAcl(): of each canned ACL", () => {
  const isPublic = (name: Parameters<typeof cannedAcl>[0]) =>
    isPublicAcl(cannedAcl(name, owner, owner));
  expect(isPublic("private")).toBe(false);
  expect(isPublic("public-read")).toBe(true);
  expect(isPublic("public-read-write")).toBe(true);
  expect(isPublic("authenticated-read")).toBe(true);
  expect(isPublic("bucket-owner-full-control")).toBe(false);
  expect(isPublic("log-delivery-write")).toBe(false);
  const isPrivate = (name: Parameters<typeof cannedAcl>[0]) =>
    isPrivateAcl(cannedAcl(name, owner, owner));
  expect(isPrivate("private")).toBe(true);
  expect(isPrivate("bucket-owner-full-control")).toBe(true);
  expect(isPrivate("log-delivery-write")).toBe(false);
  const foreign = { id: other.canonicalId, displayName: "" };
  expect(isPrivateAcl(cannedAcl("bucket-owner-read", foreign, owner))).toBe(false);
});

test("aclPermission(): what ACLs say of an action, and that they are silent on the rest", () => {
  expect(aclPermission("s3:GetObject")).toEqual({ of: "object", permission: "READ" });
  expect(aclPermission("s3:ListBucket")).toEqual({ of: "bucket", permission: "READ" });
  expect(aclPermission("s3:PutObject")).toEqual({ of: "bucket", permission: "WRITE" });
  expect(aclPermission("s3:PutBucketAcl")).toEqual({ of: "bucket", permission: "WRITE_ACP" });
  for (const action of ["s3:DeleteObject", "s3:PutBucketPolicy", "s3:DeleteBucket", "*"]) {
    expect(aclPermission(action)).toBeUndefined();
  }
});
