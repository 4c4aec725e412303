import { headerValue, headerValues, type QueryPair, type RequestHead } from "@kiseki/http";
import { type AuthFault, authFault } from "./fault.ts";
import { parseDateHeader, parseSignedDate, type SignedDate } from "./request-date.ts";

/** The services that a scope may name here. */
export type Service = "s3" | "sts";

/** What a scope must say. */
export interface ScopeWanted {
  /** `undefined`: any. */
  readonly region: string | undefined;
  readonly service: Service;
}

/** A signature as it arrived, well-formed but not yet checked. */
export interface SignatureClaim {
  readonly kind: "claim";
  readonly form: "header" | "query";
  readonly accessKeyId: string;
  /** `20130524/us-east-1/s3/aws4_request` */
  readonly scope: string;
  readonly day: string;
  readonly region: string;
  readonly service: Service;
  readonly date: SignedDate;
  /** Lower case, in the order signed. */
  readonly signedHeaders: readonly string[];
  /** The same, as it was sent. */
  readonly signedText: string;
  /** 64 lower-case hex digits. */
  readonly signature: string;
  readonly sessionToken: string | undefined;
  /** Seconds that a presigned request is good for; `undefined` for the header form. */
  readonly expiresIn: number | undefined;
}

export const algorithm = "AWS4-HMAC-SHA256";
const expiresInMax = 604_800; // a week
/** More than a head may have: each name is looked up before anybody is known. */
const signedHeadersMax = 128;
const signaturePattern = /^[0-9a-f]{64}$/;

const isSigV2Query = (pairs: readonly QueryPair[]): boolean =>
  pairs.some(({ name }) => name === "AWSAccessKeyId") &&
  pairs.some(({ name }) => name === "Signature");
const isSigV4Query = (pairs: readonly QueryPair[]): boolean =>
  pairs.some(({ name }) => name === "X-Amz-Algorithm" || name === "X-Amz-Signature");

/** Finds the signature of a request; `undefined` when it carries none at all. */
export function readClaim(
  head: RequestHead,
  pairs: readonly QueryPair[],
  wanted: ScopeWanted,
): SignatureClaim | AuthFault | undefined {
  const authorizations = headerValues(head.headers, "authorization");
  const isQuery = isSigV4Query(pairs);
  if (authorizations.length > 1 || (authorizations.length === 1 && isQuery)) {
    return authFault(
      "InvalidArgument",
      "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
      { ArgumentName: "Authorization" },
    );
  }
  if (isQuery) return readQueryClaim(pairs, wanted);
  const authorization = authorizations[0];
  if (authorization !== undefined) return readHeaderClaim(head, authorization, wanted);
  // boto3 presigns by version 2 in regions that once knew it, us-east-1 among them, unless it is told not to.
  const hint =
    ' In boto3: Config(signature_version="s3v4"); for aws-cli: aws configure set default.s3.signature_version s3v4.';
  return isSigV2Query(pairs) ? versionFault(hint) : undefined;
}

export function versionFault(hint = ""): AuthFault {
  return authFault(
    "InvalidRequest",
    `The authorization mechanism you have provided is not supported. Please use ${algorithm}.${hint}`,
  );
}

function readHeaderClaim(
  head: RequestHead,
  authorization: string,
  wanted: ScopeWanted,
): SignatureClaim | AuthFault {
  const mark = authorization.indexOf(" ");
  const scheme = mark < 0 ? authorization : authorization.slice(0, mark);
  if (scheme !== algorithm) {
    if (scheme === "AWS" || scheme.startsWith("AWS4-")) return versionFault();
    return authFault("InvalidArgument", "Unsupported Authorization Type", {
      ArgumentName: "Authorization",
    });
  }
  const signed = findSigned(authorization, wanted) ?? readSigned(authorization, mark, wanted);
  if (signed.kind === "fault") return signed;
  const { signature } = signed;
  const { credential, signedHeaders, signedText } = signed.claimant;
  if (!signaturePattern.test(signature)) return headerFault("the signature is not 64 hex digits");
  const date = readHeaderDate(head);
  if (date === undefined) {
    return authFault(
      "AccessDenied",
      "AWS authentication requires a valid Date or x-amz-date header",
    );
  }
  if (!date.text.startsWith(credential.day)) {
    return headerFault("the credential's date is not the request's date");
  }
  if (signedHeaders.length > signedHeadersMax) return headerFault("too many headers are signed");
  return {
    kind: "claim",
    form: "header",
    accessKeyId: credential.accessKeyId,
    scope: credential.scope,
    day: credential.day,
    region: credential.region,
    service: credential.service,
    date,
    signedHeaders,
    signedText,
    signature,
    sessionToken: headerValue(head.headers, "x-amz-security-token"),
    expiresIn: undefined,
  };
}

