/** Every verb of S3 as a request, and what each kind of caller is answered. */
import type { S3Call } from "@kiseki/s3";
import { callNeeds, type RequestWords } from "./needs.ts";

export const callers = [
  "anonymous",
  "unknown key",
  "expired session",
  "other tenant",
  "low-right user",
  "admin",
] as const;
export type Caller = (typeof callers)[number];

export interface Verb {
  readonly name: string;
  readonly kind: S3Call["kind"];
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** `BUCKET` and `KEY` stand for names. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const onBucket = "/BUCKET";
const onKey = "/BUCKET/KEY";
const md5Of = (text: string): string => new Bun.CryptoHasher("md5").update(text).digest("base64");
const withDigest = (body: string) => ({ body, headers: { "content-md5": md5Of(body) } });
const tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const anyone =
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::BUCKET/none"}]}';
const noUpload = `uploadId=${"0".repeat(32)}`;

/** Settings of buckets: name of the verbs, subresource, document, whether there is a DELETE. */
const settings: readonly (readonly [
  name: string,
  subresource: string,
  document?: string,
  isRemovable?: boolean,
])[] = [
  [
    "BucketCors",
    "cors",
    "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
    true,
  ],
  [
    "BucketEncryption",
    "encryption",
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    true,
  ],
  [
    "BucketLifecycleConfiguration",
    "lifecycle",
    "<LifecycleConfiguration><Rule><ID>a</ID><Filter/><Status>Enabled</Status><Expiration><Days>300</Days></Expiration></Rule></LifecycleConfiguration>",
    true,
  ],
  ["BucketLogging", "logging", "<BucketLoggingStatus/>"],
  ["BucketNotificationConfiguration", "notification", "<NotificationConfiguration/>"],
  [
    "BucketRequestPayment",
    "requestPayment",
    "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
  ],
  ["BucketTagging", "tagging", tagging, true],
  [
    "BucketWebsite",
    "website",
    "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>",
    true,
  ],
  [
    "PublicAccessBlock",
    "publicAccessBlock",
    "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>",
    true,
  ],
];
const settingVerbs = settings.flatMap(([name, subresource, document, isRemovable]): Verb[] => {
  const target = `${onBucket}?${subresource}`;
  return [
    { name: `Get${name}`, kind: "get_bucket_setting", method: "GET", target },
    ...(document === undefined
      ? []
      : [
          {
            name: `Put${name}`,
            kind: "put_bucket_setting",
            method: "PUT",
            target,
            ...withDigest(document),
          } as const,
        ]),
    ...(isRemovable === true
      ? [
          {
            name: `Delete${name}`,
            kind: "delete_bucket_setting",
            method: "DELETE",
            target,
          } as const,
        ]
      : []),
  ];
});

export const verbs: readonly Verb[] = [
  { name: "ListBuckets", kind: "list_buckets", method: "GET", target: "/" },
  { name: "CreateBucket", kind: "create_bucket", method: "PUT", target: "/BUCKET-made" },
  { name: "HeadBucket", kind: "head_bucket", method: "HEAD", target: onBucket },
  { name: "DeleteBucket", kind: "delete_bucket", method: "DELETE", target: onBucket },
  {
    name: "GetBucketLocation",
    kind: "get_bucket_location",
    method: "GET",
    target: `${onBucket}?location`,
  },
  {
    name: "GetBucketVersioning",
    kind: "get_bucket_versioning",
    method: "GET",
    target: `${onBucket}?versioning`,
  },
  {
    name: "PutBucketVersioning",
    kind: "put_bucket_versioning",
    method: "PUT",
    target: `${onBucket}?versioning`,
    ...withDigest("<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
  },
  ...settingVerbs,
  {
    name: "GetBucketAccelerateConfiguration",
    kind: "get_fixed_setting",
    method: "GET",
    target: `${onBucket}?accelerate`,
  },
  {
    name: "GetBucketReplication",
    kind: "get_unset_setting",
    method: "GET",
    target: `${onBucket}?replication`,
  },
  {
    name: "DeleteBucketReplication",
    kind: "delete_unset_setting",
    method: "DELETE",
    target: `${onBucket}?replication`,
  },
  {
    name: "GetObjectLockConfiguration",
    kind: "get_object_lock_configuration",
    method: "GET",
    target: `${onBucket}?object-lock`,
  },
  {
    name: "PutObjectLockConfiguration",
    kind: "put_object_lock_configuration",
    method: "PUT",
    target: `${onBucket}?object-lock`,
    ...withDigest(
      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
    ),
  },
  {
    name: "GetBucketPolicy",
    kind: "get_bucket_policy",
    method: "GET",
    target: `${onBucket}?policy`,
  },
  {
    name: "GetBucketPolicyStatus",
    kind: "get_bucket_policy_status",
    method: "GET",
    target: `${onBucket}?policyStatus`,
  },
  {
    name: "PutBucketPolicy",
    kind: "put_bucket_policy",
    method: "PUT",
    target: `${onBucket}?policy`,
    body: anyone,
  },
  {
    name: "DeleteBucketPolicy",
    kind: "delete_bucket_policy",
    method: "DELETE",
    target: `${onBucket}?policy`,
  },
  {
    name: "GetBucketOwnershipControls",
    kind: "get_bucket_ownership",
    method: "GET",
    target: `${onBucket}?ownershipControls`,
  },
  {
    name: "PutBucketOwnershipControls",
    kind: "put_bucket_ownership",
    method: "PUT",
    target: `${onBucket}?ownershipControls`,
    ...withDigest(
      "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>",
    ),
  },
  {
    name: "DeleteBucketOwnershipControls",
    kind: "delete_bucket_ownership",
    method: "DELETE",
    target: `${onBucket}?ownershipControls`,
  },
  { name: "GetBucketAcl", kind: "get_bucket_acl", method: "GET", target: `${onBucket}?acl` },
  {
    name: "PutBucketAcl",
    kind: "put_bucket_acl",
    method: "PUT",
    target: `${onBucket}?acl`,
    headers: { "x-amz-acl": "private" },
  },
  { name: "ListObjects", kind: "list_objects", method: "GET", target: onBucket },
  { name: "ListObjectsV2", kind: "list_objects", method: "GET", target: `${onBucket}?list-type=2` },
  {
    name: "ListObjectVersions",
    kind: "list_object_versions",
    method: "GET",
    target: `${onBucket}?versions`,
  },
  {
    name: "ListMultipartUploads",
    kind: "list_multipart_uploads",
    method: "GET",
    target: `${onBucket}?uploads`,
  },
  { name: "ListParts", kind: "list_parts", method: "GET", target: `${onKey}?${noUpload}` },
  { name: "GetObject", kind: "get_object", method: "GET", target: onKey },
  { name: "HeadObject", kind: "head_object", method: "HEAD", target: onKey },
  {
    name: "GetObject (version)",
    kind: "get_object",
    method: "GET",
    target: `${onKey}?versionId=null`,
  },
  {
    name: "GetObjectAttributes",
    kind: "get_object_attributes",
    method: "GET",
    target: `${onKey}?attributes`,
    headers: { "x-amz-object-attributes": "ETag" },
  },
  { name: "PutObject", kind: "put_object", method: "PUT", target: onKey, body: "new" },
  {
    name: "CopyObject",
    kind: "copy_object",
    method: "PUT",
    target: `${onKey}-copy`,
    headers: { "x-amz-copy-source": onKey },
  },
  { name: "GetObjectAcl", kind: "get_object_acl", method: "GET", target: `${onKey}?acl` },
  {
    name: "PutObjectAcl",
    kind: "put_object_acl",
    method: "PUT",
    target: `${onKey}?acl`,
    headers: { "x-amz-acl": "private" },
  },
  {
    name: "GetObjectTagging",
    kind: "get_object_tagging",
    method: "GET",
    target: `${onKey}?tagging`,
  },
  {
    name: "PutObjectTagging",
    kind: "put_object_tagging",
    method: "PUT",
    target: `${onKey}?tagging`,
    ...withDigest(tagging),
  },
  {
    name: "DeleteObjectTagging",
    kind: "delete_object_tagging",
    method: "DELETE",
    target: `${onKey}?tagging`,
  },
  {
    name: "GetObjectRetention",
    kind: "get_object_retention",
    method: "GET",
    target: `${onKey}?retention`,
  },
  {
    name: "PutObjectRetention",
    kind: "put_object_retention",
    method: "PUT",
    target: `${onKey}?retention`,
    ...withDigest(
      "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
    ),
  },
  {
    name: "GetObjectLegalHold",
    kind: "get_object_legal_hold",
    method: "GET",
    target: `${onKey}?legal-hold`,
  },
  {
    name: "PutObjectLegalHold",
    kind: "put_object_legal_hold",
    method: "PUT",
    target: `${onKey}?legal-hold`,
    ...withDigest("<LegalHold><Status>OFF</Status></LegalHold>"),
  },
  {
    name: "CreateMultipartUpload",
    kind: "create_multipart_upload",
    method: "POST",
    target: `${onKey}?uploads`,
  },
  {
    name: "UploadPart",
    kind: "upload_part",
    method: "PUT",
    target: `${onKey}?partNumber=1&${noUpload}`,
    body: "part",
  },
  {
    name: "UploadPartCopy",
    kind: "upload_part_copy",
    method: "PUT",
    target: `${onKey}?partNumber=1&${noUpload}`,
    headers: { "x-amz-copy-source": onKey },
  },
  {
    name: "CompleteMultipartUpload",
    kind: "complete_multipart_upload",
    method: "POST",
    target: `${onKey}?${noUpload}`,
    body: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
  },
  {
    name: "AbortMultipartUpload",
    kind: "abort_multipart_upload",
    method: "DELETE",
    target: `${onKey}?${noUpload}`,
  },
  {
    name: "DeleteObjects",
    kind: "delete_objects",
    method: "POST",
    target: `${onBucket}?delete`,
    ...withDigest("<Delete><Object><Key>none</Key></Object></Delete>"),
  },
  { name: "PostObject (form)", kind: "post_object", method: "POST", target: onBucket },
  { name: "DeleteObject", kind: "delete_object", method: "DELETE", target: onKey },
];

/** In one's own tenant, where a root needs nobody's leave. */
const isOwnAffair = ({ kind }: Verb): boolean =>
  kind === "list_buckets" || kind === "create_bucket";

/** Status and code of the refusal; `undefined`: let in. */
export function refusalOf(verb: Verb, caller: Caller): string | undefined {
  switch (caller) {
    case "unknown key":
      return "403 InvalidAccessKeyId";
    case "expired session":
      return "400 ExpiredToken";
    case "other tenant":
      return isOwnAffair(verb) ? undefined : "403 AccessDenied";
    case "admin":
      return undefined;
    default:
      return "403 AccessDenied";
  }
}

function actionsOf({ kind, target, headers = {} }: Verb): string {
  const query = new URLSearchParams(target.split("?", 2)[1] ?? "");
  const words: RequestWords = {
    header: (name) => headers[name],
    query: (name) => query.get(name) ?? undefined,
    queryNames: [...query.keys()],
  };
  const place = { bucket: "bucket", key: new Uint8Array([107]) };
  const name = words.queryNames[0] ?? "";
  const setting = kind === "get_fixed_setting" ? name : { subresource: name };
  const call = { ...place, kind, source: place, setting } as unknown as S3Call;
  const needs = callNeeds(call, words).map(({ action }) => action.slice("s3:".length));
  const late: Readonly<Record<string, string>> = {
    put_object_legal_hold: "PutObjectLegalHold",
    put_object_retention: "PutObjectRetention",
    put_object_tagging: "PutObjectTagging",
  };
  if (late[kind] !== undefined) return late[kind];
  return needs.length === 0 ? "DeleteObject of each key" : needs.join(", ");
}

/** The table of `docs/access.md`. */
export function matrixTable(): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const heads = ["verb", "asks for", ...callers];
  return [
    row(heads),
    row(heads.map(() => "---")),
    ...verbs.map((verb) =>
      row([
        verb.name,
        actionsOf(verb),
        ...callers.map((caller) => refusalOf(verb, caller) ?? "let in"),
      ]),
    ),
  ].join("\n");
}
