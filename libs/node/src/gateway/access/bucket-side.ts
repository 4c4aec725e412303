/** What a bucket says of who may use it, read from its settings; remembered with its row. */
import { decodeBucketPolicy } from "@kiseki/policy";
import { publicAccessBlockSetting } from "@kiseki/s3";
import type { CallScope } from "../scope.ts";
import { findSetting } from "../settings.ts";
import type { BucketSide } from "./access.ts";

/** A tenant, and what is remembered of its buckets. */
export type BucketPlace = Pick<CallScope, "tenant" | "buckets">;

export const bucketPolicySetting = { stored: "policy", decode: decodeBucketPolicy } as const;

export const noSide: BucketSide = {
  policy: undefined,
  isRestricted: false,
  isGranted: () => false,
  objectTags: () => [],
  bucketTags: () => [],
};

export function bucketSide(place: BucketPlace, bucket: string): BucketSide {
  if (place.buckets.find(place.tenant, bucket) === undefined) return noSide;
  const policy = findSetting(place, bucket, bucketPolicySetting);
  if (policy === undefined) return noSide;
  const block = findSetting(place, bucket, publicAccessBlockSetting);
  return {
    ...noSide,
    policy: policy.document,
    isRestricted: policy.isPublic && block?.restrictPublicBuckets === true,
  };
}
