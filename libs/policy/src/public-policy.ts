/** "The meaning of public" of the Amazon S3 User Guide: whether a policy lets in people that nobody chose. */
import type { Condition, PolicyDocument, Statement } from "./document.ts";

/** Keys that tie a grant to somebody when they are compared with fixed values. */
const tyingKeys: ReadonlySet<string> = new Set([
  "aws:principalaccount",
  "aws:principalarn",
  "aws:principalorgid",
  "aws:resourceaccount",
  "aws:sourceaccount",
  "aws:sourcearn",
  "aws:sourcevpc",
  "aws:sourcevpce",
  "aws:userid",
  "aws:username",
  "s3:dataaccesspointaccount",
  "s3:dataaccesspointarn",
  "s3:x-amz-server-side-encryption-aws-kms-key-id",
]);
const prefixMin = { 4: 8, 16: 32 } as const;

export function isPublicPolicy({ statements }: PolicyDocument): boolean {
  return statements.some(isPublicStatement);
}

function isPublicStatement({ effect, principals, conditions }: Statement): boolean {
  if (effect === "Deny") return false;
  const isOpen =
    principals === undefined ||
    principals.isNot ||
    principals.members.some(({ kind }) => kind === "everyone");
  return isOpen && !conditions.some(isTying);
}

function isTying({ operator, key, values }: Condition): boolean {
  // A key that may be absent, or that must differ, ties nobody.
  if (operator.isNegated || operator.isIfExists || operator.quantifier === "all") return false;
  if (key === "aws:sourceip") {
    return values.every(
      (value) => value.kind === "network" && isNarrow(value.network.address, value.network.prefix),
    );
  }
  if (!tyingKeys.has(key) || operator.comparison === "null") return false;
  return values.every(
    (value) =>
      value.kind === "text" && !value.template.hasVariables && !value.template.hasWildcards,
  );
}

function isNarrow(address: Uint8Array, prefix: number): boolean {
  return prefix >= (address.byteLength === 4 ? prefixMin[4] : prefixMin[16]);
}
