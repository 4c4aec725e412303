/** Every request that this STS understands, typed. Sizes and forms were checked. */

/** Narrows what credentials may do: a policy of their own, and managed policies by ARN. */
interface Narrowing {
  /** JSON, 1 to 2,048 characters; not yet parsed. */
  readonly policy: string | undefined;
  /** At most 10. */
  readonly policyArns: readonly string[];
}

export interface AssumeRoleCall extends Narrowing {
  readonly kind: "assume_role";
  /** Undefined: the caller's own rights, narrowed; so are ARNs that name no role. */
  readonly role: RoleArn | undefined;
  readonly sessionName: string | undefined;
  readonly seconds: number;
  readonly externalId: string | undefined;
  readonly tags: readonly (readonly [name: string, value: string])[];
}
export interface WebIdentityCall extends Narrowing {
  readonly kind: "assume_role_with_web_identity";
  /** Undefined: the rights that a claim of the token names. */
  readonly role: RoleArn | undefined;
  readonly sessionName: string | undefined;
  readonly seconds: number | undefined;
  readonly token: string;
}

/** `arn:aws:iam::123456789012:role/name` */
export interface RoleArn {
  readonly account: string;
  readonly name: string;
  readonly text: string;
}

export type StsCall =
  | AssumeRoleCall
  | WebIdentityCall
  | { readonly kind: "get_caller_identity" }
  | { readonly kind: "get_session_token"; readonly seconds: number | undefined };