function headerFault(why: string): AuthFault {
  return authFault(
    "AuthorizationHeaderMalformed",
    `The authorization header is malformed; ${why}.`,
  );
}
function queryFault(why: string): AuthFault {
  return authFault("AuthorizationQueryParametersError", why);
}

function readHeaderDate(head: RequestHead): SignedDate | undefined {
  const dates = headerValues(head.headers, "x-amz-date");
  if (dates.length > 1) return undefined;
  if (dates[0] !== undefined) return parseSignedDate(dates[0]);
  const plain = headerValue(head.headers, "date");
  return plain === undefined ? undefined : parseDateHeader(plain);
}

/** What a client says of itself in every request of a day: all but date and signature. */
interface Claimant {
  readonly kind: "claimant";
  readonly credential: Credential;
  /** May be more than are allowed. */
  readonly signedHeaders: readonly string[];
  readonly signedText: string;
}
interface Signed {
  readonly kind: "signed";
  readonly claimant: Claimant;
  readonly signature: string;
}

/** A header that was read, up to its signature. Nothing here is believed: the signature is checked each time. */
interface KnownOpening {
  readonly text: string;
  readonly wanted: ScopeWanted;
  readonly claimant: Claimant;
}
/** The last ones, in a ring: few clients make most requests. */
const openings: KnownOpening[] = [];
const openingCountMax = 16;
const openingSizeMax = 512;
const signatureSize = 64;
let openingNext = 0;

function findSigned(authorization: string, { region, service }: ScopeWanted): Signed | undefined {
  for (const { text, wanted, claimant } of openings) {
    if (authorization.length !== text.length + signatureSize) continue;
    if (wanted.region !== region || wanted.service !== service) continue;
    if (!authorization.startsWith(text)) continue;
    const signature = authorization.slice(text.length);
    return signaturePattern.test(signature) ? { kind: "signed", claimant, signature } : undefined;
  }
  return undefined;
}

/** `mark`: where the header's fields begin, after the scheme. */
function readSigned(authorization: string, mark: number, wanted: ScopeWanted): Signed | AuthFault {
  const fields = mark < 0 ? undefined : readFields(authorization.slice(mark + 1));
  if (fields === undefined) {
    return headerFault(
      "a comma-separated list of Credential, SignedHeaders and Signature is expected",
    );
  }
  const credential = readCredential(fields.credential, wanted, headerFault);
  if (credential.kind === "fault") return credential;
  const { signature, signedHeaders: signedText } = fields;
  const signedHeaders = signedText.split(";", signedHeadersMax + 1);
  const claimant: Claimant = { kind: "claimant", credential, signedHeaders, signedText };
  const text = authorization.slice(0, -signatureSize);
  const isLast = text.endsWith("Signature=") && signaturePattern.test(signature);
  if (isLast && text.length <= openingSizeMax) {
    openings[openingNext] = { text, wanted, claimant };
    openingNext = (openingNext + 1) % openingCountMax;
  }
  return { kind: "signed", claimant, signature };
}

interface HeaderFields {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
}

function readFields(text: string): HeaderFields | undefined {
  const found: Record<"Credential" | "SignedHeaders" | "Signature", string> = {
    Credential: "",
    SignedHeaders: "",
    Signature: "",
  };
  let count = 0;
  for (let start = 0; start <= text.length; count++) {
    const comma = text.indexOf(",", start);
    const end = comma < 0 ? text.length : comma;
    const field = text.slice(start, end).trim();
    const mark = field.indexOf("=");
    const name = field.slice(0, mark);
    if (name !== "Credential" && name !== "SignedHeaders" && name !== "Signature") return undefined;
    if (mark <= 0 || found[name] !== "" || count === 3) return undefined;
    found[name] = field.slice(mark + 1);
    start = end + 1;
  }
  const { Credential: credential, SignedHeaders: signedHeaders, Signature: signature } = found;
  if (credential === "" || signedHeaders === "" || signature === "") return undefined;
  return { credential, signedHeaders, signature };
}

