/** Encryption and checksums as boto3 and aws-cli ask for them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { kiseki, kisekiJson } from "../support/cli.ts";
import { NodeProcess } from "../support/node-process.ts";
import { digest, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "512MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  await client.createBucket("sealed");
}, 20_000);
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

test("boto3 uploads by parts, downloads and copies under customers' keys; without or with another key it gets none", async () => {
  const said = await tools.boto3(`
from botocore.exceptions import ClientError
body = os.urandom(20 * 1024 * 1024 + 3)
key, other = os.urandom(32), os.urandom(32)
own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
s3.upload_fileobj(io.BytesIO(body), "sealed", "own", ExtraArgs=own)
target = io.BytesIO()
s3.download_fileobj("sealed", "own", target, ExtraArgs=own)
def status(**more):
    try:
        return s3.get_object(Bucket="sealed", Key="own", **more)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as reason:
        return reason.response["ResponseMetadata"]["HTTPStatusCode"]
part = s3.get_object(Bucket="sealed", Key="own", Range="bytes=8388600-8388620", **own)["Body"].read()
s3.copy_object(Bucket="sealed", Key="copy", CopySource="sealed/own",
  CopySourceSSECustomerAlgorithm="AES256", CopySourceSSECustomerKey=key,
  SSECustomerAlgorithm="AES256", SSECustomerKey=other)
copied = s3.get_object(Bucket="sealed", Key="copy", SSECustomerAlgorithm="AES256", SSECustomerKey=other)["Body"].read()
print(json.dumps({
  "same": target.getvalue() == body, "part": part == body[8388600:8388621], "copied": copied == body,
  "without": status(), "wrong": status(SSECustomerAlgorithm="AES256", SSECustomerKey=other), "right": status(**own),
}))`);
  expect(JSON.parse(said)).toEqual({
    same: true,
    part: true,
    copied: true,
    without: 400,
    wrong: 403,
    right: 200,
  });
}, 20_000);

test("boto3 puts under the tenant's key by name and by the bucket's default, and is refused any other", async () => {
  const words = ["--config-dir", node.configDirectory, "encryption", "key"];
  const [{ arn } = { arn: "" }] = (await kisekiJson(words)) as readonly { readonly arn: string }[];
  const said = await tools.boto3(`
from botocore.exceptions import ClientError
arn = ${JSON.stringify(arn)}
kms = {"ServerSideEncryption": "aws:kms"}
one = s3.put_object(Bucket="sealed", Key="kms", Body=b"one", SSEKMSKeyId=arn, **kms)
try:
    code = s3.put_object(Bucket="sealed", Key="no", Body=b"no", SSEKMSKeyId="alias/other", **kms)
except ClientError as reason:
    code = reason.response["Error"]["Code"]
s3.put_bucket_encryption(Bucket="sealed", ServerSideEncryptionConfiguration={"Rules": [{
  "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}, "BucketKeyEnabled": True}]})
rule = s3.get_bucket_encryption(Bucket="sealed")["ServerSideEncryptionConfiguration"]["Rules"][0]
two = s3.put_object(Bucket="sealed", Key="default", Body=b"two")
head = s3.head_object(Bucket="sealed", Key="default")
s3.delete_bucket_encryption(Bucket="sealed")
three = s3.put_object(Bucket="sealed", Key="plain", Body=b"three")
print(json.dumps([one["SSEKMSKeyId"] == arn, code, rule["BucketKeyEnabled"], two["ServerSideEncryption"],
  head["SSEKMSKeyId"] == arn, head["BucketKeyEnabled"], three["ServerSideEncryption"]]))`);
  expect(JSON.parse(said)).toEqual([
    true,
    "KMS.NotFoundException",
    true,
    "aws:kms",
    true,
    true,
    "AES256",
  ]);
}, 20_000);

test("boto3 sees each part's checksum, by attributes and by part number, and refuses what is not so", async () => {
  const said = await tools.boto3(`
import base64
body = os.urandom(12 * 1024 * 1024)
from boto3.s3.transfer import TransferConfig
s3.upload_fileobj(io.BytesIO(body), "sealed", "parts", ExtraArgs={"ChecksumAlgorithm": "SHA256"},
  Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
seen = s3.get_object_attributes(Bucket="sealed", Key="parts", ObjectAttributes=["Checksum", "ObjectParts"], MaxParts=2)
sums = [base64.b64encode(hashlib.sha256(body[at:at + (5 << 20)]).digest()).decode() for at in range(0, len(body), 5 << 20)]
last = s3.get_object(Bucket="sealed", Key="parts", PartNumber=3, ChecksumMode="ENABLED")
print(json.dumps([seen["Checksum"]["ChecksumType"], seen["ObjectParts"]["TotalPartsCount"], seen["ObjectParts"]["IsTruncated"],
  [part["ChecksumSHA256"] for part in seen["ObjectParts"]["Parts"]] == sums[:2],
  last["ChecksumSHA256"] == sums[2], last["Body"].read() == body[10 << 20:], last["PartsCount"]]))`);
  expect(JSON.parse(said)).toEqual(["COMPOSITE", 3, true, true, true, true, 3]);
}, 20_000);

test("aws s3 cp seals and opens by a key file", async () => {
  await tools.makeTree("own", new Map([["file", 9 * 1024 * 1024 + 1]]));
  await Bun.write(join(tools.folder, "key"), randomBytes(32));
  const key = ["--sse-c", "AES256", "--sse-c-key", "fileb://key"];
  await tools.aws("s3", "cp", "--no-progress", ...key, "own/file", "s3://sealed/by-cli");
  await tools.aws("s3", "cp", "--no-progress", ...key, "s3://sealed/by-cli", "back");
  const hashOf = async (path: string): Promise<string> =>
    digest(new Uint8Array(await Bun.file(join(tools.folder, path)).arrayBuffer()));
  expect(await hashOf("back")).toBe(await hashOf("own/file"));
  expect((await client.call("GET", "sealed", "by-cli")).status).toBe(400);
  // Nobody has the key here: it looks at fragments, and finds nothing damaged.
  const verified = await kiseki(["--config-dir", node.configDirectory, "verify", "sealed"]);
  expect(verified.code).toBe(0);
}, 20_000);
