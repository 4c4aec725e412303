import { parseQuery } from "@kiseki/http";
import type { AssumeRoleCall, RoleArn, StsCall, WebIdentityCall } from "./call.ts";
import { isStsFault, type StsFault, stsFault } from "./fault.ts";

const version = "2011-06-15";
const parameterCountMax = 256;
const secondsMin = 900;
/** Of each action: the longest, and what is taken when nothing is said. */
const durations = {
  AssumeRole: { max: 43_200, fallback: 3600 },
  AssumeRoleWithWebIdentity: { max: 43_200, fallback: undefined },
  GetSessionToken: { max: 129_600, fallback: undefined },
} as const;

/** Anything here asks for more than is done; ignoring it would be a wrong success. */
const refusedParameters =
  /^(SerialNumber|TokenCode|SourceIdentity|ProvidedContexts\..*|TransitiveTagKeys\..*)$/;

type Parameters = ReadonlyMap<string, string>;

/** Reads the parameters of a request: a posted form or a query, as they came. */
export function parseStsCall(text: string): StsCall | StsFault {
  const pairs = parseQuery(text);
  if (pairs === undefined) return invalid("The parameters are not escaped UTF-8.");
  if (pairs.length > parameterCountMax) return invalid("There are too many parameters.");
  const parameters = new Map<string, string>();
  for (const { name, value } of pairs) {
    if (parameters.has(name)) return invalid(`The parameter ${name.slice(0, 64)} is given twice.`);
    parameters.set(name, value);
  }
  const action = parameters.get("Action");
  if (!action) return stsFault("MissingAction", "The request is missing an action.");
  if (parameters.get("Version") !== version) {
    const why = `Could not find operation ${action.slice(0, 64)} for version ${(parameters.get("Version") ?? "NO_VERSION_SPECIFIED").slice(0, 64)}`;
    return stsFault("InvalidAction", why);
  }
  const refused = [...parameters.keys()].find((name) => refusedParameters.test(name));
  if (refused !== undefined) {
    return stsFault("InvalidParameterValue", `${refused.slice(0, 64)} is not implemented.`);
  }
  return parseAction(action, parameters);
}

function parseAction(action: string, parameters: Parameters): StsCall | StsFault {
  switch (action) {
    case "GetCallerIdentity":
      return { kind: "get_caller_identity" };
    case "GetSessionToken": {
      const seconds = parseSeconds(parameters, durations.GetSessionToken);
      return isStsFault(seconds) ? seconds : { kind: "get_session_token", seconds };
    }
    case "AssumeRole":
      return parseAssumeRole(parameters);
    case "AssumeRoleWithWebIdentity":
      return parseWebIdentity(parameters);
    default: {
      const why = `Could not find operation ${action.slice(0, 64)} for version ${version}`;
      return stsFault("InvalidAction", why);
    }
  }
}

function parseAssumeRole(parameters: Parameters): AssumeRoleCall | StsFault {
  const role = parseRoleArn(parameters.get("RoleArn"));
  if (isStsFault(role)) return role;
  const sessionName = parseSessionName(parameters, role !== undefined);
  if (isStsFault(sessionName)) return sessionName;
  const seconds = parseSeconds(parameters, durations.AssumeRole);
  if (isStsFault(seconds)) return seconds;
  const narrowing = parseNarrowing(parameters);
  if (isStsFault(narrowing)) return narrowing;
  const externalId = parameters.get("ExternalId");
  if (externalId !== undefined && !/^[\w+=,.@:/-]{2,1224}$/.test(externalId)) {
    return invalid("ExternalId has 2 to 1224 letters, digits and +=,.@:/-");
  }
  const tags = parseTags(parameters);
  if (isStsFault(tags)) return tags;
  return {
    kind: "assume_role",
    role,
    sessionName,
    seconds: seconds ?? durations.AssumeRole.fallback,
    externalId,
    tags,
    ...narrowing,
  };
}

