// Clients parse these documents with parsers of their own: each is kept whole, byte for byte.
import { describe, expect, test } from "bun:test";
import { cannedAcl } from "@kiseki/policy";
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import type { FixedSettingCall, ListObjectsCall, ReadObjectCall } from "./call.ts";
import { loggingSetting } from "./settings/logging.ts";
import { s3Errors, s3Fault, type S3ErrorCode } from "./errors.ts";
import { parseCall } from "./parse-call.ts";
import { isPlainRead, plainReadHeaders, toFaultResponse, toResponse } from "./respond.ts";
import type { ListedObject, ObjectView, ResponseContext, S3Response, S3Result } from "./result.ts";
import { s3Namespace } from "./xml-write.ts";

const context: ResponseContext = {
  requestId: "00000000DEADBEEF",
  hostId: "host",
  isHead: false,
  resource: "/abc/k",
  bucket: "abc",
  key: toUtf8("k"),
};
const time = wallTime(Date.UTC(2026, 10, 20, 11, 6, 45, 7));
const owner = { id: "0a", displayName: "o&o" };
const open = '<?xml version="1.0" encoding="UTF-8"?>\n';
const xmlns = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';
const bare = new Uint8Array(0);
const object: ListedObject = {
  key: toUtf8('a b+<"\n'),
  lastModified: time,
  etag: "e",
  size: 3,
  storageClass: "STANDARD",
  owner,
  checksumAlgorithm: "crc32",
  checksumType: "FULL_OBJECT",
};
const list: ListObjectsCall = {
  kind: "list_objects",
  version: 1,
  bucket: "abc",
  prefix: bare,
  delimiter: bare,
  after: bare,
  continuationToken: undefined,
  maxKeys: 1000,
  isUrlEncoded: false,
  isOwnerWanted: true,
};
const ownerXml = "<Owner><ID>0a</ID><DisplayName>o&amp;o</DisplayName></Owner>";
const initiatorXml = "<Initiator><ID>0a</ID><DisplayName>o&amp;o</DisplayName></Initiator>";
const date = "2026-11-20T11:06:45.007Z";
const checksumXml =
  "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>";
const checksum = {
  algorithm: "crc32",
  value: new Uint8Array([0, 0, 0, 1]),
  type: "COMPOSITE",
  partCount: 2,
} as const;

