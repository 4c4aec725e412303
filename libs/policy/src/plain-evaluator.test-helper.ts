/** A second evaluator, slow and obvious, over policies as their writers wrote them. For comparison only. */
import type { Principal } from "./principal.ts";

export interface RawStatement {
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: unknown;
  readonly NotPrincipal?: unknown;
  readonly Action?: readonly string[];
  readonly NotAction?: readonly string[];
  readonly Resource?: readonly string[];
  readonly NotResource?: readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}
export interface RawPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly RawStatement[];
}
export interface PlainQuestion {
  readonly action: string;
  readonly resource: string;
  readonly values: Readonly<Record<string, readonly string[]>>;
}
export interface PlainSide {
  readonly bucketOwner: string;
  readonly policy: RawPolicy | undefined;
  readonly isGranted: boolean;
}

/** Stands for a star that is a star. */
const plainStar = "\u0001";

function like(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern[0] === "*") {
    for (let i = 0; i <= text.length; i++) if (like(pattern.slice(1), text.slice(i))) return true;
    return false;
  }
  return (
    text !== "" &&
    (pattern[0] === "?" ||
      pattern[0] === text[0] ||
      (pattern[0] === plainStar && text[0] === "*")) &&
    like(pattern.slice(1), text.slice(1))
  );
}

/** `undefined`: a variable has no value. */
function fill(text: string, values: PlainQuestion["values"]): string | undefined {
  const found = /\$\{([^}]*)\}/.exec(text);
  if (!found) return text;
  const known = values[found[1]!];
  if (known?.length !== 1) return undefined;
  return fill(text.replace(found[0], known[0]!.replaceAll("*", plainStar)), values);
}

function conditionsHold(statement: RawStatement, { values }: PlainQuestion): boolean | undefined {
  let isUnclear = false;
  for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
    for (const [key, wanted] of Object.entries(keys)) {
      const isNegated = operator.startsWith("StringNot");
      const given = values[key];
      if (given === undefined) {
        if (!isNegated) return false;
        continue;
      }
      const filled = wanted.map((each) => fill(each, values));
      const isMatched = filled.some(
        (each) => each !== undefined && given.some((one) => like(each, one)),
      );
      if (isMatched === isNegated) return false;
      if (isNegated && filled.includes(undefined)) isUnclear = true;
    }
  }
  return isUnclear ? undefined : true;
}

type Kind = "none" | "account" | "self";
function matchesWho(who: unknown, principal: Principal): Kind {
  if (who === "*") return "self";
  const list = (who as { readonly AWS: readonly string[] }).AWS;
  let kind: Kind = "none";
  for (const each of list) {
    if (each === "*" || each === principal.arn) return "self";
    if (each === `arn:aws:iam::${principal.account}:root`)
      kind = principal.kind === "root" ? "self" : "account";
    if (kind === "self") return kind;
  }
  return kind;
}

/** Whether the statement speaks of the question; `undefined`: it cannot be told. */
function applies(
  statement: RawStatement,
  question: PlainQuestion,
  principal: Principal,
): boolean | undefined {
  const isAction = (list: readonly string[]) =>
    list.some((each) => like(each.toLowerCase(), question.action.toLowerCase()));
  if (statement.Action ? !isAction(statement.Action) : isAction(statement.NotAction!)) return false;
  if (statement.Principal !== undefined && matchesWho(statement.Principal, principal) === "none")
    return false;
  if (
    statement.NotPrincipal !== undefined &&
    matchesWho(statement.NotPrincipal, principal) === "self"
  )
    return false;
  const filled = (statement.Resource ?? statement.NotResource)!.map((each) =>
    fill(each, question.values),
  );
  const isNamed = filled.some((each) => each !== undefined && like(each, question.resource));
  if (statement.Resource ? !isNamed : isNamed) return false;
  const held = conditionsHold(statement, question);
  if (held === false) return false;
  return statement.NotResource && filled.includes(undefined) ? undefined : held;
}

export function isAllowedPlainly(
  question: PlainQuestion,
  principal: Principal,
  identity: readonly RawPolicy[],
  session: readonly RawPolicy[],
  side: PlainSide,
): boolean {
  const says = (policy: RawPolicy, effect: "Allow" | "Deny") =>
    policy.Statement.filter((each) => each.Effect === effect).map((each) => ({
      each,
      verdict: applies(each, question, principal),
    }));
  const denies = (policy: RawPolicy) =>
    says(policy, "Deny").some(({ verdict }) => verdict !== false);
  const allows = (policy: RawPolicy) =>
    says(policy, "Allow").some(({ verdict }) => verdict === true);
  const isOwnRoot = principal.kind === "root" && principal.account === side.bucketOwner;
  const isMending = isOwnRoot && /^s3:(Get|Put|Delete)BucketPolicy$/.test(question.action);
  if (side.policy && !isMending && denies(side.policy)) return false;
  if (principal.kind !== "root" && identity.some(denies)) return false;
  if (session.some(denies)) return false;
  const grants = side.policy
    ? says(side.policy, "Allow")
        .filter(({ verdict }) => verdict === true)
        .map(({ each }) => matchesWho(each.Principal, principal))
    : [];
  if (principal.kind === "anonymous") return grants.includes("self") || side.isGranted;
  if (!session.every(allows)) return false;
  const byIdentity = principal.kind === "root" || identity.some(allows);
  if (principal.account === side.bucketOwner) {
    return byIdentity || grants.includes("self") || side.isGranted;
  }
  return byIdentity && (grants.length > 0 || side.isGranted);
}
