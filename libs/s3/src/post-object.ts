/** The browser's form upload ("POST Object" of the Amazon S3 API Reference): from fields to the put that they ask for. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { formBoundary, headerValues, percentEncode } from "@kiseki/http";
import { parseBodyExpectation, putSizeMax } from "./body-expectation.ts";
import { isBucketName } from "./bucket-name.ts";
import type { PostObjectCall, S3Addressing, S3Request } from "./call.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { parseEncryption } from "./encryption-headers.ts";
import { type Fields, isHeaderText, parseFields, toHeaderText } from "./fields.ts";
import { canonicalKey } from "./key.ts";
import { parseObjectAttributes, refuseUnsupported } from "./object-headers.ts";
import { parseAddress } from "./parse-call.ts";
import { parseDocument } from "./settings/document.ts";
import { objectTagging } from "./settings/tags.ts";

/** A request whose body is a form for a bucket. */
export interface FormRequest {
  readonly kind: "form";
  readonly bucket: string;
  readonly boundary: string;
}

/** Whether a request is a form upload: POST to a bucket itself, of that type. Its body says who signed it. */
export function parseFormRequest(
  request: S3Request,
  addressing: S3Addressing,
): FormRequest | S3Fault | undefined {
  if (request.method !== "POST") return undefined;
  const types = headerValues(request.headers, "content-type");
  const form = formBoundary(types[0]);
  if (form === undefined) return undefined;
  const fields = parseFields(request);
  if (isFault(fields)) return fields;
  const address = parseAddress(fields.path, request.host, addressing);
  if (isFault(address)) return address;
  const { bucket, rawKey } = address;
  if (bucket === undefined || rawKey !== "" || fields.queryNames.length > 0) return undefined;
  if (!isBucketName(bucket)) {
    return s3Fault("InvalidBucketName", undefined, [["BucketName", bucket.slice(0, 256)]]);
  }
  if (fields.get("authorization") !== undefined) {
    const why = "Only one auth mechanism allowed: a form carries its signature in its fields.";
    return invalidArgument("Authorization", "", why);
  }
  if (types.length > 1 || form.boundary === undefined) return s3Fault("MalformedPOSTRequest");
  return { kind: "form", bucket, boundary: form.boundary };
}

/** Fields of the form that are the signature's or the form's own. */
const ownFields: ReadonlySet<string> = new Set([
  "acl",
  "bucket",
  "key",
  "policy",
  "redirect",
  "success_action_redirect",
  "success_action_status",
  "tagging",
  "x-amz-algorithm",
  "x-amz-credential",
  "x-amz-date",
  "x-amz-security-token",
  "x-amz-signature",
]);
/** Fields that are taken as headers of the same name. */
const headerFields =
  /^(cache-control|content-disposition|content-encoding|content-language|content-md5|content-type|expires|x-amz-acl|x-amz-checksum-[a-z0-9]+|x-amz-grant-[a-z-]+|x-amz-meta-.*|x-amz-object-lock-[a-z-]+|x-amz-request-payer|x-amz-sdk-checksum-algorithm|x-amz-server-side-encryption[a-z0-9-]*|x-amz-storage-class|x-amz-tagging|x-amz-website-redirect-location)$/s;
/** Fields that stand for a header of another name. */
const renamedFields: Readonly<Record<string, string>> = {
  acl: "x-amz-acl",
  tagging: "x-amz-tagging",
};
const headerToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const urlSizeMax = 2048;

/** A form whose file is about to come. */
export interface PostForm {
  readonly bucket: string;
  /** By lower-case name. */
  readonly fields: ReadonlyMap<string, string>;
  /** Of the file, as sent. */
  readonly filename: string;
  /** What the file may have at most: bytes of the body that are left, and what the policy allows. */
  readonly sizeMax: number;
  readonly sizeMin: number;
}

/**
 * The form's fields as policy and put see them: the file's name put into the key, the address's bucket. The name is what
 * follows the last slash or backslash of the path that old browsers send.
 */
export function resolveFormFields(
  bucket: string,
  fields: ReadonlyMap<string, string>,
  filename: string,
): ReadonlyMap<string, string> | S3Fault {
  const key = fields.get("key");
  if (key === undefined) {
    const why =
      "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.";
    return invalidArgument("key", "", why);
  }
  if ((fields.get("bucket") ?? bucket) !== bucket) {
    return invalidArgument("bucket", "", "The field 'bucket' is not the bucket of the address.");
  }
  const name = filename.slice(Math.max(filename.lastIndexOf("/"), filename.lastIndexOf("\\")) + 1);
  const resolved = new Map(fields);
  return resolved.set("bucket", bucket).set(
    "key",
    key.replaceAll("${filename}", () => name),
  );
}

