/** Trust policies: who may take on a role. Without one that says yes, nobody may, the account's root included. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import type { Condition, PolicyVersion, PrincipalPattern } from "./document.ts";
import { normaliseKey } from "./keys.ts";
import { matchConditions, type RequestContext, resolverOf } from "./match-conditions.ts";
import { parseConditions } from "./parse-conditions.ts";
import {
  checkNames,
  isObject,
  parsePrincipal,
  parseVersion,
  policySizeMax,
  textsOf,
} from "./parse-policy.ts";
import { PolicyFault } from "./policy-fault.ts";
import type { Principal } from "./principal.ts";
import { type JsonValue, parseStrictJson } from "./strict-json.ts";

const trustActions = ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession"] as const;
type TrustAction = (typeof trustActions)[number];

interface TrustStatement {
  readonly effect: "Allow" | "Deny";
  readonly principals: readonly PrincipalPattern[];
  readonly actions: readonly TrustAction[];
  /** All must hold. */
  readonly conditions: readonly Condition[];
}

export interface TrustPolicy {
  /** None: nobody is trusted. */
  readonly statements: readonly TrustStatement[];
}

/** The ARN by which trust policies name the provider of an issuer, `https://id.example/realm`. */
export function providerArn(account: string, issuer: string): string {
  return `arn:aws:iam::${account}:oidc-provider/${issuer.replace(/^https?:\/\//, "")}`;
}

/** @throws {PolicyFault} saying what is wrong, in a sentence for its writer. */
export function parseTrustPolicy(source: string): TrustPolicy {
  const bytes = toUtf8(source);
  const text = bytes.byteLength > policySizeMax ? undefined : fromUtf8(bytes);
  const json = text === undefined ? undefined : parseStrictJson(text);
  if (!isObject(json)) throw new PolicyFault("A trust policy is a JSON object of at most 20 KiB");
  checkNames(json, ["Version", "Id", "Statement"], "the policy");
  const version = parseVersion(json["Version"]);
  const { Statement: statement } = json;
  const list = Array.isArray(statement) ? (statement as readonly JsonValue[]) : [statement];
  if (list.length === 0) throw new PolicyFault("Missing required field Statement");
  return { statements: list.map((each) => parseStatement(each, version)) };
}

/** A stored trust policy; one that this program does not understand trusts nobody. */
export function readTrustPolicy(source: string): TrustPolicy {
  try {
    return parseTrustPolicy(source);
  } catch (reason) {
    if (reason instanceof PolicyFault) return { statements: [] };
    throw reason;
  }
}

function parseStatement(value: JsonValue | undefined, version: PolicyVersion): TrustStatement {
  if (!isObject(value)) throw new PolicyFault("Missing required field Statement");
  checkNames(value, ["Sid", "Effect", "Principal", "Action", "Condition"], "a statement");
  const { Effect: effect, Principal: principal, Action: action } = value;
  if (effect !== "Allow" && effect !== "Deny") throw new PolicyFault("Invalid effect");
  if (principal === undefined) throw new PolicyFault("Missing required field Principal");
  if (action === undefined) throw new PolicyFault("Missing required field Action");
  const principals = parsePrincipal(principal);
  return {
    effect,
    principals,
    actions: textsOf(action, "Action").flatMap(parseAction),
    conditions: parseConditions(renameKeys(value["Condition"], principals), version),
  };
}

function parseAction(text: string): readonly TrustAction[] {
  const lower = text.toLowerCase();
  if (lower === "sts:*") return trustActions;
  const action = trustActions.find((each) => each.toLowerCase() === lower);
  if (action === undefined) {
    throw new PolicyFault(`A trust policy speaks of ${trustActions.join(", ")} only`);
  }
  return [action];
}

/** AWS names a claim by its provider, `id.example/realm:aud`; here it is `jwt:aud`, of the provider that the statement names. */
function renameKeys(
  conditions: JsonValue | undefined,
  principals: readonly PrincipalPattern[],
): JsonValue | undefined {
  if (!isObject(conditions)) return conditions;
  const names = principals.flatMap((pattern) =>
    pattern.kind === "federated" ? [pattern.provider.replace(/^.*?:oidc-provider\//, "")] : [],
  );
  const rename = (key: string): string => {
    const name = names.find((each) => key.startsWith(`${each}:`));
    return name === undefined ? key : `jwt:${key.slice(name.length + 1)}`;
  };
  return Object.fromEntries(
    Object.entries(conditions).map(([operator, keys]) => [
      operator,
      isObject(keys)
        ? Object.fromEntries(Object.entries(keys).map(([key, value]) => [rename(key), value]))
        : keys,
    ]),
  );
}

/** Who asks to take on a role. */
export type Truster =
  /** `isAllowed`: by his own policies, which decide where the role trusts his whole account. */
  | { readonly kind: "principal"; readonly principal: Principal; readonly isAllowed: boolean }
  /** Whoever shows a token of the provider of that ARN. */
  | { readonly kind: "provider"; readonly arn: string };

/** Whether the policy lets him. A Deny wins; what cannot be told counts for a Deny and against an Allow. */
export function isTrusted(
  { statements }: TrustPolicy,
  action: TrustAction,
  who: Truster,
  context: RequestContext,
): boolean {
  const resolve = resolverOf(context, normaliseKey);
  const speaking = statements.filter(
    (statement) =>
      statement.actions.includes(action) &&
      statement.principals.some((pattern) => matchTruster(pattern, who, statement.effect)),
  );
  const held = speaking.map(({ effect, conditions }) => ({
    effect,
    verdict: matchConditions(conditions, context, resolve),
  }));
  if (held.some(({ effect, verdict }) => effect === "Deny" && verdict !== false)) return false;
  return held.some(({ effect, verdict }) => effect === "Allow" && verdict === true);
}

function matchTruster(
  pattern: PrincipalPattern,
  who: Truster,
  effect: TrustStatement["effect"],
): boolean {
  if (who.kind === "provider") {
    return pattern.kind === "federated" && pattern.provider === who.arn;
  }
  const { principal, isAllowed } = who;
  switch (pattern.kind) {
    case "everyone":
      return true;
    case "account":
      return principal.account === pattern.account && (isAllowed || effect === "Deny");
    case "canonical":
      return principal.canonicalId === pattern.id && (isAllowed || effect === "Deny");
    case "arn":
      return principal.arn === pattern.arn || principal.issuerArn === pattern.arn;
    default:
      return false;
  }
}
