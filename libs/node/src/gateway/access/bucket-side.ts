/** What a bucket says of who may use it, read from its settings; remembered with its row. */
import { lookupObject } from "@kiseki/composition";
import type { ObjectAttributes } from "@kiseki/format";
import {
  type Acl,
  aclGrants,
  aclPermission,
  decodeBucketPolicy,
  type Principal,
} from "@kiseki/policy";
import { type Owner, publicAccessBlockSetting, taggingSetting } from "@kiseki/s3";
import { bucketAcl, bucketOwnership, objectAcl } from "../acls.ts";
import type { CallScope } from "../scope.ts";
import { findSetting } from "../settings.ts";
import { openVersionId } from "../versions.ts";
import type { BucketSide } from "./access.ts";
import { lookUpUpload } from "./begun-upload.ts";
import type { Need } from "./needs.ts";

/** A tenant, and what is remembered of its buckets. */
type BucketPlace = Pick<CallScope, "tenant" | "buckets">;

export const bucketPolicySetting = { stored: "policy", decode: decodeBucketPolicy } as const;

export const noSide: BucketSide = {
  policy: undefined,
  isRestricted: false,
  hasAcls: false,
  isGranted: () => false,
  objectOwner: () => undefined,
  objectTags: () => [],
  bucketTags: () => [],
};

/** Actions on what stands in a bucket and may belong to somebody else than the bucket. */
const ofObject = /^s3:(Get|Put|Delete)Object(Version)?(Acl|Attributes|Tagging)?$/;
const ofBucket: ReadonlySet<string> = new Set(["s3:DeleteObject", "s3:DeleteObjectVersion"]);

export function bucketSide(place: BucketPlace, bucket: string, owner: Owner): BucketSide {
  if (place.buckets.find(place.tenant, bucket) === undefined) return noSide;
  const policy = findSetting(place, bucket, bucketPolicySetting);
  const hasAcls = bucketOwnership(place, bucket) !== "BucketOwnerEnforced";
  if (policy === undefined && !hasAcls) return noSide;
  const block = findSetting(place, bucket, publicAccessBlockSetting);
  const attributes = (need: Need) => lookUpAttributes(place, need);
  const isIgnored = block?.ignorePublicAcls === true;
  const acls = { place, bucket, owner, isIgnored };
  return {
    policy: policy?.document,
    isRestricted: policy?.isPublic === true && block?.restrictPublicBuckets === true,
    hasAcls,
    isGranted: (need, principal) => hasAcls && isGrantedByAcl(acls, need, principal),
    objectOwner(need) {
      const isObjects =
        hasAcls && need.isNew !== true && ofObject.test(need.action) && !ofBucket.has(need.action);
      const found = isObjects ? attributes(need) : undefined;
      return found && objectAcl(found, owner).owner.id;
    },
    objectTags: (need) => attributes(need)?.tags ?? [],
    bucketTags: () =>
      findSetting(place, bucket, taggingSetting)?.tagSet.tags.map(
        ({ key, value }) => [key, value] as const,
      ) ?? [],
  };
}

interface Acls {
  readonly place: BucketPlace;
  readonly bucket: string;
  readonly owner: Owner;
  readonly isIgnored: boolean;
}
function isGrantedByAcl(
  { place, bucket, owner, isIgnored }: Acls,
  need: Need,
  principal: Principal,
): boolean {
  if (need.uploadId !== undefined) return isInitiator({ place, owner }, need, principal);
  // Who may write into the bucket says who may use what is written.
  const action = need.action === "s3:PutObjectAcl" && need.isNew ? "s3:PutObject" : need.action;
  const asked = aclPermission(action);
  if (asked === undefined) return false;
  const found = asked.of === "object" ? lookUpAttributes(place, need) : undefined;
  if (asked.of === "object" && found === undefined) return false;
  const acl: Acl = found ? objectAcl(found, owner) : bucketAcl(place, bucket, owner);
  return aclGrants(acl, principal, asked.permission, isIgnored);
}

/** An upload keeps who began it where that is somebody else than the bucket's owner, who needs no grant. */
function isInitiator(
  { place, owner }: Pick<Acls, "place" | "owner">,
  need: Need,
  principal: Principal,
): boolean {
  if (principal.kind === "anonymous") return false;
  const attributes = lookUpUpload(place, need, need.uploadId);
  if (attributes === undefined) return false;
  return objectAcl(attributes, owner).owner.id === principal.canonicalId;
}

/** Of the object that is there; `undefined` when there is none. */
function lookUpAttributes(
  { tenant, buckets }: BucketPlace,
  { bucket, key, versionId }: Need,
): ObjectAttributes | undefined {
  const row = bucket === undefined ? undefined : buckets.find(tenant, bucket);
  if (row === undefined || key === undefined) return undefined;
  const version = versionId === undefined ? undefined : openVersionId({ tenant }, versionId);
  if (versionId !== undefined && version === undefined) return undefined; // nothing has such an id
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const found = tenant.store.view((map) =>
    lookupObject(map, dirKeys, {
      namespace: row.id,
      key,
      ...(version === undefined ? {} : { version }),
    }),
  );
  return found.kind === "object" ? found.cold.attributes : undefined;
}
