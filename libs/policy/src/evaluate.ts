/**
 * The one evaluator. A Deny anywhere wins; else some policy must allow; else the answer is no. What
 * cannot be told (see `Verdict`) counts for a Deny and against an Allow.
 */
import type { Matcher, PolicyDocument, PrincipalPattern, Statement } from "./document.ts";
import { normaliseKey } from "./keys.ts";
import {
  matchConditions,
  type RequestContext,
  resolverOf,
  type Verdict,
} from "./match-conditions.ts";
import type { Principal } from "./principal.ts";
import {
  matchTemplate,
  mayMatchBehind,
  type Resolve,
  resolveTemplate,
  type Template,
} from "./template.ts";

export interface Question {
  /** As AWS writes it, `s3:GetObject`. */
  readonly action: string;
  /** ARN of bucket or object; `*` for calls on neither. */
  readonly resource: string;
  readonly context: RequestContext;
}

/** What stands on the resource's side. */
export interface ResourceSide {
  /** Account that owns the bucket. */
  readonly bucketOwner: string;
  /** Account that owns what is asked for: the bucket's, or an object's writer. */
  readonly owner: string;
  readonly policy: PolicyDocument | undefined;
  /** RestrictPublicBuckets over a public policy: it lets in nobody from outside the account. */
  readonly isRestricted: boolean;
  /** Whether an ACL grants what is asked for; see `aclGrants`. */
  readonly isGranted: () => boolean;
}

export type Decision = "allowed" | "denied_by_policy" | "not_allowed";

/** What the root of the bucket's account may do whatever its policy says: or nobody could mend it. */
const rootActions: ReadonlySet<string> = new Set([
  "s3:DeleteBucketPolicy",
  "s3:GetBucketPolicy",
  "s3:PutBucketPolicy",
]);

/** How far a bucket's policy lets somebody in. */
type Grant = "none" | "account" | "principal" | "session";

export function evaluate(question: Question, principal: Principal, side: ResourceSide): Decision {
  const asked = { ...question, action: question.action.toLowerCase() };
  const resolve = resolverOf(question.context, normaliseKey);
  const isOwnRoot = principal.kind === "root" && principal.account === side.bucketOwner;
  const isExempt = isOwnRoot && rootActions.has(question.action);
  const denies = (policy: PolicyDocument): boolean =>
    policy.statements.some(
      (statement) =>
        statement.effect === "Deny" &&
        matchStatement(statement, asked, resolve, principal) !== false,
    );
  const { policies, sessionPolicies } = principal;
  if (side.policy !== undefined && !isExempt && denies(side.policy)) return "denied_by_policy";
  if (principal.kind !== "root" && policies.some(denies)) return "denied_by_policy";
  if (sessionPolicies.some(denies)) return "denied_by_policy";

  const allows = (policy: PolicyDocument): boolean =>
    policy.statements.some(
      (statement) =>
        statement.effect === "Allow" &&
        matchStatement(statement, asked, resolve, principal) === true,
    );
  const grant = grantOf(asked, principal, side, resolve);
  const isOwner = principal.account === side.owner && principal.kind !== "anonymous";
  if (isOwner && grant === "session") return "allowed";
  if (!sessionPolicies.every(allows)) return "not_allowed";
  if (principal.kind === "anonymous") {
    return grant === "principal" || side.isGranted() ? "allowed" : "not_allowed";
  }
  const isIdentityAllowed = principal.kind === "root" || policies.some(allows);
  if (isOwner) {
    const isIn = isIdentityAllowed || grant === "principal" || side.isGranted();
    return isIn ? "allowed" : "not_allowed";
  }
  // Somebody else's: both accounts must say yes.
  return isIdentityAllowed && (grant !== "none" || side.isGranted()) ? "allowed" : "not_allowed";
}

/**
 * Whether there is any resource whose ARN begins so, and any request, for which `principal` could be allowed the action:
 * false is certain, true says nothing. For refusing before a body that names the resources is read.
 */
