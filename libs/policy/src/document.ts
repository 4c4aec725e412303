/** A policy as it is evaluated: parsed, checked, patterns cut into pieces. */
import type { Operator } from "./operators.ts";
import type { Template } from "./template.ts";

/** Variables mean something from 2012-10-17 on; before, `${…}` is text. */
export type PolicyVersion = "2008-10-17" | "2012-10-17";

/** Whose policy it is: of a user or role, of a bucket, or of one session or access key. */
export type PolicyKind = "identity" | "resource" | "session";

export interface PolicyDocument {
  readonly version: PolicyVersion;
  /** At least one. */
  readonly statements: readonly Statement[];
}

/** A list that matches when any of its members does, or, when `isNot`, when none does. */
export interface Matcher<T> {
  readonly isNot: boolean;
  readonly members: readonly T[];
}

export type PrincipalPattern =
  | { readonly kind: "everyone" }
  /** The whole account; 12 digits. */
  | { readonly kind: "account"; readonly account: string }
  | { readonly kind: "arn"; readonly arn: string }
  /** Canonical id: 64 hex digits. */
  | { readonly kind: "canonical"; readonly id: string }
  /** ARN of an identity provider: whoever shows a token of its, in trust policies alone. */
  | { readonly kind: "federated"; readonly provider: string }
  /** Services, which this system has none of: matches nobody. */
  | { readonly kind: "nobody" };

export interface Statement {
  readonly sid: string | undefined;
  readonly effect: "Allow" | "Deny";
  /** Undefined in policies of identities and sessions. */
  readonly principals: Matcher<PrincipalPattern> | undefined;
  /** Lower case: actions are compared without case. */
  readonly actions: Matcher<Template>;
  readonly resources: Matcher<Template>;
  /** All must hold. */
  readonly conditions: readonly Condition[];
}

export interface Condition {
  readonly operator: Operator;
  /** Normalised by `normaliseKey`. */
  readonly key: string;
  /** At least one. */
  readonly values: readonly ConditionValue[];
}

/** A value of a condition: as text with variables, and as what its operator compares. */
export type ConditionValue =
  | { readonly kind: "text"; readonly template: Template }
  | { readonly kind: "number"; readonly number: number }
  | { readonly kind: "bool"; readonly bool: boolean }
  | { readonly kind: "network"; readonly network: Network };

/** A CIDR block: `size` bytes of address, 4 or 16. */
export interface Network {
  readonly address: Uint8Array;
  readonly prefix: number;
}
