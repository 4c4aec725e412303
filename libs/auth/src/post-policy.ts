import { fromUtf8, type WallTime } from "@kiseki/base";
import { type AuthFault, authFault } from "./fault.ts";

/** A condition of a policy: a field in lower case, and what its value must be or begin with. */
interface FieldCondition {
  readonly kind: "eq" | "starts-with";
  readonly field: string;
  readonly value: string;
}

/** What whoever signed it lets a form do ("POST policy" of the Amazon S3 API Reference). */
export interface PostPolicy {
  readonly kind: "policy";
  readonly expiration: WallTime;
  readonly conditions: readonly FieldCondition[];
  /** Bytes that the file may have, both ends included. */
  readonly sizeMin: number;
  readonly sizeMax: number;
}

/** Fields that no condition needs to name. */
const freeFields: ReadonlySet<string> = new Set(["file", "policy", "x-amz-signature"]);
const conditionCountMax = 200;

const malformed = (why: string): AuthFault =>
  authFault("InvalidPolicyDocument", `Invalid Policy: ${why}`);
const refused = (why: string): AuthFault =>
  authFault("AccessDenied", `Invalid according to Policy: ${why}`);

/** Reads the field `policy`: base64 of UTF-8 JSON. Whatever it does not know is refused. */
export function parsePostPolicy(text: string): PostPolicy | AuthFault {
  const document = decodeDocument(text);
  if (document === undefined) return malformed("Invalid JSON.");
  if (!isRecord(document)) return malformed("Policy must be a JSON object.");
  const stranger = Object.keys(document).find(
    (name) => name !== "expiration" && name !== "conditions",
  );
  if (stranger !== undefined) return malformed(`Unexpected: '${stranger.slice(0, 64)}'`);
  const { expiration, conditions } = document;
  if (expiration === undefined) return malformed("Policy missing expiration.");
  const time = typeof expiration === "string" ? parseExpiration(expiration) : undefined;
  if (time === undefined) return malformed("Invalid 'expiration' value.");
  if (conditions === undefined) return malformed("Policy missing conditions.");
  if (!Array.isArray(conditions) || conditions.length > conditionCountMax) {
    return malformed("Invalid 'conditions' value: must be a List.");
  }
  return readConditions(time as WallTime, conditions);
}

function decodeDocument(text: string): unknown {
  try {
    const json = fromUtf8(Uint8Array.fromBase64(text, { lastChunkHandling: "strict" }));
    // Two escapes that AWS documents and JSON lacks.
    const plain = json?.replaceAll(/\\[\s\S]/g, (pair) => documentedEscapes[pair] ?? pair);
    return plain === undefined ? undefined : (JSON.parse(plain) as unknown);
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined; // the decoders' word for what they cannot read
    throw reason;
  }
}
const documentedEscapes: Readonly<Record<string, string>> = { "\\$": "$", "\\v": "\\u000b" };

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** ISO 8601 in UTC, `2026-11-30T12:00:00.000Z`, as the reference asks. */
function parseExpiration(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/.test(text)) return undefined;
  const time = Date.parse(text);
  // A date that rolled over (30 February) reads back differently.
  const isReal =
    Number.isFinite(time) && new Date(time).toISOString().startsWith(text.slice(0, 19));
  return isReal ? time : undefined;
}

function readConditions(expiration: WallTime, items: readonly unknown[]): PostPolicy | AuthFault {
  const conditions: FieldCondition[] = [];
  let sizeMin = 0;
  let sizeMax = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const condition = Array.isArray(item) ? readListed(item) : readSimple(item);
    if (condition.kind === "fault") return condition;
    if (condition.kind === "range") {
      sizeMin = Math.max(sizeMin, condition.min);
      sizeMax = Math.min(sizeMax, condition.max);
    } else {
      conditions.push(condition);
    }
  }
  return { kind: "policy", expiration, conditions, sizeMin, sizeMax };
}

/** `{"acl": "private"}` */
function readSimple(item: unknown): FieldCondition | AuthFault {
  const [pair, ...more] = isRecord(item) ? Object.entries(item) : [];
  if (pair === undefined || more.length > 0) {
    return malformed(
      "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
    );
  }
  const [name, value] = pair;
  if (typeof value !== "string")
    return malformed("Invalid Simple-Condition: value must be a string.");
  return { kind: "eq", field: name.toLowerCase(), value };
}

interface SizeRange {
  readonly kind: "range";
  readonly min: number;
  readonly max: number;
}

/** `["starts-with", "$key", "user/"]`, `["content-length-range", 1, 10]` */
function readListed(item: readonly unknown[]): FieldCondition | SizeRange | AuthFault {
  const [operator, first, second, ...more] = item;
  const kind = typeof operator === "string" ? operator.toLowerCase() : "";
  if (first === undefined || second === undefined || more.length > 0) {
    return malformed(`Invalid Condition: wrong number of arguments: '${kind.slice(0, 64)}'.`);
  }
  if (kind === "content-length-range") {
    const min = readSize(first);
    const max = readSize(second);
    if (min === undefined || max === undefined || min > max) {
      return malformed("Invalid content-length-range: two numbers in order are expected.");
    }
    return { kind: "range", min, max };
  }
  if (kind !== "eq" && kind !== "starts-with") {
    return malformed(`Invalid Condition: unknown operation '${kind.slice(0, 64)}'.`);
  }
  if (typeof first !== "string" || typeof second !== "string" || !/^\$./.test(first)) {
    return malformed(`Invalid Condition: '${kind}' takes a field, '$' in front, and a text.`);
  }
  return { kind, field: first.slice(1).toLowerCase(), value: second };
}

function readSize(value: unknown): number | undefined {
  const size = typeof value === "string" && /^[0-9]{1,15}$/.test(value) ? Number(value) : value;
  return typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : undefined;
}

/**
 * Whether a form may do what it asks for. `fields`: by lower-case name, as they will be acted on: `key` with the file's name
 * put in, `bucket` that of the address. Every field must be named by a condition, and every condition hold; the sizes are
 * for whoever reads the file.
 */
export function checkPostPolicy(
  policy: PostPolicy,
  fields: ReadonlyMap<string, string>,
  now: WallTime,
): AuthFault | undefined {
  if (now >= policy.expiration) return refused("Policy expired.");
  for (const { kind, field, value } of policy.conditions) {
    const given = fields.get(field);
    if (given !== undefined && holds(kind, field, given, value)) continue;
    return refused(`Policy Condition failed: ${JSON.stringify([kind, `$${field}`, value])}`);
  }
  const named = new Set(policy.conditions.map(({ field }) => field));
  for (const name of fields.keys()) {
    if (named.has(name) || freeFields.has(name) || name.startsWith("x-ignore-")) continue;
    return refused(`Extra input fields: ${name}`);
  }
  return undefined;
}

function holds(kind: FieldCondition["kind"], field: string, given: string, value: string): boolean {
  if (kind === "eq") return given === value;
  // Of this field alone a list may be sent, and each must begin so.
  if (field !== "content-type") return given.startsWith(value);
  return given.split(",").every((one) => one.trim().startsWith(value));
}
