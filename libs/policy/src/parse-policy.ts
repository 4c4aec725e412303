/** Policies from JSON. Whatever is not known here is a fault, so that evaluation never guesses. */
import { fromUtf8, KiB, toUtf8 } from "@kiseki/base";
import { foreignActions, s3Actions } from "./actions.ts";
import type {
  Matcher,
  PolicyDocument,
  PolicyKind,
  PolicyVersion,
  PrincipalPattern,
  Statement,
} from "./document.ts";
import { isVariableKey } from "./keys.ts";
import { parseConditions } from "./parse-conditions.ts";
import { PolicyFault } from "./policy-fault.ts";
import { type JsonValue, parseStrictJson } from "./strict-json.ts";
import { lowerTemplate, matchTemplate, parseTemplate, type Template } from "./template.ts";

/** Bytes of a policy as it is put; AWS's limit for a bucket's. */
export const policySizeMax = 20 * KiB;
/** What AWS counts of a policy of an identity or a session: characters without white space between. */
const compactSizeMax: Readonly<Record<PolicyKind, number>> = {
  resource: 20 * 1024,
  identity: 6144,
  session: 2048,
};
const listMax = 1024;

export interface ParseOptions {
  readonly kind: PolicyKind;
  /** The bucket that a resource policy is for: its resources must be able to match there. */
  readonly bucket?: string;
}

/** The policy in `source`. @throws {PolicyFault} saying what is wrong, in a sentence for its writer. */
export function parsePolicy(source: Uint8Array | string, options: ParseOptions): PolicyDocument {
  const bytes = typeof source === "string" ? toUtf8(source) : source;
  if (bytes.byteLength > policySizeMax)
    throw new PolicyFault("Policy exceeds the maximum allowed document size");
  const text = fromUtf8(bytes);
  const json = text === undefined ? undefined : parseStrictJson(text);
  if (!isObject(json))
    throw new PolicyFault("Policies must be valid JSON and the first byte must be '{'");
  if (JSON.stringify(json).length > compactSizeMax[options.kind]) {
    throw new PolicyFault("Policy exceeds the maximum allowed document size");
  }
  checkNames(json, ["Version", "Id", "Statement"], "the policy");
  const version = parseVersion(json["Version"]);
  if (json["Id"] !== undefined && typeof json["Id"] !== "string")
    throw new PolicyFault("Id must be text");
  const list = json["Statement"];
  const statements = (Array.isArray(list) ? (list as readonly JsonValue[]) : [list]).map(
    (statement) => parseStatement(statement, version, options),
  );
  if (statements.length === 0) throw new PolicyFault("Missing required field Statement");
  const sids = statements.flatMap(({ sid }) => (sid === undefined || sid === "" ? [] : [sid]));
  if (new Set(sids).size < sids.length)
    throw new PolicyFault("Statement IDs (SID) in a single policy must be unique");
  return { version, statements };
}

/** What stands for a stored policy that cannot be read: nobody may do anything. */
export const unreadablePolicy: PolicyDocument = {
  version: "2012-10-17",
  statements: [
    {
      sid: undefined,
      effect: "Deny",
      principals: { isNot: false, members: [{ kind: "everyone" }] },
      actions: { isNot: true, members: [] },
      resources: { isNot: true, members: [] },
      conditions: [],
    },
  ],
};

/** A stored policy; one that this program does not understand refuses everything. */
export function readStoredPolicy(source: Uint8Array | string, kind: PolicyKind): PolicyDocument {
  try {
    return parsePolicy(source, { kind });
  } catch (reason) {
    if (reason instanceof PolicyFault) return unreadablePolicy;
    throw reason;
  }
}

export type JsonObject = { readonly [name: string]: JsonValue };

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function checkNames(object: JsonObject, known: readonly string[], place: string): void {
  for (const name of Object.keys(object)) {
    if (!known.includes(name))
      throw new PolicyFault(`Unknown field ${name.slice(0, 64)} in ${place}`);
  }
}

export function parseVersion(value: JsonValue | undefined): PolicyVersion {
  if (value === undefined || value === "2008-10-17") return "2008-10-17"; // AWS's default
  if (value === "2012-10-17") return value;
  throw new PolicyFault("The policy must contain a valid version string");
}

const statementNames = [
  "Sid",
  "Effect",
  "Principal",
  "NotPrincipal",
  "Action",
  "NotAction",
  "Resource",
  "NotResource",
  "Condition",
];

function parseStatement(
  value: JsonValue | undefined,
  version: PolicyVersion,
  options: ParseOptions,
): Statement {
  if (!isObject(value)) throw new PolicyFault("Missing required field Statement");
  checkNames(value, statementNames, "a statement");
  const { Sid: sid, Effect: effect } = value;
  if (sid !== undefined && (typeof sid !== "string" || sid.length > 256))
    throw new PolicyFault("Sid must be text");
  if (effect === undefined) throw new PolicyFault("Missing required field Effect");
  if (effect !== "Allow" && effect !== "Deny") throw new PolicyFault("Invalid effect");
  const actions = parseMatcher(value, "Action", (text) => parseAction(text));
  const resources = parseMatcher(value, "Resource", (text) =>
    parseResource(text, version, options),
  );
  if (actions === undefined) throw new PolicyFault("Missing required field Action");
  if (resources === undefined) throw new PolicyFault("Missing required field Resource");
  const principals = parsePrincipals(value, options.kind, effect);
  const conditions = parseConditions(value["Condition"], version);
  return { sid, effect, principals, actions, resources, conditions };
}

