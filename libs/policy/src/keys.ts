/** Condition keys that a policy may name. What is not here is refused when a policy is put. */

const plainKeys: ReadonlySet<string> = new Set([
  "aws:calledvia",
  "aws:calledviafirst",
  "aws:calledvialast",
  "aws:currenttime",
  "aws:epochtime",
  "aws:federatedprovider",
  "aws:multifactorauthage",
  "aws:multifactorauthpresent",
  "aws:principalaccount",
  "aws:principalarn",
  "aws:principalisawsservice",
  "aws:principalorgid",
  "aws:principalorgpaths",
  "aws:principalservicename",
  "aws:principaltype",
  "aws:referer",
  "aws:requestedregion",
  "aws:resourceaccount",
  "aws:resourceorgid",
  "aws:resourceorgpaths",
  "aws:securetransport",
  "aws:sourceaccount",
  "aws:sourcearn",
  "aws:sourceidentity",
  "aws:sourceip",
  "aws:sourceorgid",
  "aws:sourcevpc",
  "aws:sourcevpce",
  "aws:tagkeys",
  "aws:tokenissuetime",
  "aws:useragent",
  "aws:userid",
  "aws:username",
  "aws:viaawsservice",
  "aws:vpcsourceip",
  "s3:accesspointnetworkorigin",
  "s3:authtype",
  "s3:dataaccesspointaccount",
  "s3:dataaccesspointarn",
  "s3:delimiter",
  "s3:if-match",
  "s3:if-none-match",
  "s3:locationconstraint",
  "s3:max-keys",
  "s3:object-lock-legal-hold",
  "s3:object-lock-mode",
  "s3:object-lock-remaining-retention-days",
  "s3:object-lock-retain-until-date",
  "s3:objectcreationoperation",
  "s3:prefix",
  "s3:requestobjecttagkeys",
  "s3:resourceaccount",
  "s3:signatureage",
  "s3:signatureversion",
  "s3:tlsversion",
  "s3:versionid",
  "s3:x-amz-acl",
  "s3:x-amz-content-sha256",
  "s3:x-amz-copy-source",
  "s3:x-amz-grant-full-control",
  "s3:x-amz-grant-read",
  "s3:x-amz-grant-read-acp",
  "s3:x-amz-grant-write",
  "s3:x-amz-grant-write-acp",
  "s3:x-amz-metadata-directive",
  "s3:x-amz-object-ownership",
  "s3:x-amz-server-side-encryption",
  "s3:x-amz-server-side-encryption-aws-kms-key-id",
  "s3:x-amz-server-side-encryption-customer-algorithm",
  "s3:x-amz-storage-class",
  "s3:x-amz-website-redirect-location",
  "sts:externalid",
  "sts:rolesessionname",
]);
/** Followed by the name of a tag or claim, which keeps its case. */
const namedKeys: readonly string[] = [
  "aws:principaltag/",
  "aws:requesttag/",
  "aws:resourcetag/",
  "jwt:",
  "s3:buckettag/",
  "s3:existingobjecttag/",
  "s3:requestobjecttag/",
];
/** Keys whose values may be many; a variable cannot stand for them. */
const manyKeys: ReadonlySet<string> = new Set([
  "aws:calledvia",
  "aws:principalorgpaths",
  "aws:resourceorgpaths",
  "aws:tagkeys",
  "s3:requestobjecttagkeys",
]);

/** The one form of a key's name, by which requests answer for it; `undefined`: no such key. */
export function normaliseKey(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (plainKeys.has(lower)) return lower;
  for (const prefix of namedKeys) {
    if (lower.startsWith(prefix) && lower.length > prefix.length) {
      return prefix + name.slice(prefix.length);
    }
  }
  return undefined;
}

/** Whether the key may stand in `${…}`. */
export function isVariableKey(name: string): boolean {
  const key = normaliseKey(name);
  return key !== undefined && !manyKeys.has(key);
}