function parseWebIdentity(parameters: Parameters): WebIdentityCall | StsFault {
  const role = parseRoleArn(parameters.get("RoleArn"));
  if (isStsFault(role)) return role;
  const sessionName = parseSessionName(parameters, role !== undefined);
  if (isStsFault(sessionName)) return sessionName;
  const seconds = parseSeconds(parameters, durations.AssumeRoleWithWebIdentity);
  if (isStsFault(seconds)) return seconds;
  const narrowing = parseNarrowing(parameters);
  if (isStsFault(narrowing)) return narrowing;
  const token = parameters.get("WebIdentityToken") ?? "";
  if (token.length < 4 || token.length > 20_000) {
    return invalid("WebIdentityToken must have between 4 and 20000 characters.");
  }
  if (parameters.has("ProviderId")) {
    return stsFault(
      "InvalidParameterValue",
      "ProviderId is for OAuth 2.0 tokens, which are not taken.",
    );
  }
  return { kind: "assume_role_with_web_identity", role, sessionName, seconds, token, ...narrowing };
}

/**
 * A role's ARN; `undefined` for none and for what stands in its place: MinIO's tools send `arn:xxx:xxx:xxx:xxxx` or
 * `arn:minio:…` where they mean the caller's own rights.
 */
function parseRoleArn(text: string | undefined): RoleArn | undefined | StsFault {
  if (text === undefined || text === "" || text === "arn:xxx:xxx:xxx:xxxx") return undefined;
  if (/^arn:minio:[\w:+=,.@/-]{0,200}$/.test(text)) return undefined;
  const match = /^arn:aws:iam::(\d{12}):role\/([\w+=,.@-]{1,64})$/.exec(text);
  if (match === null) return invalid("RoleArn must be arn:aws:iam::ACCOUNT:role/NAME");
  return { account: match[1]!, name: match[2]!, text };
}

function parseSessionName(
  parameters: Parameters,
  isNeeded: boolean,
): string | undefined | StsFault {
  const name = parameters.get("RoleSessionName");
  if (name === undefined || name === "") {
    return isNeeded ? invalid("RoleSessionName is missing.") : undefined;
  }
  return /^[\w+=,.@-]{2,64}$/.test(name)
    ? name
    : invalid("RoleSessionName has 2 to 64 letters, digits and +=,.@-");
}

function parseSeconds(
  parameters: Parameters,
  { max }: { readonly max: number },
): number | undefined | StsFault {
  const text = parameters.get("DurationSeconds");
  if (text === undefined || text === "") return undefined;
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (seconds >= secondsMin && seconds <= max) return seconds;
  return invalid(`DurationSeconds must be between ${secondsMin} and ${max}.`);
}

function parseNarrowing(
  parameters: Parameters,
): Pick<AssumeRoleCall, "policy" | "policyArns"> | StsFault {
  const policy = parameters.get("Policy");
  // AWS counts characters of the text as sent; an empty one is none, as MinIO's tools send it.
  if (policy !== undefined && policy.length > 2048) {
    return stsFault("PackedPolicyTooLarge", "The session policy has more than 2048 characters.");
  }
  const policyArns: string[] = [];
  for (const [name, value] of parameters) {
    if (!name.startsWith("PolicyArns.")) continue;
    if (!/^PolicyArns\.member\.\d{1,3}\.arn$/.test(name) || value === "" || value.length > 2048) {
      return invalid("PolicyArns must be a list of ARNs.");
    }
    policyArns.push(value);
  }
  if (policyArns.length > 10) return invalid("PolicyArns has 10 members at most.");
  return { policy: policy === "" ? undefined : policy, policyArns };
}

function parseTags(parameters: Parameters): AssumeRoleCall["tags"] | StsFault {
  const keys = new Map<string, string>();
  const values = new Map<string, string>();
  for (const [name, value] of parameters) {
    if (!name.startsWith("Tags.")) continue;
    const match = /^Tags\.member\.(\d{1,3})\.(Key|Value)$/.exec(name);
    if (match === null) return invalid("Tags must be a list of keys and values.");
    (match[2] === "Key" ? keys : values).set(match[1]!, value);
  }
  const tags = [...keys].map(([number, key]) => [key, values.get(number) ?? ""] as const);
  const isGood = tags.every(
    ([key, value]) =>
      /^[\p{L}\p{Z}\p{N}_.:/=+@-]{1,128}$/u.test(key) &&
      value.length <= 256 &&
      !value.includes("\0"),
  );
  const isWhole = [...values.keys()].every((number) => keys.has(number));
  const areDistinct = new Set(tags.map(([key]) => key.toLowerCase())).size === tags.length;
  if (!isGood || !isWhole || !areDistinct || tags.length > 50) {
    return invalid(
      "Tags: at most 50, keys of 1 to 128 characters, each once, values of up to 256.",
    );
  }
  return tags;
}

function invalid(why: string): StsFault {
  return stsFault("ValidationError", why);
}
