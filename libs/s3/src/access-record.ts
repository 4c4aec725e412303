/** Lines of a bucket's access log, in the form of "Amazon S3 server access log format". */
import { headerValue, type HttpHeader } from "@kiseki/http";
import type { S3Call } from "./call.ts";
import type { LogKeyFormat } from "./settings/logging.ts";

/** What a line says; what is `undefined` stands as `-`. */
export interface AccessRecord {
  /** Canonical id of the bucket's owner. */
  readonly bucketOwner: string;
  readonly bucket: string;
  /** When the request came, in milliseconds since the Unix epoch. */
  readonly time: number;
  readonly address: string;
  readonly requester: string | undefined;
  readonly requestId: string;
  readonly operation: string;
  readonly key: Uint8Array | undefined;
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly status: number | undefined;
  readonly errorCode: string | undefined;
  readonly sizeSent: number;
  readonly objectSize: number | undefined;
  readonly totalMs: number;
  readonly turnAroundMs: number;
  readonly headers: readonly HttpHeader[];
  readonly versionId: string | undefined;
  readonly hostId: string;
  readonly authType: "AuthHeader" | "QueryString" | undefined;
  readonly host: string;
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const two = (value: number): string => String(value).padStart(2, "0");
function logTime(time: number): string {
  const at = new Date(time);
  const day = `${two(at.getUTCDate())}/${months[at.getUTCMonth()]}/${at.getUTCFullYear()}`;
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");
  return `[${day}:${clock} +0000]`;
}

/** Nothing in it ends a field or a line. */
const escapeText = (text: string): string =>
  text.replace(/[^\u0021\u0023-\u007e]/g, (sign) =>
    sign === " " ? sign : `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
const quoted = (text: string | undefined): string =>
  text === undefined || text === "" ? "-" : `"${escapeText(text)}"`;
const word = (text: string | number | undefined): string =>
  text === undefined || text === "" ? "-" : escapeText(String(text)).replaceAll(" ", "+");

/** What lets others repeat the request is left out. */
const secrets =
  /([?&](?:X-Amz-Signature|X-Amz-Security-Token|Signature|X-Amz-(?:Copy-Source-)?Server-Side-Encryption-Customer-Key)=)[^&]*/gi;

/** Twice encoded, as AWS writes it. */
function keyText(key: Uint8Array | undefined): string {
  if (key === undefined) return "-";
  let text = "";
  for (const byte of key) {
    const sign = String.fromCharCode(byte);
    text += /[A-Za-z0-9\-._~/*]/.test(sign)
      ? sign
      : `%25${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

export function accessLine(record: AccessRecord): string {
  const target = record.target.replace(secrets, "$1-");
  const fields = [
    record.bucketOwner,
    record.bucket,
    logTime(record.time),
    word(record.address),
    word(record.requester),
    record.requestId,
    record.operation,
    keyText(record.key),
    quoted(`${record.method} ${target} HTTP/${record.version}`),
    word(record.status),
    word(record.errorCode),
    record.sizeSent === 0 ? "-" : String(record.sizeSent),
    word(record.objectSize),
    String(Math.max(0, Math.round(record.totalMs))),
    String(Math.max(0, Math.round(record.turnAroundMs))),
    quoted(headerValue(record.headers, "referer")),
    quoted(headerValue(record.headers, "user-agent")),
    word(record.versionId),
    record.hostId,
    record.authType === undefined ? "-" : "SigV4",
    "-",
    word(record.authType),
    word(record.host),
    "-",
    "-",
    "-",
  ];
  return `${fields.join(" ")}\n`;
}

const settingNames: Readonly<Record<string, string>> = {
  acl: "ACL",
  cors: "CORS",
  encryption: "ENCRYPTION",
  lifecycle: "LIFECYCLE",
  logging: "LOGGING_STATUS",
  notification: "NOTIFICATION",
  ownershipControls: "OWNERSHIP_CONTROLS",
  publicAccessBlock: "PUBLIC_ACCESS_BLOCK",
  requestPayment: "REQUEST_PAYMENT",
  tagging: "TAGGING",
  website: "WEBSITE",
};
/** By what the name of a call's kind holds; the first that fits. */
const kindNames: readonly (readonly [part: RegExp, name: string])[] = [
  [/^delete_objects$/, "MULTI_OBJECT_DELETE"],
  [/^copy_object$/, "OBJECT"],
  [/_policy_status$/, "POLICY_STATUS"],
  [/_policy$/, "BUCKETPOLICY"],
  [/_acl$/, "ACL"],
  [/_object_tagging$/, "OBJECT_TAGGING"],
  [/_object_lock_configuration$/, "OBJECT_LOCK_CONFIGURATION"],
  [/_legal_hold$/, "LEGAL_HOLD"],
  [/_retention$/, "RETENTION"],
  [/_attributes$/, "ATTRIBUTES"],
  [/_versions$/, "BUCKETVERSIONS"],
  [/_versioning$/, "VERSIONING"],
  [/_location$/, "LOCATION"],
  [/^upload_part/, "PART"],
  [/^(?:create_multipart_upload|list_multipart_uploads)$/, "UPLOADS"],
  [/(?:multipart_upload|list_parts)$/, "UPLOAD"],
];

/** `REST.PUT.OBJECT`. */
export function accessOperation(by: "REST" | "WEBSITE", method: string, call: S3Call): string {
  const verb = call.kind === "copy_object" || call.kind === "upload_part_copy" ? "COPY" : method;
  if ("setting" in call) {
    const name = typeof call.setting === "string" ? call.setting : call.setting.subresource;
    return `${by}.${verb}.${settingNames[name] ?? name.toUpperCase()}`;
  }
  const named = kindNames.find(([part]) => part.test(call.kind))?.[1];
  return `${by}.${verb}.${named ?? ("key" in call ? "OBJECT" : "BUCKET")}`;
}

/** Where a log of `source` goes. `eventTime` is of its first line; `random` makes the name new. */
export function accessLogKey(
  target: { readonly prefix: string; readonly format: LogKeyFormat },
  source: { readonly account: string; readonly region: string; readonly bucket: string },
  times: { readonly deliveryTime: number; readonly eventTime: number },
  random: Uint8Array,
): string {
  const { deliveryTime, eventTime } = times;
  const isEvent = target.format === "event_time";
  const text = new Date(isEvent ? eventTime : deliveryTime).toISOString();
  const day = text.slice(0, 10);
  const clock = isEvent ? "00-00-00" : text.slice(11, 19).replaceAll(":", "-");
  const name = `${day}-${clock}-${random.toHex().toUpperCase()}`;
  if (target.format === "simple") return `${target.prefix}${name}`;
  const { account, region, bucket } = source;
  return `${target.prefix}${account}/${region}/${bucket}/${day.replaceAll("-", "/")}/${name}`;
}
