/** What an upload was begun with, in the words of its request: parts do not send it again. */
import { sameBytes } from "@kiseki/base";
import { listParts } from "@kiseki/composition";
import { decodeEncryption, type ObjectAttributes } from "@kiseki/format";
import { cannedAcl, cannedAcls, encodeAcl, isPlainAcl } from "@kiseki/policy";
import { formatTaggingHeader, type Owner } from "@kiseki/s3";
import { kmsKeyArn } from "../../keys/key-name.ts";
import { objectAcl } from "../acls.ts";
import { toS3Attributes } from "../convert.ts";
import { parseUploadId } from "../listings.ts";
import type { CallScope } from "../scope.ts";
import type { Need } from "./needs.ts";

type BucketPlace = Pick<CallScope, "tenant" | "buckets">;
type Headers = Readonly<Record<string, string | undefined>>;

/** What the upload keeps; `undefined` when there is none of that id under that key. */
export function lookUpUpload(
  { tenant, buckets }: BucketPlace,
  { bucket, key }: Pick<Need, "bucket" | "key">,
  uploadId: string | undefined,
): ObjectAttributes | undefined {
  const row = bucket === undefined ? undefined : buckets.find(tenant, bucket);
  const upload = uploadId === undefined ? undefined : parseUploadId(uploadId);
  if (row === undefined || key === undefined || upload === undefined) return undefined;
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const query = { namespace: row.id, key, upload, after: 0, countMax: 1 };
  const page = tenant.store.view((map) => listParts(map, dirKeys, query));
  return page.kind === "refused" ? undefined : page.upload.attributes;
}

/** Of the canned ACLs those that came to what the upload keeps, and that none was named. */
function aclWords(attributes: ObjectAttributes, bucketOwner: Owner): readonly Headers[] {
  const { acl } = attributes;
  const { owner } = objectAcl(attributes, bucketOwner);
  const names = cannedAcls.filter((name) => {
    const named = cannedAcl(name, owner, bucketOwner);
    if (owner.id === bucketOwner.id && isPlainAcl(named)) return acl === undefined;
    return acl !== undefined && sameBytes(encodeAcl(named), acl);
  });
  return [undefined, ...names].map((name) => ({ "x-amz-acl": name }));
}

function encryptionWords(
  { tenant }: BucketPlace,
  { encryption }: ObjectAttributes,
  isNamed: boolean,
  region: string,
): readonly Headers[] {
  const facts = encryption === undefined ? undefined : decodeEncryption(encryption);
  const name = "x-amz-server-side-encryption";
  if (facts?.kind === "customer") return [{ [`${name}-customer-algorithm`]: "AES256" }];
  if (facts === undefined) return [{ [name]: isNamed ? "AES256" : undefined }];
  const kms = { [name]: "aws:kms" };
  return [kms, { ...kms, [`${name}-aws-kms-key-id`]: kmsKeyArn(tenant.id, region) }];
}

/** Each way in which the upload that `need` is part of may have been asked for; none where there is no such upload. */
export function begunWords(
  place: BucketPlace,
  need: Need,
  bucketOwner: Owner,
  region: string,
): readonly Headers[] {
  const attributes = lookUpUpload(place, need, need.partOf);
  if (attributes === undefined) return [];
  const { content, tags, isSseRequested } = toS3Attributes(attributes);
  const { retention, legalHold, storageClass } = attributes;
  const always: Headers = {
    "x-amz-tagging": tags.length === 0 ? undefined : formatTaggingHeader(tags),
    "x-amz-tagging-directive": "REPLACE", // of a part that is copied: its source's tags stay behind
    "x-amz-website-redirect-location": content.websiteRedirectLocation,
    "x-amz-object-lock-mode": retention?.mode.toUpperCase(),
    "x-amz-object-lock-retain-until-date": retention && new Date(retention.until).toISOString(),
    "x-amz-object-lock-legal-hold": legalHold === true ? "ON" : undefined,
  };
  const classes = storageClass === undefined ? [undefined, "STANDARD"] : [storageClass];
  const encryptions = encryptionWords(place, attributes, isSseRequested, region);
  return aclWords(attributes, bucketOwner).flatMap((acl) =>
    encryptions.flatMap((encryption) =>
      classes.map((name) => ({ ...always, ...acl, ...encryption, "x-amz-storage-class": name })),
    ),
  );
}
