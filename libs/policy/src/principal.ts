/** Who asks, once the signature was verified: what policies and ACLs are evaluated for. */
import type { TenantId, WallTime } from "@kiseki/base";
import type { PolicyDocument } from "./document.ts";

export interface Principal {
  /** `session`: temporary credentials of a role; those of a user are `user`, with `tokenIssued`. */
  readonly kind: "root" | "user" | "session" | "anonymous";
  /** Undefined for `anonymous` alone. */
  readonly tenant: TenantId | undefined;
  /** 12 digits, of the tenant; empty for `anonymous`. */
  readonly account: string;
  /** 64 hex digits that stand for the account in ACLs; empty for `anonymous`. */
  readonly canonicalId: string;
  /** Empty for `anonymous`. */
  readonly arn: string;
  /** Of a session: the role that it came from. */
  readonly issuerArn: string | undefined;
  /** `aws:username`: of users alone. */
  readonly userName: string | undefined;
  /** `aws:userid`. */
  readonly userId: string;
  /** Of user, groups or role. Means nothing for `root`, who may do everything in the account. */
  readonly policies: readonly PolicyDocument[];
  /** What else may be said no to: of the session, or of the access key. */
  readonly sessionPolicies: readonly PolicyDocument[];
  /** Of temporary credentials. */
  readonly tokenIssued: WallTime | undefined;
  /** `aws:PrincipalTag/…`. */
  readonly tags: ReadonlyMap<string, string>;
  /** `jwt:…`: claims of the token that a federated session came from. */
  readonly claims: ReadonlyMap<string, string>;
}

const none: ReadonlyMap<string, string> = new Map();

export const anonymousPrincipal: Principal = {
  kind: "anonymous",
  tenant: undefined,
  account: "",
  canonicalId: "",
  arn: "",
  issuerArn: undefined,
  userName: undefined,
  userId: "anonymous",
  policies: [],
  sessionPolicies: [],
  tokenIssued: undefined,
  tags: none,
  claims: none,
};

interface Account {
  readonly tenant: TenantId;
  readonly account: string;
  readonly canonicalId: string;
}

/** The root of an account. */
export function rootPrincipal(
  account: Account,
  sessionPolicies: readonly PolicyDocument[],
): Principal {
  return {
    ...anonymousPrincipal,
    ...account,
    kind: "root",
    arn: `arn:aws:iam::${account.account}:root`,
    userId: account.account,
    sessionPolicies,
  };
}

export function userPrincipal(
  account: Account,
  user: { readonly id: string; readonly name: string },
  policies: readonly PolicyDocument[],
  sessionPolicies: readonly PolicyDocument[],
): Principal {
  return {
    ...anonymousPrincipal,
    ...account,
    kind: "user",
    arn: userArn(account.account, user.name),
    userName: user.name,
    userId: user.id,
    policies,
    sessionPolicies,
  };
}

/** What temporary credentials add to whom they stand for. */
interface SessionFacts {
  readonly sessionPolicies: readonly PolicyDocument[];
  readonly tokenIssued: WallTime;
  readonly tags: ReadonlyMap<string, string>;
  readonly claims: ReadonlyMap<string, string>;
}

/** Temporary credentials of a role. */
export function rolePrincipal(
  account: Account,
  role: { readonly id: string; readonly name: string; readonly sessionName: string },
  policies: readonly PolicyDocument[],
  facts: SessionFacts,
): Principal {
  return {
    ...anonymousPrincipal,
    ...account,
    ...facts,
    kind: "session",
    arn: `arn:aws:sts::${account.account}:assumed-role/${role.name}/${role.sessionName}`,
    issuerArn: roleArn(account.account, role.name),
    userId: `${role.id}:${role.sessionName}`,
    policies,
  };
}

/** Temporary credentials with the policies that a provider's token named. */
export function federatedPrincipal(
  account: Account,
  name: string,
  policies: readonly PolicyDocument[],
  facts: SessionFacts,
): Principal {
  return {
    ...anonymousPrincipal,
    ...account,
    ...facts,
    kind: "session",
    arn: `arn:aws:sts::${account.account}:federated-user/${name}`,
    userId: name,
    policies,
  };
}

export function roleArn(account: string, name: string): string {
  return `arn:aws:iam::${account}:role/${name}`;
}

export function userArn(account: string, name: string): string {
  return `arn:aws:iam::${account}:user/${name}`;
}