/** A form's put, and the headers that the same put would have had: what policies are asked about. */
export interface ParsedPost {
  readonly kind: "post";
  readonly call: PostObjectCall;
  readonly headers: ReadonlyMap<string, string>;
}

/** The put that a form asks for. `fields` resolved. */
export function parsePostObject(request: S3Request, form: PostForm): ParsedPost | S3Fault {
  const { bucket, sizeMin } = form;
  const sizeMax = Math.min(form.sizeMax, putSizeMax);
  const headers = toHeaders(form.fields);
  if (isFault(headers)) return headers;
  const fields = fieldsOf(request, [...headers, ["content-length", String(sizeMax)]]);
  const unsupported = refuseUnsupported(fields);
  if (unsupported !== undefined) return unsupported;
  const body = parseBodyExpectation(fields, putSizeMax);
  if (isFault(body)) return body;
  const attributes = parseObjectAttributes(fields);
  if (isFault(attributes)) return attributes;
  const key = canonicalKey(form.fields.get("key") ?? "");
  if (isFault(key)) return key;
  const encryption = parseEncryption(fields);
  const put = { bucket, key, attributes, encryption, conditions: {}, body: { ...body, sizeMin } };
  const success = parseSuccess(form.fields);
  return { kind: "post", call: { kind: "post_object", ...put, success }, headers };
}

/** The field `tagging` holds a document; the header has pairs. */
function taggingHeader(document: string): string | S3Fault {
  const tagging = parseDocument(objectTagging, toUtf8(document));
  if (isFault(tagging)) return tagging;
  const pairs = tagging.tagSet.tags.map(
    ({ key, value }) => `${percentEncode(key)}=${percentEncode(value)}`,
  );
  return pairs.join("&");
}

/** Each field as the header that it stands for. Two that stand for one are refused: readers could differ. */
function toHeaders(form: ReadonlyMap<string, string>): ReadonlyMap<string, string> | S3Fault {
  const headers = new Map<string, string>();
  for (const [field, value] of form) {
    const name = (Object.hasOwn(renamedFields, field) && renamedFields[field]) || field;
    if (!headerFields.test(name)) {
      // What asks for something that is not done must not look done.
      if (!name.startsWith("x-amz-") || ownFields.has(name)) continue;
      return s3Fault("NotImplemented", undefined, [["Header", name.slice(0, 256)]]);
    }
    const sent = field === "tagging" ? taggingHeader(value) : value;
    if (typeof sent !== "string") return sent;
    const text = toHeaderText(sent);
    if (!headerToken.test(name) || !isHeaderText(text)) {
      return invalidArgument(field.slice(0, 256), value.slice(0, 256), "Not fit to be a header");
    }
    if (headers.has(name)) return s3Fault("MalformedPOSTRequest");
    headers.set(name, text.trim());
  }
  return headers;
}

/** Fields of the form in the place of a request's headers. */
function fieldsOf(request: S3Request, headers: Fields["headers"]): Fields {
  return {
    get: (name) => headers.find(([present]) => present === name)?.[1],
    query: () => undefined,
    hasQuery: () => false,
    hasPrefix: (prefix) => headers.some(([name]) => name.startsWith(prefix)),
    nameIn: (names) => headers.find(([name]) => names.has(name))?.[0],
    headers,
    queryNames: [],
    path: request.target,
  };
}

/** What is answered on success. A redirect that is no URL and a status that is none of the three are as if not sent. */
function parseSuccess(fields: ReadonlyMap<string, string>): PostObjectCall["success"] {
  const redirect = fields.get("success_action_redirect") ?? fields.get("redirect");
  if (redirect !== undefined && isRedirect(redirect)) return { kind: "redirect", url: redirect };
  const status = fields.get("success_action_status");
  return {
    kind: "status",
    status: status === "200" || status === "201" ? (Number(status) as 200 | 201) : 204,
  };
}

function isRedirect(text: string): boolean {
  return text.length <= urlSizeMax && /^https?:\/\/[!-~]+$/i.test(text) && URL.canParse(text);
}

/** Where a browser is sent: what was stored is appended to the query. */
export function redirectTarget(url: string, bucket: string, key: Uint8Array, etag: string): string {
  const mark = url.indexOf("#");
  const base = mark < 0 ? url : url.slice(0, mark);
  const name = percentEncode(fromUtf8(key) ?? "");
  const query = `bucket=${percentEncode(bucket)}&key=${name}&etag=${percentEncode(`"${etag}"`)}`;
  return `${base}${base.includes("?") ? "&" : "?"}${query}${mark < 0 ? "" : url.slice(mark)}`;
}