const documents: readonly (readonly [string, S3Result, string])[] = [
  [
    "ListBuckets",
    {
      kind: "buckets",
      call: {
        kind: "list_buckets",
        prefix: "",
        maxBuckets: 10_000,
        isPaged: false,
        continuationToken: undefined,
      },
      owner,
      buckets: [{ name: "abc", created: time, region: "us-east-1" }],
      continuationToken: undefined,
    },
    `<ListAllMyBucketsResult ${xmlns}>${ownerXml}<Buckets><Bucket><Name>abc</Name><CreationDate>${date}</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>`,
  ],
  [
    "ListBuckets by pages",
    {
      kind: "buckets",
      call: {
        kind: "list_buckets",
        prefix: "a",
        maxBuckets: 1,
        isPaged: true,
        continuationToken: undefined,
      },
      owner,
      buckets: [{ name: "abc", created: time, region: "us-east-1" }],
      continuationToken: "T",
    },
    `<ListAllMyBucketsResult ${xmlns}>${ownerXml}<Buckets><Bucket><Name>abc</Name><CreationDate>${date}</CreationDate><BucketRegion>us-east-1</BucketRegion></Bucket></Buckets><ContinuationToken>T</ContinuationToken><Prefix>a</Prefix></ListAllMyBucketsResult>`,
  ],
  [
    "ListObjects of nothing",
    {
      kind: "objects",
      call: list,
      objects: [],
      commonPrefixes: [],
      isTruncated: false,
      nextMarker: undefined,
      nextToken: undefined,
    },
    `<ListBucketResult ${xmlns}><Name>abc</Name><Prefix/><Marker/><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>`,
  ],
  [
    "ListObjects version 1",
    {
      kind: "objects",
      call: { ...list, delimiter: toUtf8("/"), after: toUtf8("m"), maxKeys: 2 },
      objects: [object],
      commonPrefixes: [toUtf8("p q/")],
      isTruncated: true,
      nextMarker: toUtf8("p q/"),
      nextToken: undefined,
    },
    `<ListBucketResult ${xmlns}><Name>abc</Name><Prefix/><Marker>m</Marker><NextMarker>p q/</NextMarker><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><Contents><Key>a b+&lt;&quot;&#xA;</Key><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag>${checksumXml}<Size>3</Size>${ownerXml}<StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>p q/</Prefix></CommonPrefixes></ListBucketResult>`,
  ],
  [
    "ListObjects version 2, url-encoded",
    {
      kind: "objects",
      call: {
        ...list,
        version: 2,
        delimiter: toUtf8("/"),
        prefix: toUtf8("é"),
        continuationToken: "C",
        isUrlEncoded: true,
        isOwnerWanted: false,
        maxKeys: 2,
      },
      objects: [object],
      commonPrefixes: [toUtf8("p q/")],
      isTruncated: true,
      nextMarker: undefined,
      nextToken: "N",
    },
    `<ListBucketResult ${xmlns}><Name>abc</Name><Prefix>%C3%A9</Prefix><ContinuationToken>C</ContinuationToken><NextContinuationToken>N</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a%20b%2B%3C%22%0A</Key><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag>${checksumXml}<Size>3</Size><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>p%20q/</Prefix></CommonPrefixes></ListBucketResult>`,
  ],
  [
    "ListObjectVersions",
    {
      kind: "object_versions",
      call: {
        kind: "list_object_versions",
        bucket: "abc",
        prefix: bare,
        delimiter: bare,
        keyMarker: bare,
        versionIdMarker: undefined,
        maxKeys: 1,
        isUrlEncoded: false,
      },
      versions: [
        {
          ...object,
          key: toUtf8("k"),
          checksumAlgorithm: undefined,
          checksumType: undefined,
          versionId: "null",
          isLatest: true,
          isDeleteMarker: false,
        },
      ],
      commonPrefixes: [],
      isTruncated: true,
      nextKeyMarker: toUtf8("k"),
      nextVersionIdMarker: "null",
    },
    `<ListVersionsResult ${xmlns}><Name>abc</Name><Prefix/><KeyMarker/><VersionIdMarker/><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker><MaxKeys>1</MaxKeys><IsTruncated>true</IsTruncated><Version><Key>k</Key><VersionId>null</VersionId><IsLatest>true</IsLatest><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass>${ownerXml}</Version></ListVersionsResult>`,
  ],
  [
    "ListMultipartUploads",
    {
      kind: "uploads",
      call: {
        kind: "list_multipart_uploads",
        bucket: "abc",
        prefix: bare,
        delimiter: bare,
        keyMarker: bare,
        uploadIdMarker: undefined,
        maxUploads: 1000,
        isUrlEncoded: false,
      },
      uploads: [
        {
          key: toUtf8("k"),
          uploadId: "u",
          initiated: time,
          storageClass: "STANDARD",
          owner,
          checksumAlgorithm: "crc32",
          checksumType: "FULL_OBJECT",
        },
      ],
      commonPrefixes: [],
      isTruncated: true,
      nextKeyMarker: toUtf8("k"),
      nextUploadIdMarker: "u",
    },
    `<ListMultipartUploadsResult ${xmlns}><Bucket>abc</Bucket><KeyMarker/><UploadIdMarker/><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker><Prefix/><MaxUploads>1000</MaxUploads><IsTruncated>true</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>${initiatorXml}${ownerXml}<StorageClass>STANDARD</StorageClass><Initiated>${date}</Initiated>${checksumXml}</Upload></ListMultipartUploadsResult>`,
  ],
  [
    "ListParts",
    {
      kind: "parts",
      call: {
        kind: "list_parts",
        bucket: "abc",
        key: toUtf8("k"),
        uploadId: "u",
        partNumberMarker: 0,
        maxParts: 1,
        isUrlEncoded: false,
      },
      parts: [
        { partNumber: 1, lastModified: time, etag: "e", size: 3, checksum: new Uint8Array(4) },
      ],
      isTruncated: true,
      storageClass: "STANDARD",
      owner,
      checksumAlgorithm: "crc32",
      checksumType: "FULL_OBJECT",
    },
    `<ListPartsResult ${xmlns}><Bucket>abc</Bucket><Key>k</Key><UploadId>u</UploadId>${initiatorXml}${ownerXml}<StorageClass>STANDARD</StorageClass><PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>1</NextPartNumberMarker><MaxParts>1</MaxParts><IsTruncated>true</IsTruncated>${checksumXml}<Part><PartNumber>1</PartNumber><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></ListPartsResult>`,
  ],
  [
    "GetBucketLocation of us-east-1",
    { kind: "bucket_location", region: "us-east-1" },
    `<LocationConstraint ${xmlns}/>`,
  ],
  [
    "GetBucketLocation elsewhere",
    { kind: "bucket_location", region: "eu-west-1" },
    `<LocationConstraint ${xmlns}>eu-west-1</LocationConstraint>`,
  ],
  [
    "ListObjectVersions with a delete marker",
    {
      kind: "object_versions",
      call: {
        kind: "list_object_versions",
        bucket: "abc",
        prefix: bare,
        delimiter: bare,
        keyMarker: toUtf8("a"),
        versionIdMarker: "v0",
        maxKeys: 2,
        isUrlEncoded: false,
      },
      versions: [
        { ...object, key: toUtf8("k"), versionId: "v2", isLatest: true, isDeleteMarker: true },
        { ...object, key: toUtf8("k"), versionId: "v1", isLatest: false, isDeleteMarker: false },
      ],
      commonPrefixes: [],
      isTruncated: false,
      nextKeyMarker: undefined,
      nextVersionIdMarker: undefined,
    },
    `<ListVersionsResult ${xmlns}><Name>abc</Name><Prefix/><KeyMarker>a</KeyMarker><VersionIdMarker>v0</VersionIdMarker><MaxKeys>2</MaxKeys><IsTruncated>false</IsTruncated><DeleteMarker><Key>k</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest><LastModified>${date}</LastModified>${ownerXml}</DeleteMarker><Version><Key>k</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag>${checksumXml}<Size>3</Size><StorageClass>STANDARD</StorageClass>${ownerXml}</Version></ListVersionsResult>`,
  ],
  [
    "GetBucketVersioning of a new bucket",
    { kind: "bucket_versioning", versioning: "off" },
    `<VersioningConfiguration ${xmlns}/>`,
  ],
  [
    "GetBucketVersioning",
    { kind: "bucket_versioning", versioning: "suspended" },
    `<VersioningConfiguration ${xmlns}><Status>Suspended</Status></VersioningConfiguration>`,
  ],
  [
    "DeleteObjects",
    {
      kind: "objects_deleted",
      isQuiet: false,
      outcomes: [
        { key: toUtf8("a"), versionId: "null", marker: undefined, error: undefined },
        { key: toUtf8("m"), versionId: undefined, marker: { versionId: "v" }, error: undefined },
        {
          key: toUtf8("b"),
          versionId: "w",
          marker: undefined,
          error: { code: "AccessDenied", message: undefined },
        },
      ],
    },
    `<DeleteResult ${xmlns}><Deleted><Key>a</Key><VersionId>null</VersionId></Deleted><Deleted><Key>m</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>v</DeleteMarkerVersionId></Deleted><Error><Key>b</Key><VersionId>w</VersionId><Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>`,
  ],
  [
    "DeleteObjects, quiet",
    {
      kind: "objects_deleted",
      isQuiet: true,
      outcomes: [{ key: toUtf8("a"), versionId: undefined, marker: undefined, error: undefined }],
    },
    `<DeleteResult ${xmlns}/>`,
  ],
  [
    "CopyObject",
    {
      kind: "object_copied",
      etag: "e",
      lastModified: time,
      checksum: undefined,
      encryption: { kind: "s3" },
    },
    `<CopyObjectResult ${xmlns}><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag></CopyObjectResult>`,
  ],
  [
    "UploadPartCopy",
    {
      kind: "part_copied",
      etag: "e",
      lastModified: time,
      checksum: { ...checksum, type: "FULL_OBJECT" },
      encryption: { kind: "s3" },
    },
    `<CopyPartResult ${xmlns}><LastModified>${date}</LastModified><ETag>&quot;e&quot;</ETag><ChecksumCRC32>AAAAAQ==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></CopyPartResult>`,
  ],
  [
    "CreateMultipartUpload",
    {
      kind: "upload_created",
      bucket: "abc",
      key: toUtf8("k"),
      uploadId: "u",
      checksum: undefined,
      encryption: { kind: "s3" },
    },
    `<InitiateMultipartUploadResult ${xmlns}><Bucket>abc</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>`,
  ],
  [
    "CompleteMultipartUpload",
    {
      kind: "upload_completed",
      location: "http://h/abc/k",
      bucket: "abc",
      key: toUtf8("k"),
      etag: "e-2",
      checksum,
      encryption: { kind: "s3" },
    },
    `<CompleteMultipartUploadResult ${xmlns}><Location>http://h/abc/k</Location><Bucket>abc</Bucket><Key>k</Key><ETag>&quot;e-2&quot;</ETag><ChecksumCRC32>AAAAAQ==-2</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></CompleteMultipartUploadResult>`,
  ],
];

