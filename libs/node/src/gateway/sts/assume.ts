import type { SessionTokens, TemporaryCredentials } from "@kiseki/auth";
import { type TenantId, type WallTime, wallTime } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import {
  evaluate,
  isTrusted,
  parsePolicy,
  PolicyFault,
  type Principal,
  type RequestContext,
  type TrustPolicy,
} from "@kiseki/policy";
import {
  type AssumeRoleCall,
  isStsFault,
  type StsFault,
  stsFault,
  type StsResult,
} from "@kiseki/sts";
import type { Identity } from "../identity.ts";

export interface AssumeParts {
  readonly catalog: Catalog;
  readonly tokens: SessionTokens;
}
type SessionParts = Parameters<SessionTokens["issue"]>[0];

/** Of sessions that a session asks for, as at AWS. */
const chainedSecondsMax = 3600;
const rootSecondsMax = 3600;
const sessionTokenSeconds = 43_200;

export function sessionToken(
  { tokens }: AssumeParts,
  caller: Identity,
  wanted: number | undefined,
  now: WallTime,
): StsResult | StsFault {
  const { principal, accessKeyId } = caller;
  if (principal.tokenIssued !== undefined) {
    return stsFault("AccessDenied", "Cannot call GetSessionToken with session credentials");
  }
  // The root's are good for an hour at most, as at AWS.
  const seconds =
    principal.kind === "root"
      ? Math.min(wanted ?? rootSecondsMax, rootSecondsMax)
      : (wanted ?? sessionTokenSeconds);
  const credentials = issue(tokens, {
    ...ofUser(principal, accessKeyId),
    ...timesOf(now, seconds),
    policyNames: [],
    tags: [],
  });
  return isStsFault(credentials) ? credentials : { kind: "session_token", credentials };
}

const ofUser = (principal: Principal, parentKey: string) =>
  ({ kind: "user", tenant: principal.tenant as TenantId, parentKey, claims: [] }) as const;

export const timesOf = (now: WallTime, seconds: number) => ({
  issued: now,
  expires: wallTime(now + seconds * 1000),
});

/** The caller's own rights, narrowed: what MinIO's tools ask of AssumeRole. */
export function assumeOwn(
  { catalog, tokens }: AssumeParts,
  caller: Identity,
  call: AssumeRoleCall,
  now: WallTime,
): StsResult | StsFault {
  const { principal, accessKeyId } = caller;
  if (principal.tokenIssued !== undefined) {
    return stsFault(
      "AccessDenied",
      "Cannot call AssumeRole without a role with session credentials",
    );
  }
  const narrowing = narrowingOf(catalog, principal.tenant as TenantId, principal.account, call);
  if (isStsFault(narrowing)) return narrowing;
  const { sessionName } = call;
  const credentials = issue(tokens, {
    ...ofUser(principal, accessKeyId),
    ...timesOf(now, call.seconds),
    ...narrowing,
    ...(sessionName === undefined ? {} : { sessionName }),
    tags: call.tags,
  });
  if (isStsFault(credentials)) return credentials;
  const id = sessionName === undefined ? principal.userId : `${principal.userId}:${sessionName}`;
  return { kind: "assumed_role", credentials, user: { arn: principal.arn, id } };
}

/** A role of the caller's tenant that trusts him. */
export function assumeRole(
  { catalog, tokens }: AssumeParts,
  caller: Identity,
  call: AssumeRoleCall,
  now: WallTime,
  context: RequestContext,
): StsResult | StsFault {
  const { principal, origin } = caller;
  const arn = call.role!.text;
  const found = catalog.roles.find(call.role!.account, call.role!.name);
  const role = found?.account === principal.account ? found : undefined;
  if (role === undefined || !mayAssume(role.trust, principal, call, context)) {
    const why = `User: ${principal.arn} is not authorized to perform: sts:AssumeRole on resource: ${arn}`;
    return stsFault("AccessDenied", why);
  }
  const isChained = principal.tokenIssued !== undefined;
  const secondsMax = isChained ? chainedSecondsMax : role.secondsMax;
  if (call.seconds > secondsMax) return durationFault(isChained);
  const narrowing = narrowingOf(catalog, role.tenant, role.account, call);
  if (isStsFault(narrowing)) return narrowing;
  const sessionName = call.sessionName!;
  const credentials = issue(tokens, {
    kind: "role",
    tenant: role.tenant,
    role: role.id,
    sessionName,
    ...origin,
    ...timesOf(now, call.seconds),
    ...narrowing,
    claims: [],
    tags: call.tags,
  });
  if (isStsFault(credentials)) return credentials;
  return { kind: "assumed_role", credentials, user: assumedUser(role, sessionName) };
}

export const assumedUser = (
  { account, name, id }: { readonly account: string; readonly name: string; readonly id: string },
  sessionName: string,
) => ({
  arn: `arn:aws:sts::${account}:assumed-role/${name}/${sessionName}`,
  id: `${id}:${sessionName}`,
});

export function durationFault(isChained = false): StsFault {
  return stsFault(
    "ValidationError",
    isChained
      ? "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
      : "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
  );
}

function mayAssume(
  trust: TrustPolicy,
  principal: Principal,
  call: AssumeRoleCall,
  context: RequestContext,
): boolean {
  const decisionOn = (action: string) =>
    evaluate({ action, resource: call.role!.text, context }, principal, {
      bucketOwner: principal.account,
      owner: principal.account,
      policy: undefined,
      isRestricted: false,
      isGranted: () => false,
    });
  const may = (action: "sts:AssumeRole" | "sts:TagSession"): boolean => {
    const decision = decisionOn(action);
    if (decision === "denied_by_policy") return false;
    const isAllowed = decision === "allowed";
    // What narrows the caller narrows this too, also where the role trusts him by name.
    if (!isAllowed && principal.sessionPolicies.length > 0) return false;
    return isTrusted(trust, action, { kind: "principal", principal, isAllowed }, context);
  };
  return may("sts:AssumeRole") && (call.tags.length === 0 || may("sts:TagSession"));
}

const policyArnForm = /^arn:aws:iam::(\d{12}|aws):policy\/([\w+=,.@-]{1,128})$/;

/** The session policy as it will be stored, and managed ones by name. */
export function narrowingOf(
  catalog: Catalog,
  tenant: TenantId,
  account: string,
  { policy, policyArns }: Pick<AssumeRoleCall, "policy" | "policyArns">,
): Pick<SessionParts, "policy" | "policyNames"> | StsFault {
  const policyNames: string[] = [];
  if (policyArns.length > 0) {
    const known = new Set(catalog.policies(tenant).map(({ name }) => name));
    for (const arn of policyArns) {
      const [, owner, name] = policyArnForm.exec(arn) ?? [];
      const isHere = owner === account || owner === "aws";
      if (!isHere || name === undefined || !known.has(name)) {
        return stsFault("ValidationError", `There is no policy ${arn.slice(0, 256)}`);
      }
      policyNames.push(name);
    }
  }
  if (policy === undefined) return { policyNames };
  try {
    parsePolicy(policy, { kind: "session" });
  } catch (reason) {
    if (!(reason instanceof PolicyFault)) throw reason;
    return stsFault("MalformedPolicyDocument", reason.message);
  }
  return { policyNames, policy };
}

export function issue(
  tokens: SessionTokens,
  session: SessionParts,
): TemporaryCredentials | StsFault {
  const credentials = tokens.issue(session);
  if (credentials !== undefined) return credentials;
  const why = "Session policy, tags and claims together are more than a token can hold.";
  return stsFault("PackedPolicyTooLarge", why);
}
