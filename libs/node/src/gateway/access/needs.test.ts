import { expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import { isKnownAction } from "@kiseki/policy";
import { bucketSettings, type S3Call } from "@kiseki/s3";
import { callNeeds, needsOf, type RequestWords, settingAction } from "./needs.ts";

const words = (
  headers: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string>> = {},
): RequestWords => ({
  header: (name) => headers[name],
  query: (name) => query[name],
  queryNames: Object.keys(query),
});
/** Has what any call has; which of it is meant, its kind says. */
function sample(kind: string): S3Call {
  const place = { bucket: "bucket", key: toUtf8("key") };
  const setting = kind.endsWith("fixed_setting") ? "logging" : { subresource: "cors" };
  return { ...place, kind, source: { ...place, bucket: "from" }, setting } as unknown as S3Call;
}
const actionsOf = (kind: string, asked = words()) =>
  callNeeds(sample(kind), asked).map(({ action }) => action);

test("callNeeds(): every kind of call asks for something that S3 knows, but for those that ask when they have read their document", () => {
  const silent = Object.keys(needsOf).filter(
    (kind) => actionsOf(kind, words({}, { cors: "" })).length === 0,
  );
  expect(silent.toSorted()).toEqual([
    "delete_objects",
    "put_object_legal_hold",
    "put_object_retention",
    "put_object_tagging",
  ]);
  for (const kind of Object.keys(needsOf)) {
    for (const action of actionsOf(kind, words({}, { cors: "" }))) {
      expect([kind, action, isKnownAction(action)]).toEqual([kind, action, true]);
    }
  }
});

test("callNeeds(): a call of a kind that has no entry throws", () => {
  expect(() => callNeeds(sample("another_call"), words())).toThrow();
});

test("settingAction(): every setting of buckets has actions; an unknown one is no action of S3", () => {
  for (const { subresource } of bucketSettings) {
    for (const act of ["get", "put", "delete"] as const) {
      const action = `s3:${settingAction(subresource, act)}`;
      expect([subresource, isKnownAction(action)]).toEqual([subresource, true]);
    }
  }
  expect(isKnownAction(`s3:${settingAction("whatever", "get")}`)).toBe(false);
});

const rows: readonly (readonly [kind: string, words: RequestWords, actions: readonly string[]])[] =
  [
    ["put_object", words(), ["PutObject"]],
    ["put_object", words({ "x-amz-tagging": "a=b" }), ["PutObject", "PutObjectTagging"]],
    ["put_object", words({ "x-amz-acl": "private" }), ["PutObject", "PutObjectAcl"]],
    ["put_object", words({ "x-amz-grant-read": "id=x" }), ["PutObject", "PutObjectAcl"]],
    [
      "put_object",
      words({ "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-legal-hold": "ON" }),
      ["PutObject", "PutObjectRetention", "PutObjectLegalHold"],
    ],
    [
      "create_multipart_upload",
      words({ "x-amz-tagging": "a=b" }),
      ["PutObject", "PutObjectTagging"],
    ],
    ["copy_object", words(), ["GetObject", "PutObject"]],
    [
      "copy_object",
      words({ "x-amz-tagging": "a=b", "x-amz-tagging-directive": "REPLACE" }),
      ["GetObject", "PutObject", "PutObjectTagging"],
    ],
    ["upload_part_copy", words(), ["GetObject", "PutObject"]],
    ["get_object", words({}, { versionId: "x" }), ["GetObjectVersion"]],
    ["get_object_acl", words({}, { versionId: "x" }), ["GetObjectVersionAcl"]],
    [
      "get_object_attributes",
      words({}, { versionId: "null" }),
      ["GetObjectVersion", "GetObjectVersionAttributes"],
    ],
    ["delete_object", words({}, { versionId: "x" }), ["DeleteObjectVersion"]],
    [
      "delete_object",
      words({ "x-amz-bypass-governance-retention": "true" }),
      ["DeleteObject", "BypassGovernanceRetention"],
    ],
    ["list_parts", words(), ["ListMultipartUploadParts"]],
    ["abort_multipart_upload", words(), ["AbortMultipartUpload"]],
    ["list_object_versions", words(), ["ListBucketVersions"]],
    [
      "create_bucket",
      words({ "x-amz-acl": "private", "x-amz-object-ownership": "ObjectWriter" }),
      ["CreateBucket", "PutBucketAcl", "PutBucketOwnershipControls"],
    ],
    [
      "create_bucket",
      words({ "x-amz-bucket-object-lock-enabled": "true" }),
      ["CreateBucket", "PutBucketObjectLockConfiguration", "PutBucketVersioning"],
    ],
    ["delete_unset_setting", words({}, { website: "" }), ["DeleteBucketWebsite"]],
  ];
for (const [kind, asked, actions] of rows) {
  test(`callNeeds(): ${kind} asks for ${actions.join(", ")}`, () => {
    expect(actionsOf(kind, asked)).toEqual(actions.map((action) => `s3:${action}`));
  });
}