const copied = {
  kind: "object_copied",
  etag: "e",
  lastModified: time,
  checksum: undefined,
  encryption: { kind: "s3" },
} as const;
const created = {
  kind: "upload_created",
  bucket: "abc",
  key: toUtf8("k"),
  uploadId: "u",
  checksum: undefined,
  encryption: { kind: "s3" },
} as const;
const completed = {
  kind: "upload_completed",
  location: "http://h/abc/k",
  bucket: "abc",
  key: toUtf8("k"),
  etag: "e-2",
  checksum,
  encryption: { kind: "s3" },
} as const;

const textOf = (response: S3Response): string | undefined =>
  response.body && fromUtf8(response.body);
const aclOwner = { id: "0a", displayName: "o" };
const ownAcl = cannedAcl("private", aclOwner, aclOwner);
const header = (response: S3Response, name: string): string | undefined =>
  response.headers.find(([present]) => present === name)?.[1];

describe("toResponse() writes", () => {
  for (const [name, result, xml] of documents) {
    test(name, () => {
      const response = toResponse(result, context);
      expect(textOf(response)).toBe(open + xml);
      expect(response.status).toBe(200);
      expect(header(response, "Content-Type")).toBe("application/xml");
      expect(header(response, "Content-Length")).toBe(String(response.body!.byteLength));
      expect(header(response, "x-amz-request-id")).toBe(context.requestId);
    });
  }
});

