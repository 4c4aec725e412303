/** Access control lists of buckets and objects. */
import type { Principal } from "./principal.ts";

export const permissions = ["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"] as const;
export type Permission = (typeof permissions)[number];

export const aclGroups = ["AllUsers", "AuthenticatedUsers", "LogDelivery"] as const;
export type AclGroup = (typeof aclGroups)[number];

export type Grantee =
  | { readonly kind: "canonical"; readonly id: string; readonly displayName: string }
  | { readonly kind: "group"; readonly group: AclGroup };

export interface Grant {
  readonly grantee: Grantee;
  readonly permission: Permission;
}

export interface AclOwner {
  readonly id: string;
  readonly displayName: string;
}

export interface Acl {
  readonly owner: AclOwner;
  /** At most 100, AWS's limit. */
  readonly grants: readonly Grant[];
}

export const cannedAcls = [
  "private",
  "public-read",
  "public-read-write",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
  "log-delivery-write",
] as const;
export type CannedAcl = (typeof cannedAcls)[number];

const fullControl = ({ id, displayName }: AclOwner): Grant => ({
  grantee: { kind: "canonical", id, displayName },
  permission: "FULL_CONTROL",
});
const toGroup = (group: AclGroup, permission: Permission): Grant => ({
  grantee: { kind: "group", group },
  permission,
});

/** The ACL that a canned name stands for. `bucketOwner` is for objects, and is the owner for buckets. */
export function cannedAcl(name: CannedAcl, owner: AclOwner, bucketOwner: AclOwner): Acl {
  const own = fullControl(owner);
  const isForeign = owner.id !== bucketOwner.id;
  switch (name) {
    case "public-read":
      return { owner, grants: [own, toGroup("AllUsers", "READ")] };
    case "public-read-write":
      return { owner, grants: [own, toGroup("AllUsers", "READ"), toGroup("AllUsers", "WRITE")] };
    case "authenticated-read":
      return { owner, grants: [own, toGroup("AuthenticatedUsers", "READ")] };
    case "bucket-owner-read": {
      const read: Grant = { ...fullControl(bucketOwner), permission: "READ" };
      return { owner, grants: isForeign ? [own, read] : [own] };
    }
    case "bucket-owner-full-control":
      return { owner, grants: isForeign ? [own, fullControl(bucketOwner)] : [own] };
    case "log-delivery-write":
      return {
        owner,
        grants: [own, toGroup("LogDelivery", "WRITE"), toGroup("LogDelivery", "READ_ACP")],
      };
    default:
      return { owner, grants: [own] }; // private; aws-exec-read names a service that is not here
  }
}

const isPublicGrant = ({ grantee }: Grant): boolean =>
  grantee.kind === "group" && grantee.group !== "LogDelivery";

/** Whether it grants anything to everyone or to everyone with an account. */
export function isPublicAcl({ grants }: Acl): boolean {
  return grants.some(isPublicGrant);
}

/** Whether it is what an object has of which nothing was said: the owner may do all, nobody else anything. */
export function isPlainAcl({ owner, grants }: Acl): boolean {
  const [only] = grants;
  return (
    grants.length === 1 &&
    only?.permission === "FULL_CONTROL" &&
    only.grantee.kind === "canonical" &&
    only.grantee.id === owner.id
  );
}

/** Whether nobody but the owner has anything by it: what ownership enforced by the bucket's owner allows. */
export function isPrivateAcl({ owner, grants }: Acl): boolean {
  return grants.every(({ grantee }) => grantee.kind === "canonical" && grantee.id === owner.id);
}

/**
 * Whether the ACL grants `permission`. A grant to an account is for its root, and for others in it when it is
 * not the owner's own: inside the owner's account, policies of identities say who may. `isPublicIgnored`: IgnorePublicAcls.
 */
export function aclGrants(
  acl: Acl,
  principal: Principal,
  permission: Permission,
  isPublicIgnored: boolean,
): boolean {
  return acl.grants.some((grant) => {
    if (grant.permission !== permission && grant.permission !== "FULL_CONTROL") return false;
    const { grantee } = grant;
    if (grantee.kind === "group") {
      if (isPublicIgnored && isPublicGrant(grant)) return false;
      if (grantee.group === "AllUsers") return true;
      return grantee.group === "AuthenticatedUsers" && principal.kind !== "anonymous";
    }
    if (principal.kind === "anonymous" || grantee.id !== principal.canonicalId) return false;
    return principal.kind === "root" || principal.canonicalId !== acl.owner.id;
  });
}

/** What a bucket's ACL grants, by action. */
const bucketPermissions: ReadonlyMap<string, Permission> = new Map([
  ["s3:GetBucketAcl", "READ_ACP"],
  ["s3:ListBucket", "READ"],
  ["s3:ListBucketMultipartUploads", "READ"],
  ["s3:ListBucketVersions", "READ"],
  ["s3:PutBucketAcl", "WRITE_ACP"],
  ["s3:PutObject", "WRITE"],
]);
/** What an object's ACL grants, by action. */
const objectPermissions: ReadonlyMap<string, Permission> = new Map([
  ["s3:GetObject", "READ"],
  ["s3:GetObjectAcl", "READ_ACP"],
  ["s3:GetObjectVersion", "READ"],
  ["s3:GetObjectVersionAcl", "READ_ACP"],
  ["s3:PutObjectAcl", "WRITE_ACP"],
  ["s3:PutObjectVersionAcl", "WRITE_ACP"],
]);

/** The permission of which ACL an action asks for; `undefined`: no ACL grants it. */
export function aclPermission(
  action: string,
): { readonly of: "bucket" | "object"; readonly permission: Permission } | undefined {
  const onBucket = bucketPermissions.get(action);
  if (onBucket !== undefined) return { of: "bucket", permission: onBucket };
  const onObject = objectPermissions.get(action);
  return onObject && { of: "object", permission: onObject };
}
