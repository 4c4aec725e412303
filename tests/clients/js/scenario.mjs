/**
 * A program as a new user of the AWS SDK for JavaScript writes one: endpoint and keys come from the environment,
 * everything else is the SDK's default. Prints one line of JSON with what it saw.
 */
import { createHash } from "node:crypto";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  waitUntilObjectExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const Bucket = "sdk-js";
const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bodyOf = (size) => Buffer.alloc(size, createHash("sha256").update(String(size)).digest());
const keys = [
  "plain",
  "a//b",
  "ünï/日本語 😀",
  "per%cent%2F",
  "plus+ and space",
  "quote'\"<&>",
  "a/../b",
];
const s3 = new S3Client({ forcePathStyle: true });
const seen = {};

await s3.send(new CreateBucketCommand({ Bucket }));
seen.bodies = [];
for (const size of [0, 1, 4097, 1_048_577]) {
  const Key = `size-${size}`;
  await s3.send(
    new PutObjectCommand({ Bucket, Key, Body: bodyOf(size), Metadata: { size: String(size) } }),
  );
  const { Body, Metadata } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  const got = await Body.transformToByteArray();
  seen.bodies.push(hashOf(got) === hashOf(bodyOf(size)) && Metadata.size === String(size));
}

const large = bodyOf(12_000_007);
const progress = [];
const upload = new Upload({ client: s3, params: { Bucket, Key: "parts", Body: large } });
upload.on("httpUploadProgress", ({ loaded }) => progress.push(loaded));
await upload.done();
const parts = await s3.send(new GetObjectCommand({ Bucket, Key: "parts" }));
seen.parts = hashOf(await parts.Body.transformToByteArray()) === hashOf(large);
seen.etag = /-3"$/.test(parts.ETag);
seen.progress = Math.max(...progress) === large.length;
const range = await s3.send(
  new GetObjectCommand({ Bucket, Key: "parts", Range: "bytes=5242870-5242889" }),
);
seen.range =
  hashOf(await range.Body.transformToByteArray()) === hashOf(large.subarray(5242870, 5242890));
const ObjectAttributes = ["ETag", "ObjectSize", "ObjectParts"];
const attributes = await s3.send(
  new GetObjectAttributesCommand({ Bucket, Key: "parts", ObjectAttributes }),
);
seen.attributes = [attributes.ObjectSize, attributes.ObjectParts.TotalPartsCount];

for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
const listed = [];
for await (const page of paginateListObjectsV2({ client: s3, pageSize: 4 }, { Bucket })) {
  listed.push(...page.Contents.map((entry) => entry.Key));
}
seen.listed = keys.every((key) => listed.includes(key)) && listed.length === keys.length + 5;
const directories = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
seen.directories = directories.CommonPrefixes.map(({ Prefix }) => Prefix);
const CopySource = `${Bucket}/${keys.map(encodeURIComponent)[2]}`;
await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource }));
await waitUntilObjectExists({ client: s3, maxWaitTime: 10 }, { Bucket, Key: "copy" });
const copy = await s3.send(new GetObjectCommand({ Bucket, Key: "copy" }));
seen.copy = (await copy.Body.transformToString()) === keys[2];

const Key = keys[4];
const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }));
seen.presignedPut = (await fetch(put, { method: "PUT", body: "by anyone" })).status;
const get = await getSignedUrl(
  s3,
  new GetObjectCommand({ Bucket, Key, ResponseContentType: "text/x-test" }),
);
const answer = await fetch(get);
seen.presignedGet = [answer.headers.get("content-type"), await answer.text()];

seen.refusals = [];
for (const command of [
  new PutObjectCommand({ Bucket, Key: "copy", Body: "2", IfNoneMatch: "*" }),
  new GetObjectCommand({ Bucket, Key: "nobody" }),
  new HeadObjectCommand({ Bucket, Key: "nobody" }),
  new DeleteBucketCommand({ Bucket }),
]) {
  await s3.send(command).catch((reason) => seen.refusals.push(reason.name));
}
const Objects = [...listed, "copy"].map((name) => ({ Key: name }));
seen.deleted = (
  await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
).Deleted.length;
await s3.send(new DeleteBucketCommand({ Bucket }));
console.log(JSON.stringify(seen));