const view: ObjectView = {
  size: 10,
  etag: "e",
  lastModified: time,
  content: { contentType: "text/plain", cacheControl: "no-cache" },
  metadata: [["color", "red"]],
  storageClass: "REDUCED_REDUNDANCY",
  tags: [],
  encryption: { kind: "s3" },
  checksum: { ...checksum, type: "FULL_OBJECT" },
};
const read = {
  kind: "object_read",
  view,
  range: undefined,
  partCount: undefined,
  overrides: {},
  checksum: view.checksum,
} as const;

test("toResponse() of a read says all that S3 says", () => {
  const response = toResponse(read, context);
  expect(response).toEqual({
    status: 200,
    headers: [
      ["x-amz-id-2", "host"],
      ["x-amz-request-id", "00000000DEADBEEF"],
      ["Last-Modified", "Fri, 20 Nov 2026 11:06:45 GMT"],
      ["ETag", '"e"'],
      ["x-amz-server-side-encryption", "AES256"],
      ["Accept-Ranges", "bytes"],
      ["Content-Type", "text/plain"],
      ["Cache-Control", "no-cache"],
      ["Content-Length", "10"],
      ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ["x-amz-checksum-crc32", "AAAAAQ=="],
      ["x-amz-checksum-type", "FULL_OBJECT"],
      ["x-amz-meta-color", "red"],
    ],
    body: undefined,
  });
});