export function mayEverAllow(
  { action, prefix }: { readonly action: string; readonly prefix: string },
  principal: Principal,
  owner: string,
  policy: PolicyDocument | undefined,
): boolean {
  const asked = action.toLowerCase();
  const allows = ({ effect, principals, actions, resources }: Statement): boolean =>
    effect === "Allow" &&
    matchAction(actions, asked) &&
    (resources.isNot || resources.members.some((each) => mayMatchBehind(each, prefix))) &&
    (principals === undefined || matchPrincipals(principals, principal));
  const isNarrowed = principal.sessionPolicies.some(({ statements }) => !statements.some(allows));
  if (isNarrowed && principal.kind !== "session") return false; // a session may be named by itself
  const isOwner = principal.kind !== "anonymous" && principal.account === owner;
  if (isOwner && principal.kind === "root") return true;
  const byIdentity =
    principal.kind === "root" ||
    principal.policies.some(({ statements }) => statements.some(allows));
  const byBucket = policy?.statements.some(allows) === true;
  if (principal.kind === "anonymous") return byBucket;
  return isOwner ? byIdentity || byBucket : byIdentity && byBucket;
}

function grantOf(
  question: Question,
  principal: Principal,
  side: ResourceSide,
  resolve: Resolve,
): Grant {
  const { policy, isRestricted, owner, bucketOwner } = side;
  if (policy === undefined || owner !== bucketOwner) return "none";
  if (isRestricted && principal.account !== bucketOwner) return "none";
  let best: Grant = "none";
  for (const statement of policy.statements) {
    if (statement.effect !== "Allow" || statement.principals === undefined) continue;
    if (matchStatement(statement, question, resolve, principal) !== true) continue;
    for (const pattern of statement.principals.members) {
      best = better(best, matchPrincipal(pattern, principal));
    }
  }
  return best;
}

const grantOrder: readonly Grant[] = ["none", "account", "principal", "session"];
const better = (a: Grant, b: Grant): Grant =>
  grantOrder.indexOf(a) >= grantOrder.indexOf(b) ? a : b;

function matchStatement(
  statement: Statement,
  { action, resource, context }: Question,
  resolve: Resolve,
  principal: Principal,
): Verdict {
  if (!matchAction(statement.actions, action)) return false;
  const { principals } = statement;
  if (principals !== undefined && !matchPrincipals(principals, principal)) return false;
  const onResource = matchResource(statement.resources, resource, resolve);
  if (onResource === false) return false;
  const held = matchConditions(statement.conditions, context, resolve);
  return held === false ? false : onResource === undefined ? undefined : held;
}

function matchAction({ isNot, members }: Matcher<Template>, action: string): boolean {
  return members.some((member) => matchTemplate(member, action)) !== isNot;
}

function matchResource(
  { isNot, members }: Matcher<Template>,
  resource: string,
  resolve: Resolve,
): Verdict {
  let isUnresolved = false;
  for (const member of members) {
    const template = resolveTemplate(member, resolve);
    if (template === undefined) isUnresolved = true;
    else if (matchTemplate(template, resource)) return !isNot;
  }
  // A variable without a value names no resource; what it does not name cannot be told.
  return isNot ? (isUnresolved ? undefined : true) : false;
}

function matchPrincipals(
  { isNot, members }: Matcher<PrincipalPattern>,
  principal: Principal,
): boolean {
  // An account stands for all in it; but left out of a Deny is its root alone.
  const isMatched = members.some((pattern) => {
    const grant = matchPrincipal(pattern, principal);
    return isNot ? grant === "principal" || grant === "session" : grant !== "none";
  });
  return isMatched !== isNot;
}

function matchPrincipal(pattern: PrincipalPattern, principal: Principal): Grant {
  const isRoot = principal.kind === "root";
  switch (pattern.kind) {
    case "everyone":
      return "principal";
    case "account": {
      const isSame = principal.account === pattern.account;
      return isSame ? (isRoot ? "principal" : "account") : "none";
    }
    case "canonical": {
      const isSame = principal.canonicalId === pattern.id;
      return isSame ? (isRoot ? "principal" : "account") : "none";
    }
    case "arn":
      if (principal.arn === pattern.arn)
        return principal.kind === "session" ? "session" : "principal";
      return principal.issuerArn === pattern.arn ? "principal" : "none";
    default:
      return "none";
  }
}