/** `name` or `Not…`, one of them, as text or a list of it. */
function parseMatcher<T>(
  statement: JsonObject,
  name: string,
  parse: (text: string) => T,
): Matcher<T> | undefined {
  const plain = statement[name];
  const negated = statement[`Not${name}`];
  if (plain !== undefined && negated !== undefined) {
    throw new PolicyFault(`A statement has ${name} or Not${name}, not both`);
  }
  const value = plain ?? negated;
  if (value === undefined) return undefined;
  return { isNot: plain === undefined, members: textsOf(value, name).map(parse) };
}

/** Text or a list of texts, at least one. */
export function textsOf(value: JsonValue, place: string): readonly string[] {
  const list = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
  if (list.length === 0 || list.length > listMax)
    throw new PolicyFault(`${place} must not be empty`);
  return list.map((each) => {
    if (typeof each !== "string" || each === "") throw new PolicyFault(`${place} must be text`);
    return each;
  });
}

const wildcardsOnly = { hasWildcards: true, hasVariables: false, isVariable: () => false };
const lowerS3Actions = [...s3Actions, ...foreignActions].map((name) => name.toLowerCase());
const actionForm = /^[a-zA-Z0-9-]{1,64}:[a-zA-Z0-9*?]{1,128}$/;

function parseAction(text: string): Template {
  const template = parseTemplate(text, wildcardsOnly);
  const lower = template && lowerTemplate(template);
  if (lower === undefined || (text !== "*" && !actionForm.test(text))) {
    throw new PolicyFault("Policy has invalid action");
  }
  const isS3 = /^s3:/i.test(text);
  if (isS3 && !lowerS3Actions.some((action) => matchTemplate(lower, action))) {
    throw new PolicyFault("Policy has invalid action");
  }
  return lower;
}

const resourceForm = /^arn:[a-z0-9*?-]{1,32}:/;

function parseResource(text: string, version: PolicyVersion, options: ParseOptions): Template {
  const template = parseTemplate(text, {
    hasWildcards: true,
    hasVariables: version === "2012-10-17",
    isVariable: isVariableKey,
  });
  const isArn = text === "*" || resourceForm.test(text);
  if (template === undefined || !isArn || text.length > 2048) {
    throw new PolicyFault("Policy has invalid resource");
  }
  const { bucket } = options;
  if (bucket !== undefined && !canBeInBucket(text, bucket)) {
    throw new PolicyFault("Policy has invalid resource");
  }
  return template;
}

/** Whether a resource's text may name the bucket or something in it; wildcards may, variables may. */
function canBeInBucket(text: string, bucket: string): boolean {
  if (text === "*") return true;
  const [, name] = /^arn:aws:s3:::([^/]*)/.exec(text) ?? [];
  if (name === undefined) return false;
  if (name.includes("${")) return true;
  const template = parseTemplate(name, wildcardsOnly);
  return template !== undefined && matchTemplate(template, bucket);
}

function parsePrincipals(
  statement: JsonObject,
  kind: PolicyKind,
  effect: "Allow" | "Deny",
): Matcher<PrincipalPattern> | undefined {
  const plain = statement["Principal"];
  const negated = statement["NotPrincipal"];
  const value = plain ?? negated;
  if (kind !== "resource") {
    if (value !== undefined)
      throw new PolicyFault("Policy document should not specify a principal");
    return undefined;
  }
  if (value === undefined) throw new PolicyFault("Missing required field Principal");
  if (plain !== undefined && negated !== undefined) {
    throw new PolicyFault("A statement has Principal or NotPrincipal, not both");
  }
  if (negated !== undefined && effect === "Allow") {
    throw new PolicyFault("Allow with NotPrincipal is not allowed.");
  }
  return { isNot: plain === undefined, members: parsePrincipal(value) };
}

export function parsePrincipal(value: JsonValue): readonly PrincipalPattern[] {
  if (value === "*") return [{ kind: "everyone" }];
  if (!isObject(value)) throw new PolicyFault("Invalid principal in policy");
  const members: PrincipalPattern[] = [];
  for (const [name, list] of Object.entries(value)) {
    for (const text of textsOf(list, "Principal")) members.push(parseMember(name, text));
  }
  if (members.length === 0) throw new PolicyFault("Invalid principal in policy");
  return members;
}

const accountForm = /^(?:arn:aws:iam::)?(\d{12})(?::root)?$/;
const identityForm =
  /^arn:aws:(?:iam::\d{12}:(?:user|role)|sts::\d{12}:(?:assumed-role|federated-user))\/[\w+=,.@/-]{1,576}$/;

function parseMember(name: string, text: string): PrincipalPattern {
  if (name === "AWS") {
    if (text === "*") return { kind: "everyone" };
    const [, account] = accountForm.exec(text) ?? [];
    if (account !== undefined) return { kind: "account", account };
    if (identityForm.test(text)) return { kind: "arn", arn: text };
  } else if (name === "CanonicalUser" && /^[0-9a-f]{64}$/.test(text)) {
    return { kind: "canonical", id: text };
  } else if (name === "Federated") {
    return { kind: "federated", provider: text };
  } else if (name === "Service") {
    return { kind: "nobody" };
  }
  throw new PolicyFault("Invalid principal in policy");
}