test("toResponse() of a plain read says what that of any other read says of the same view", () => {
  const headers = plainReadHeaders(view);
  const plain = toResponse({ kind: "plain_read", headers, size: view.size }, context);
  const other = toResponse({ ...read, checksum: undefined }, context);
  const lines = (pairs: typeof plain.headers): string[] => pairs.map((pair) => pair.join(": "));
  const shared = fromUtf8(plain.shared!.bytes)!.trimEnd().split("\r\n");
  expect([...lines(plain.headers), ...shared].toSorted()).toEqual(lines(other.headers).toSorted());
  expect(plain).toMatchObject({ status: 200, body: undefined });
});

test.each([
  ["/abc/k", "", true],
  ["/abc/k?versionId=null", "", false],
  ["/abc/k?partNumber=1", "", false],
  ["/abc/k?response-expires=x", "", false],
  ["/abc/k", "range: bytes=0-1", false],
  ["/abc/k", "if-match: ", false],
  ["/abc/k", "if-none-match: *", false],
  ["/abc/k", "if-modified-since: Fri, 20 Nov 2026 11:06:45 GMT", false],
  ["/abc/k", "if-unmodified-since: no date", false],
  ["/abc/k", "x-amz-checksum-mode: ENABLED", false],
])("isPlainRead() of GET %s with %s is %p", (target, header, isPlain) => {
  const [name = "", value = ""] = header.split(": ");
  const headers = header === "" ? [] : [{ name, value }];
  const request = { method: "GET", target, headers, host: "h", isSigned: true };
  const call = parseCall(request, { baseHosts: [] });
  expect(isPlainRead(call as ReadObjectCall)).toBe(isPlain);
});

const due = { at: wallTime(Date.UTC(2026, 10, 22)), ruleId: "old logs/1" };
const expiryText = 'expiry-date="Sun, 22 Nov 2026 00:00:00 GMT", rule-id="old%20logs%2F1"';

test("toResponse() says how many tags there are and when the object expires", () => {
  const tags = [
    { key: "a", value: "1" },
    { key: "b", value: "" },
  ];
  const response = toResponse({ ...read, view: { ...view, tags }, expiration: due }, context);
  expect(header(response, "x-amz-tagging-count")).toBe("2");
  const written: readonly S3Result[] = [
    { kind: "object_put", etag: "e", checksum, encryption: { kind: "s3" }, expiration: due },
    { ...copied, expiration: due },
    { ...completed, expiration: due },
    { ...read, expiration: due },
  ];
  for (const result of written) {
    expect(header(toResponse(result, context), "x-amz-expiration")).toBe(expiryText);
    const { expiration: _, ...others } = result as typeof read & { expiration: unknown };
    expect(header(toResponse(others, context), "x-amz-expiration")).toBeUndefined();
  }
  const upload = toResponse({ ...created, abortion: due }, context);
  expect(header(upload, "x-amz-abort-date")).toBe("Sun, 22 Nov 2026 00:00:00 GMT");
  expect(header(upload, "x-amz-abort-rule-id")).toBe("old%20logs%2F1");
});

test("toResponse() of a preflight says what the rule allows", () => {
  const grant = {
    allowOrigin: "http://a",
    isCredentialed: true,
    allowMethods: ["GET", "PUT"],
    allowHeaders: ["x-a"],
    exposeHeaders: [],
    maxAgeSeconds: 0,
  };
  expect(toResponse({ kind: "preflight", grant }, context)).toEqual({
    status: 200,
    headers: [
      ["x-amz-id-2", "host"],
      ["x-amz-request-id", "00000000DEADBEEF"],
      ["Access-Control-Allow-Origin", "http://a"],
      ["Access-Control-Allow-Methods", "GET, PUT"],
      ["Access-Control-Allow-Headers", "x-a"],
      ["Access-Control-Max-Age", "0"],
      ["Access-Control-Allow-Credentials", "true"],
      ["Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"],
      ["Content-Length", "0"],
    ],
    body: undefined,
  });
});

