import { algorithm, type Credential, readCredential, versionFault } from "./credential.ts";
import { type AuthFault, authFault } from "./fault.ts";
import { parseSignedDate } from "./request-date.ts";

/** The signature of a browser's form as it arrived, well-formed but not yet checked. */
export interface FormClaim extends Omit<Credential, "kind"> {
  readonly kind: "claim";
  /** Base64, as signed. */
  readonly policy: string;
  readonly signature: string;
  readonly sessionToken: string | undefined;
}

/** All of them, or none: half a signature is no anonymous form. */
const wanted = [
  ["policy", "policy"],
  ["x-amz-algorithm", "X-Amz-Algorithm"],
  ["x-amz-credential", "X-Amz-Credential"],
  ["x-amz-date", "X-Amz-Date"],
  ["x-amz-signature", "X-Amz-Signature"],
] as const;
const tokenName = "x-amz-security-token";

/** Finds the signature among a form's fields, by lower-case name; `undefined` when it carries none at all. */
export function readFormClaim(
  fields: ReadonlyMap<string, string>,
  region: string | undefined,
): FormClaim | AuthFault | undefined {
  if (fields.has("awsaccesskeyid") || fields.has("signature")) {
    return versionFault(' In boto3: Config(signature_version="s3v4").');
  }
  if (!fields.has(tokenName) && !wanted.some(([name]) => fields.has(name))) return undefined;
  const missing = wanted.find(([name]) => !fields.get(name));
  if (missing !== undefined) return missingFault(missing[1]);
  const field = (name: (typeof wanted)[number][0]): string => fields.get(name)!;
  if (field("x-amz-algorithm") !== algorithm) {
    return fieldFault("X-Amz-Algorithm", `only supports "${algorithm}"`);
  }
  const credential = readCredential(field("x-amz-credential"), { region, service: "s3" }, (why) =>
    fieldFault("X-Amz-Credential", `cannot be read; ${why}`),
  );
  if (credential.kind === "fault") return credential;
  const date = parseSignedDate(field("x-amz-date"));
  if (date === undefined) {
    return fieldFault("X-Amz-Date", "must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  }
  if (!date.text.startsWith(credential.day)) {
    return fieldFault("X-Amz-Date", "is not of the credential's day");
  }
  return {
    ...credential,
    kind: "claim",
    policy: field("policy"),
    signature: field("x-amz-signature"),
    sessionToken: fields.get(tokenName),
  };
}

function missingFault(name: string): AuthFault {
  return authFault(
    "InvalidArgument",
    `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`,
    { ArgumentName: name, ArgumentValue: "" },
  );
}

function fieldFault(name: string, why: string): AuthFault {
  return authFault("InvalidArgument", `${name} ${why}.`, { ArgumentName: name });
}
