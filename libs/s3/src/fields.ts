/** Headers and query of a request, each looked up by name; a presigned query may stand in for headers. */
import { toUtf8 } from "@kiseki/base";
import { type HttpHeader, parseQuery, splitTarget } from "@kiseki/http";
import type { S3Request } from "./call.ts";
import { invalidArgument, s3Fault, type S3Fault } from "./errors.ts";
import { uriFault } from "./key.ts";

const countMax = 256;
const isToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// oxlint-disable-next-line no-control-regex -- control bytes are what this refuses
const isForbiddenInValue = /[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/;

/** These belong to the signature and to nobody else. */
const signatureParameters = new Set([
  "x-amz-algorithm",
  "x-amz-credential",
  "x-amz-date",
  "x-amz-expires",
  "x-amz-signature",
  "x-amz-signedheaders",
  "x-amz-security-token",
  "x-amz-content-sha256",
]);

/**
 * S3 passes over these in a query. The SDK for JavaScript puts the checksum of an empty body into every PUT that it
 * presigns, whatever is sent later.
 */
const isBodyChecksum =
  /^x-amz-(sdk-checksum-algorithm|checksum-(crc32|crc32c|crc64nvme|sha1|sha256))$/;

/** Text as header bytes, one character per byte of its UTF-8. */
export function toHeaderText(text: string): string {
  let bytes = "";
  for (const byte of toUtf8(text)) bytes += String.fromCharCode(byte);
  return bytes;
}

/** Whether `value` may stand in a header: no control byte, no character over 0xff. */
export function isHeaderText(value: string): boolean {
  return !isForbiddenInValue.test(value);
}

export interface Fields {
  /** A header by its lower-case name; several are joined by a comma. Undefined when absent. */
  get(name: string): string | undefined;
  /** A parameter of the query by its exact name, decoded. */
  query(name: string): string | undefined;
  hasQuery(name: string): boolean;
  /** Whether a header's name begins so. */
  hasPrefix(prefix: string): boolean;
  /** The first header that is one of `names`. */
  nameIn(names: ReadonlySet<string>): string | undefined;
  /** All headers, those that the query stood in for too, in order of arrival. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly queryNames: readonly string[];
  /** Path as it arrived. */
  readonly path: string;
}

/** Cuts a request's head into fields. A parameter given twice is refused: two readers could differ. */
export function parseFields(request: S3Request): Fields | S3Fault {
  const { path, query } = splitTarget(request.target);
  if (query === "") return new HeadFields(path, request.headers, noParameters);
  const pairs = parseQuery(query);
  if (pairs === undefined) return uriFault();
  if (pairs.length > countMax) return s3Fault("InvalidRequest", "Too many query parameters.");
  const parameters = new Map<string, string>();
  for (const { name, value } of pairs) {
    if (parameters.has(name)) {
      return invalidArgument(name.slice(0, 256), value.slice(0, 256), "A parameter is given twice");
    }
    parameters.set(name, value);
  }
  const headers: HttpHeader[] = [...request.headers];
  for (const [name, value] of parameters) {
    const lower = name.toLowerCase();
    if (!lower.startsWith("x-amz-") || signatureParameters.has(lower)) continue;
    if (isBodyChecksum.test(lower)) continue;
    const text = toHeaderText(value);
    if (!isToken.test(lower) || !isHeaderText(text)) {
      return invalidArgument(name.slice(0, 256), value.slice(0, 256), "Not fit to be a header");
    }
    if (!headers.some((header) => header.name === lower))
      headers.push({ name: lower, value: text });
  }
  return new HeadFields(path, headers, parameters);
}

const noNames: readonly string[] = [];
const noParameters: ReadonlyMap<string, string> = new Map();

class HeadFields implements Fields {
  readonly path: string;
  readonly queryNames: readonly string[];
  readonly #headers: readonly HttpHeader[];
  readonly #parameters: ReadonlyMap<string, string>;
  #pairs: Fields["headers"] | undefined;

  constructor(
    path: string,
    headers: readonly HttpHeader[],
    parameters: ReadonlyMap<string, string>,
  ) {
    this.path = path;
    this.queryNames = parameters.size === 0 ? noNames : [...parameters.keys()];
    this.#headers = headers;
    this.#parameters = parameters;
  }
  get headers(): Fields["headers"] {
    return (this.#pairs ??= this.#headers.map(({ name, value }) => [name, value] as const));
  }
  get(name: string): string | undefined {
    let joined: string | undefined;
    for (const header of this.#headers) {
      if (header.name !== name) continue;
      joined = joined === undefined ? header.value : `${joined},${header.value}`;
    }
    return joined;
  }
  query(name: string): string | undefined {
    return this.#parameters.get(name);
  }
  hasQuery(name: string): boolean {
    return this.#parameters.has(name);
  }
  hasPrefix(prefix: string): boolean {
    return this.#headers.some(({ name }) => name.startsWith(prefix));
  }
  nameIn(names: ReadonlySet<string>): string | undefined {
    for (const { name } of this.#headers) if (names.has(name)) return name;
    return undefined;
  }
}

/** The version that a request names; `undefined`: none. Its form is for whoever gave it to judge. */
export function parseVersionId(fields: Fields): string | undefined | S3Fault {
  const version = fields.query("versionId");
  if (version !== "") return version;
  return invalidArgument("versionId", "", "Version id cannot be the empty string");
}