test("toResponse() of tags writes their document", () => {
  const tags = [{ key: "a&b", value: "" }];
  expect(textOf(toResponse({ kind: "object_tags", tags }, context))).toBe(
    `${open}<Tagging xmlns="${s3Namespace}"><TagSet><Tag><Key>a&amp;b</Key><Value/></Tag></TagSet></Tagging>`,
  );
  expect(textOf(toResponse({ kind: "object_tags", tags: [] }, context))).toBe(
    `${open}<Tagging xmlns="${s3Namespace}"><TagSet></TagSet></Tagging>`,
  );
});

test("toResponse() sends metadata beyond ASCII as an encoded word", () => {
  const metadata = [["name", "\u00c3\u00a9"]] as const; // the two bytes of é in UTF-8
  const response = toResponse({ ...read, view: { ...view, metadata } }, context);
  expect(header(response, "x-amz-meta-name")).toBe("=?UTF-8?B?w4PCqQ==?=");
});

test("toResponse() of attributes and settings writes their documents", () => {
  const call = {
    kind: "get_object_attributes",
    customerKey: undefined,
    bucket: "abc",
    key: toUtf8("k"),
    versionId: undefined,
    wanted: new Set(["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"] as const),
    maxParts: 2,
    partNumberMarker: 1,
  } as const;
  const crc = { algorithm: "crc32", value: Uint8Array.of(0, 0, 0, 1) } as const;
  const listed = [
    { number: 2, size: 5, checksum: crc },
    { number: 7, size: 6, checksum: undefined },
  ];
  const parts = { count: 4, listed, isTruncated: true };
  const document = textOf(toResponse({ kind: "object_attributes", call, view, parts }, context));
  expect(document).toBe(
    `${open}<GetObjectAttributesOutput xmlns="${s3Namespace}"><ETag>e</ETag><Checksum><ChecksumCRC32>AAAAAQ==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></Checksum><ObjectParts><IsTruncated>true</IsTruncated><MaxParts>2</MaxParts><NextPartNumberMarker>7</NextPartNumberMarker><PartNumberMarker>1</PartNumberMarker><Part><PartNumber>2</PartNumber><Size>5</Size><ChecksumCRC32>AAAAAQ==</ChecksumCRC32></Part><Part><PartNumber>7</PartNumber><Size>6</Size></Part><PartsCount>4</PartsCount></ObjectParts><StorageClass>REDUCED_REDUNDANCY</StorageClass><ObjectSize>10</ObjectSize></GetObjectAttributesOutput>`,
  );
  const acl = textOf(toResponse({ kind: "acl", acl: ownAcl }, context));
  expect(acl).toBe(
    `${open}<AccessControlPolicy xmlns="${s3Namespace}"><Owner><ID>0a</ID><DisplayName>o</DisplayName></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>0a</ID><DisplayName>o</DisplayName></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`,
  );
  const setting = (name: FixedSettingCall["setting"]) =>
    textOf(toResponse({ kind: "fixed_setting", setting: name }, context));
  const logging = loggingSetting.show(undefined) as Uint8Array;
  expect(fromUtf8(logging)).toBe(`${open}<BucketLoggingStatus xmlns="${s3Namespace}"/>`);
  const lists = {
    analytics: "ListBucketAnalyticsConfigurationResult",
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
    inventory: "ListInventoryConfigurationsResult",
    metrics: "ListMetricsConfigurationsResult",
  } as const;
  for (const [name, root] of Object.entries(lists)) {
    expect(setting(name as keyof typeof lists)).toBe(
      `${open}<${root} xmlns="${s3Namespace}"><IsTruncated>false</IsTruncated></${root}>`,
    );
  }
});

test("toResponse() of a range answers 206 without the whole's checksum", () => {
  const overrides: ReadObjectCall["overrides"] = { contentType: "a/b" };
  const response = toResponse(
    { ...read, range: { offset: 2, length: 3 }, partCount: 4, overrides, checksum: undefined },
    context,
  );
  expect(response.status).toBe(206);
  expect(header(response, "Content-Range")).toBe("bytes 2-4/10");
  expect(header(response, "Content-Length")).toBe("3");
  expect(header(response, "Content-Type")).toBe("a/b");
  expect(header(response, "x-amz-mp-parts-count")).toBe("4");
  expect(header(response, "x-amz-checksum-crc32")).toBeUndefined();
});

