/**
 * Who may do what: policy documents, principals, ACLs, and the one evaluator. Pure.
 *
 * `parsePolicy` takes JSON and knows every element, operator, key and variable that it lets through; anything
 * else is a `PolicyFault`, which S3 calls MalformedPolicy. `evaluate` answers one question for one principal:
 * Deny before Allow before no. Invariants: a Deny always wins; adding an Allow takes nothing away; a policy
 * that cannot be read (`readStoredPolicy`) refuses everything; a condition that cannot be told counts for a
 * Deny and against an Allow; no pattern costs more than its length times the text's.
 */
export {
  type Acl,
  type AclGroup,
  aclGrants,
  aclGroups,
  aclPermission,
  type CannedAcl,
  cannedAcl,
  cannedAcls,
  type Grant,
  type Grantee,
  isPlainAcl,
  isPrivateAcl,
  isPublicAcl,
  type Permission,
  permissions,
} from "./acl.ts";
export { isKnownAction } from "./actions.ts";
export { builtInPolicies } from "./built-in.ts";
export type { PolicyDocument } from "./document.ts";
export { evaluate, mayEverAllow } from "./evaluate.ts";
export { parsePolicy, readStoredPolicy } from "./parse-policy.ts";
export { PolicyFault } from "./policy-fault.ts";
export {
  anonymousPrincipal,
  federatedPrincipal,
  type Principal,
  roleArn,
  rolePrincipal,
  rootPrincipal,
  userArn,
  userPrincipal,
} from "./principal.ts";
export { decodeAcl, encodeAcl } from "./stored-acl.ts";
export { decodeBucketPolicy, encodeBucketPolicy } from "./stored-policy.ts";
export { isPublicPolicy } from "./public-policy.ts";
export { type RequestContext } from "./match-conditions.ts";
export {
  isTrusted,
  parseTrustPolicy,
  providerArn,
  readTrustPolicy,
  type TrustPolicy,
} from "./trust.ts";
