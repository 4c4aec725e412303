import { fromUtf8, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { accessLine, accessLogKey, accessOperation, type AccessRecord } from "../access-record.ts";
import type { S3Call } from "../call.ts";
import { isFault } from "../errors.ts";
import { loggingSetting } from "./logging.ts";

const document = (inner: string) => toUtf8(`<BucketLoggingStatus>${inner}</BucketLoggingStatus>`);
const enabled = (rest = "") =>
  `<LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>a/</TargetPrefix>${rest}</LoggingEnabled>`;
const keyFormat = (inner: string) => `<TargetObjectKeyFormat>${inner}</TargetObjectKeyFormat>`;

test("loggingSetting keeps target and key format and shows them again", () => {
  const partitioned = (source: string) =>
    keyFormat(
      `<PartitionedPrefix><PartitionDateSource>${source}</PartitionDateSource></PartitionedPrefix>`,
    );
  const cases = [
    ["", keyFormat("<SimplePrefix/>")],
    [keyFormat("<SimplePrefix/>"), keyFormat("<SimplePrefix/>")],
    [partitioned("EventTime"), partitioned("EventTime")],
    [partitioned("DeliveryTime"), partitioned("DeliveryTime")],
    [keyFormat("<PartitionedPrefix/>"), partitioned("DeliveryTime")],
  ] as const;
  for (const [given, shown] of cases) {
    const kept = loggingSetting.store(document(enabled(given))) as Uint8Array;
    expect(fromUtf8(loggingSetting.show(kept) as Uint8Array)).toContain(enabled(shown));
  }
  const none = loggingSetting.store(document("")) as Uint8Array;
  expect(loggingSetting.decode(none)).toEqual({});
  expect(fromUtf8(loggingSetting.show(undefined) as Uint8Array)).toContain("<BucketLoggingStatus");
});

test("loggingSetting refuses what it cannot do", () => {
  const bad = [
    "<Other/>",
    "<LoggingEnabled/>",
    "<LoggingEnabled><TargetBucket>logs</TargetBucket></LoggingEnabled>",
    enabled("<TargetPrefix>b</TargetPrefix>"),
    enabled("<Other/>"),
    enabled(keyFormat("")),
    enabled(keyFormat("<SimplePrefix/><SimplePrefix/>")),
    enabled(
      keyFormat(
        "<PartitionedPrefix><PartitionDateSource>x</PartitionDateSource></PartitionedPrefix>",
      ),
    ),
    enabled("<TargetGrants><Grant/></TargetGrants>"),
    enabled().replace("a/", "p".repeat(801)),
  ];
  for (const inner of bad) expect(isFault(loggingSetting.store(document(inner)))).toBe(true);
});

const record: AccessRecord = {
  bucketOwner: "79a5",
  bucket: "images",
  time: Date.UTC(2026, 1, 6, 0, 0, 38),
  address: "192.0.2.3",
  requester: "arn:aws:iam::123456789012:user/ann",
  requestId: "3E57427F3EXAMPLE",
  operation: "REST.GET.OBJECT",
  key: toUtf8("a b/é"),
  method: "GET",
  target: "/images/a%20b/%C3%A9?X-Amz-Signature=abc&x=1",
  version: "1.1",
  status: 206,
  errorCode: undefined,
  sizeSent: 5,
  objectSize: 11,
  totalMs: 7.4,
  turnAroundMs: 2.6,
  headers: [{ name: "user-agent", value: 'evil" 200 -\u00e9' }],
  versionId: undefined,
  hostId: "kiseki",
  authType: "QueryString",
  host: "s3.example.org",
};

test("accessLine() is AWS's form, and no client breaks out of a field or shows a signature", () => {
  expect(accessLine(record)).toBe(
    '79a5 images [06/Feb/2026:00:00:38 +0000] 192.0.2.3 arn:aws:iam::123456789012:user/ann 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b/%25C3%25A9 "GET /images/a%20b/%C3%A9?X-Amz-Signature=-&x=1 HTTP/1.1" 206 - 5 11 7 3 - "evil%22 200 -%E9" - kiseki SigV4 - QueryString s3.example.org - - -\n',
  );
  const nobody = {
    ...record,
    requester: undefined,
    key: undefined,
    sizeSent: 0,
    authType: undefined,
  };
  expect(accessLine(nobody)).toContain('192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT - "GET');
  expect(accessLine({ ...record, host: "a b\nc" })).not.toContain("\nc");
  const key = "x-amz-copy-source-server-side-encryption-customer-key";
  expect(accessLine({ ...record, target: `/k?${key}=c2VjcmV0&${key}-MD5=b` })).toContain(
    `?${key}=-&`,
  );
});

test("accessOperation() names calls as AWS does", () => {
  const cases = [
    ["GET", { kind: "list_objects" }, "REST.GET.BUCKET"],
    ["PUT", { kind: "put_object", key: new Uint8Array(1) }, "REST.PUT.OBJECT"],
    ["PUT", { kind: "copy_object", key: new Uint8Array(1) }, "REST.COPY.OBJECT"],
    ["PUT", { kind: "upload_part_copy", key: new Uint8Array(1) }, "REST.COPY.PART"],
    ["POST", { kind: "delete_objects" }, "REST.POST.MULTI_OBJECT_DELETE"],
    ["POST", { kind: "create_multipart_upload" }, "REST.POST.UPLOADS"],
    ["POST", { kind: "complete_multipart_upload" }, "REST.POST.UPLOAD"],
    ["GET", { kind: "get_bucket_setting", setting: loggingSetting }, "REST.GET.LOGGING_STATUS"],
    ["GET", { kind: "get_bucket_policy" }, "REST.GET.BUCKETPOLICY"],
    ["GET", { kind: "list_object_versions" }, "REST.GET.BUCKETVERSIONS"],
  ] as const;
  for (const [method, call, name] of cases) {
    expect(accessOperation("REST", method, call as unknown as S3Call)).toBe(name);
  }
});

test("accessLogKey() sorts by delivery, or by account, region, bucket and day", () => {
  const source = { account: "123456789012", region: "us-east-1", bucket: "images" };
  const times = {
    deliveryTime: Date.UTC(2026, 1, 7, 3, 4, 5),
    eventTime: Date.UTC(2026, 1, 6, 23),
  };
  const key = (format: Parameters<typeof accessLogKey>[0]["format"]) =>
    accessLogKey({ prefix: "p/", format }, source, times, Uint8Array.of(1, 0xab));
  expect(key("simple")).toBe("p/2026-02-07-03-04-05-01AB");
  const folder = "p/123456789012/us-east-1/images/2026/02";
  expect(key("delivery_time")).toBe(`${folder}/07/2026-02-07-03-04-05-01AB`);
  expect(key("event_time")).toBe(`${folder}/06/2026-02-06-00-00-00-01AB`);
});