test("toResponse() sends no body where HTTP has none", () => {
  const results: readonly (readonly [S3Result, number])[] = [
    [{ kind: "bucket_created", bucket: "abc" }, 200],
    [{ kind: "bucket_found", region: "us-east-1" }, 200],
    [{ kind: "bucket_deleted" }, 204],
    [{ kind: "upload_aborted" }, 204],
    [{ kind: "object_deleted", isDeleteMarker: false }, 204],
    [{ kind: "object_put", etag: "e", checksum, encryption: { kind: "s3" } }, 200],
    [{ kind: "part_uploaded", etag: "e", checksum: undefined, encryption: { kind: "s3" } }, 200],
    [{ kind: "not_modified", view, overrides: {} }, 304],
  ];
  for (const [result, status] of results) {
    const response = toResponse(result, context);
    expect(response).toMatchObject({ status, body: undefined });
    expect(header(response, "Content-Length")).toBe(status === 200 ? "0" : undefined);
  }
});

test("toResponse() names versions, markers and the source of a copy", () => {
  const deleted = { kind: "object_deleted", versionId: "v", isDeleteMarker: true } as const;
  const marker = toResponse(deleted, context);
  expect(header(marker, "x-amz-version-id")).toBe("v");
  expect(header(marker, "x-amz-delete-marker")).toBe("true");
  const plain = toResponse({ ...deleted, versionId: undefined, isDeleteMarker: false }, context);
  expect(header(plain, "x-amz-version-id")).toBeUndefined();
  expect(header(plain, "x-amz-delete-marker")).toBeUndefined();
  expect(header(toResponse({ ...read, versionId: "null" }, context), "x-amz-version-id")).toBe(
    "null",
  );
  const copied = toResponse(
    {
      kind: "object_copied",
      versionId: "v",
      sourceVersionId: "w",
      etag: "e",
      lastModified: time,
      checksum: undefined,
      encryption: { kind: "s3" },
    },
    context,
  );
  expect(header(copied, "x-amz-copy-source-version-id")).toBe("w");
});

test("toFaultResponse() sends a fault's own headers, its Allow before the general one", () => {
  const headers = [["x-amz-delete-marker", "true"]] as const;
  const gone = toFaultResponse({ ...s3Fault("NoSuchKey"), headers }, context);
  expect(header(gone, "x-amz-delete-marker")).toBe("true");
  const allow = [["Allow", "DELETE"]] as const;
  const refused = toFaultResponse({ ...s3Fault("MethodNotAllowed"), headers: allow }, context);
  expect(refused.headers.filter(([name]) => name === "Allow")).toEqual([["Allow", "DELETE"]]);
});

test("toFaultResponse() writes S3's error document", () => {
  const response = toFaultResponse(s3Fault("NoSuchKey"), context);
  expect(response.status).toBe(404);
  expect(textOf(response)).toBe(
    `${open}<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>k</Key><Resource>/abc/k</Resource><RequestId>00000000DEADBEEF</RequestId><HostId>host</HostId></Error>`,
  );
  const head = toFaultResponse(s3Fault("NoSuchBucket"), { ...context, isHead: true });
  expect(head).toMatchObject({ status: 404, body: undefined });
  expect(textOf(toFaultResponse(s3Fault("NoSuchBucket"), context))).toContain(
    "<BucketName>abc</BucketName>",
  );
});

test("toFaultResponse() has an answer for every code", () => {
  for (const code of Object.keys(s3Errors) as S3ErrorCode[]) {
    const response = toFaultResponse(s3Fault(code), {
      ...context,
      bucket: undefined,
      key: undefined,
    });
    expect(response.status).toBe(s3Errors[code].status);
    expect(textOf(response)).toContain(`<Code>${code}</Code>`);
  }
  expect(header(toFaultResponse(s3Fault("MethodNotAllowed"), context), "Allow")).toContain("GET");
  expect(header(toFaultResponse(s3Fault("SlowDown"), context), "Retry-After")).toBe("1");
});