export interface Credential {
  readonly kind: "credential";
  readonly accessKeyId: string;
  readonly scope: string;
  readonly day: string;
  readonly region: string;
  readonly service: Service;
}

export function readCredential(
  text: string,
  wanted: ScopeWanted,
  fault: (why: string) => AuthFault,
): Credential | AuthFault {
  const parts = text.split("/");
  if (parts.length < 5) {
    return fault(
      'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"',
    );
  }
  const [day, region, service, terminator] = parts.slice(-4) as [string, string, string, string];
  const accessKeyId = parts.slice(0, -4).join("/"); // an id may hold a slash
  if (accessKeyId === "") return fault("the access key id is empty");
  if (!/^\d{8}$/.test(day)) return fault("the credential's date is not YYYYMMDD");
  if (service !== wanted.service) {
    return fault(`incorrect service "${service}". This endpoint belongs to "${wanted.service}"`);
  }
  if (terminator !== "aws4_request") return fault(`incorrect terminal "${terminator}"`);
  if (wanted.region !== undefined && region !== wanted.region) {
    const wrong = fault(`the region '${region}' is wrong; expecting '${wanted.region}'`);
    return { ...wrong, details: { Region: wanted.region } };
  }
  const scope = parts.slice(-4).join("/");
  return { kind: "credential", accessKeyId, scope, day, region, service: wanted.service };
}

function readQueryClaim(
  pairs: readonly QueryPair[],
  wanted: ScopeWanted,
): SignatureClaim | AuthFault {
  const found = new Map<string, string>();
  for (const { name, value } of pairs) {
    if (!name.startsWith("X-Amz-")) continue;
    if (found.has(name)) return queryFault(`${name} must be given once`);
    found.set(name, value);
  }
  const credentialText = found.get("X-Amz-Credential");
  const signature = found.get("X-Amz-Signature");
  const dateText = found.get("X-Amz-Date");
  const signedHeaders = found.get("X-Amz-SignedHeaders");
  const expires = found.get("X-Amz-Expires");
  const algorithmGiven = found.get("X-Amz-Algorithm");
  if (!credentialText || !signature || !dateText || !signedHeaders || !expires || !algorithmGiven) {
    return queryFault(
      "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    );
  }
  if (algorithmGiven !== algorithm) {
    return queryFault(`X-Amz-Algorithm only supports "${algorithm}"`);
  }
  const credential = readCredential(credentialText, wanted, (why) =>
    queryFault(`Error parsing the X-Amz-Credential parameter; ${why}.`),
  );
  if (credential.kind === "fault") return credential;
  const date = parseSignedDate(dateText);
  if (date === undefined) {
    return queryFault("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  }
  if (!date.text.startsWith(credential.day)) {
    return queryFault(
      `Invalid credential date "${credential.day}". This date is not the same as X-Amz-Date.`,
    );
  }
  const expiresIn = readExpires(expires);
  if (typeof expiresIn !== "number") return expiresIn;
  const names = signedHeaders.split(";", signedHeadersMax + 1);
  if (names.length > signedHeadersMax) return queryFault("Too many headers are signed.");
  // A malformed signature is one that does not match; the comparison says so.
  return {
    ...credential,
    kind: "claim",
    form: "query",
    date,
    signedHeaders: names,
    signedText: signedHeaders,
    signature,
    sessionToken: found.get("X-Amz-Security-Token"),
    expiresIn,
  };
}

function readExpires(text: string): number | AuthFault {
  if (/^-\d+$/.test(text)) return queryFault("X-Amz-Expires must be non-negative");
  if (!/^\d{1,15}$/.test(text)) return queryFault("X-Amz-Expires should be a number");
  const seconds = Number(text);
  if (seconds > expiresInMax) {
    return queryFault(
      `X-Amz-Expires must be less than a week (in seconds) that is ${expiresInMax}`,
    );
  }
  return seconds;
}
