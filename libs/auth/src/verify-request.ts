import { fromHex, toHex, toUtf8, type WallTime } from "@kiseki/base";
import {
  headerValues,
  type HttpHeader,
  parseQuery,
  type QueryPair,
  type RequestHead,
  splitTarget,
} from "@kiseki/http";
import type { Crypto } from "@kiseki/ports";
import { ByteRoom } from "./byte-room.ts";
import {
  binaryBytes,
  type CanonicalParts,
  canonicalPath,
  canonicalQuery,
  canonicalText,
  writeCanonical,
} from "./canonical-request.ts";
import { algorithm, readClaim, type Service, type SignatureClaim } from "./credential.ts";
import { type AuthFault, authFault } from "./fault.ts";
import { type FormClaim, readFormClaim } from "./form-claim.ts";
import { type PayloadMode, readPayloadMode, unsignedPayload } from "./payload-mode.ts";
import { signedDateText } from "./request-date.ts";
import { type KeyScope, SigningKeys } from "./signing-keys.ts";

/** What the look-up of access keys must know; callers add whose key it is. */
export interface AccessKey {
  /** Secret access key as given to the user. */
  readonly secret: string;
}

/** Why a session token is not taken. */
export type TokenRefusal = "ExpiredToken" | "InvalidToken";

export interface SignatureOptions<Key extends AccessKey> {
  /**
   * The key of that id, or `undefined`. `sessionToken` is what `x-amz-security-token` held; the
   * look-up refuses temporary keys without theirs (`undefined`) and permanent keys with one.
   */
  readonly lookup: (
    accessKeyId: string,
    sessionToken: string | undefined,
  ) => Key | TokenRefusal | undefined;
  /** The only region taken in a scope; `undefined`: any. */
  readonly region: string | undefined;
}

export type AuthOutcome<Key extends AccessKey> =
  | {
      readonly kind: "signed";
      readonly accessKeyId: string;
      readonly key: Key;
      readonly payload: PayloadMode;
      /** Where the signature was. */
      readonly form: "header" | "query";
      readonly region: string;
    }
  /** Neither an Authorization header nor a query that looks signed: policy decides, else AccessDenied. */
  | { readonly kind: "anonymous" }
  | AuthFault;

/** A form's fields name a key, or carry no signature at all. */
export type FormOutcome<Key extends AccessKey> =
  | {
      readonly kind: "signed";
      readonly accessKeyId: string;
      readonly key: Key;
      /** The field as it was signed: base64. */
      readonly policy: string;
      readonly region: string;
    }
  | { readonly kind: "anonymous" }
  | AuthFault;

export interface VerifyOptions {
  readonly service: Service;
  readonly document?: Uint8Array;
}

/** Clocks may differ by this, as at AWS. */
const skewMax = 15 * 60 * 1000;
/** What a key is looked up by, and what it signs for. */
type KeyClaim = Pick<SignatureClaim | FormClaim, "accessKeyId" | "sessionToken"> & KeyScope;
/** Stands in for the secret of a key that does not exist, so that both take the same way. */
const secretOfNobody = "0000000000000000000000000000000000000000";
/** Longer canonical requests are rare, and put together as text. */
const roomSize = 4096;
const signatureOfNobody = "0".repeat(64);

/** Checks the signatures of request heads. One per node; holds a bounded cache of derived keys. */
export class SignatureVerifier<Key extends AccessKey> {
  readonly #crypto: Crypto;
  readonly #options: SignatureOptions<Key>;
  readonly #keys: SigningKeys;
  readonly #room = new ByteRoom(roomSize);
  readonly #put = (text: string): void => this.#room.put(text);

  constructor(crypto: Crypto, options: SignatureOptions<Key>) {
    this.#crypto = crypto;
    this.#options = options;
    this.#keys = new SigningKeys(crypto);
  }

  /**
   * `now` is the wall clock's. Changes nothing but the cache. `document`: the body of a service that signs its hash
   * without saying it in a header.
   */
  verify(
    head: RequestHead,
    now: WallTime,
    { service, document }: VerifyOptions = { service: "s3" },
  ): AuthOutcome<Key> {
    const { path, query } = splitTarget(head.target);
    const pairs = query === "" ? [] : parseQuery(query);
    const uri = canonicalPath(path);
    if (pairs === undefined || uri === undefined) {
      return authFault("InvalidURI", "Couldn't parse the specified URI.");
    }
    const claim = readClaim(head, pairs, { region: this.#options.region, service });
    if (claim === undefined) return { kind: "anonymous" };
    if (claim.kind === "fault") return claim;
    const refusal = timeFault(claim, now) ?? coverageFault(claim, head.headers);
    if (refusal !== undefined) return refusal;
    const payloadText =
      document === undefined
        ? payloadTextOf(claim, head.headers, pairs)
        : toHex(this.#crypto.sha256(document));
    if (typeof payloadText !== "string") return payloadText;

    const found = this.#findKey(claim);
    const { signingKey } = found;
    const parts: CanonicalParts = {
      method: head.method,
      uri,
      query: canonicalQuery(pairs, claim.form),
      headers: head.headers,
      signedHeaders: claim.signedHeaders,
      signedText: claim.signedText,
      payload: payloadText,
    };
    const digest = this.#digest(parts);
    const expected = this.#crypto.hmacSha256(signingKey, this.#toSign(claim, digest));
    const isEqual = this.#isEqual(expected, claim.signature);
    if (found.kind === "refused") return found.fault;
    if (!isEqual) return mismatchFault(claim, signText(claim, digest), canonicalText(parts));
    const payload = readPayloadMode(head, payloadText, () => ({
      key: signingKey.slice(),
      date: claim.date.text,
      scope: claim.scope,
      seedSignature: claim.signature,
    }));
    if (payload.kind === "fault") return payload;
    const { accessKeyId, form, region } = claim;
    return { kind: "signed", accessKeyId, key: found.key, payload, form, region };
  }

  /** Checks the signature of a browser's form; `fields` by lower-case name. Its policy is still to be checked. */
  verifyForm(fields: ReadonlyMap<string, string>): FormOutcome<Key> {
    const claim = readFormClaim(fields, this.#options.region);
    if (claim === undefined) return { kind: "anonymous" };
    if (claim.kind === "fault") return claim;
    const found = this.#findKey(claim);
    const expected = this.#crypto.hmacSha256(found.signingKey, toUtf8(claim.policy));
    const isEqual = this.#isEqual(expected, claim.signature);
    if (found.kind === "refused") return found.fault;
    if (!isEqual) return mismatchFault(claim, claim.policy);
    const { accessKeyId, policy, region } = claim;
    return { kind: "signed", accessKeyId, key: found.key, policy, region };
  }

  /** The key of a claim and what it signs with; a key that is not there costs the same, and `fault` says why. */
  #findKey(claim: KeyClaim): FoundKey<Key> {
    const found = this.#options.lookup(claim.accessKeyId, claim.sessionToken);
    if (typeof found === "object") {
      const signingKey = this.#keys.find(claim.accessKeyId, found.secret, claim);
      return { kind: "found", key: found, signingKey };
    }
    const signingKey = this.#keys.derive(secretOfNobody, claim);
    return { kind: "refused", signingKey, fault: keyFault(claim.accessKeyId, found) };
  }

  /** Of the canonical request. */
  #digest(parts: CanonicalParts): Uint8Array {
    this.#room.clear();
    writeCanonical(parts, this.#put);
    return this.#crypto.sha256(this.#room.taken ?? binaryBytes(canonicalText(parts)));
  }
  /** Good until the next call. */
  #toSign({ date, scope }: SignatureClaim, digest: Uint8Array): Uint8Array {
    const room = this.#room;
    room.clear();
    room.put(algorithm);
    room.put("\n");
    room.put(date.text);
    room.put("\n");
    room.put(scope);
    room.put("\n");
    room.putHex(digest);
    return room.taken ?? binaryBytes(signText({ date, scope }, digest));
  }
  /** In constant time for what can be a signature. */
  #isEqual(expected: Uint8Array, signature: string): boolean {
    const isGiven = /^[0-9a-f]{64}$/.test(signature);
    const given = fromHex(isGiven ? signature : signatureOfNobody);
    return this.#crypto.equal(expected, given) && isGiven;
  }
}

type FoundKey<Key> =
  | { readonly kind: "found"; readonly key: Key; readonly signingKey: Uint8Array }
  | { readonly kind: "refused"; readonly signingKey: Uint8Array; readonly fault: AuthFault };

function keyFault(accessKeyId: string, why: TokenRefusal | undefined): AuthFault {
  if (why === "ExpiredToken") return authFault(why, "The provided token has expired.");
  if (why === "InvalidToken") {
    return authFault(why, "The provided token is malformed or otherwise not valid.");
  }
  return authFault(
    "InvalidAccessKeyId",
    "The AWS Access Key Id you provided does not exist in our records.",
    { AWSAccessKeyId: accessKeyId },
  );
}

/** Too early, too late, or neither. */
function timeFault(claim: SignatureClaim, now: WallTime): AuthFault | undefined {
  const { time, text } = claim.date;
  if (claim.expiresIn === undefined) {
    if (Math.abs(now - time) <= skewMax) return undefined;
    return authFault(
      "RequestTimeTooSkewed",
      "The difference between the request time and the current time is too large.",
      { RequestTime: text, ServerTime: isoText(now), MaxAllowedSkewMilliseconds: String(skewMax) },
    );
  }
  if (time - now > skewMax) {
    return authFault("AccessDenied", "Request is not valid yet", {
      "X-Amz-Date": text,
      ServerTime: isoText(now),
    });
  }
  const expires = time + claim.expiresIn * 1000;
  if (now < expires) return undefined;
  return authFault("AccessDenied", "Request has expired", {
    "X-Amz-Expires": String(claim.expiresIn),
    Expires: signedDateText(expires),
    ServerTime: isoText(now),
  });
}

const signText = (
  { date, scope }: Pick<SignatureClaim, "date" | "scope">,
  digest: Uint8Array,
): string => `${algorithm}\n${date.text}\n${scope}\n${toHex(digest)}`;

function isoText(time: WallTime): string {
  return new Date(time).toISOString();
}

/** Every header that can change what the request does must be under the signature. */
function coverageFault(
  claim: SignatureClaim,
  headers: readonly HttpHeader[],
): AuthFault | undefined {
  const { signedHeaders } = claim;
  const isBare = ({ name }: HttpHeader): boolean =>
    name.startsWith("x-amz-") && !signedHeaders.includes(name);
  const isHostSigned = signedHeaders.includes("host");
  if (isHostSigned && !headers.some(isBare)) return undefined;
  const missing = new Set(isHostSigned ? [] : ["host"]);
  for (const header of headers) if (isBare(header)) missing.add(header.name);
  return authFault(
    "AccessDenied",
    "There were headers present in the request which were not signed",
    {
      HeadersNotSigned: [...missing].join(", "),
    },
  );
}

/** What stands for the payload in the canonical request. */
function payloadTextOf(
  claim: SignatureClaim,
  headers: readonly HttpHeader[],
  pairs: readonly QueryPair[],
): string | AuthFault {
  const values = headerValues(headers, "x-amz-content-sha256");
  if (values.length > 1) {
    return authFault("InvalidArgument", "x-amz-content-sha256 must be given once.", {
      ArgumentName: "x-amz-content-sha256",
    });
  }
  if (values[0] !== undefined) return values[0];
  if (claim.form === "query") {
    return pairs.find(({ name }) => name === "X-Amz-Content-Sha256")?.value ?? unsignedPayload;
  }
  return authFault(
    "InvalidRequest",
    "Missing required header for this request: x-amz-content-sha256",
  );
}

/** A customer's key was part of what is signed, and belongs in no document. */
const withoutKeys = (canonical: string): string =>
  canonical.replace(/^(x-amz-[a-z-]*server-side-encryption-customer-key:).*$/gm, "$1...");

function mismatchFault(
  claim: Pick<SignatureClaim, "accessKeyId" | "signature">,
  stringToSign: string,
  canonical?: string,
): AuthFault {
  return authFault(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    {
      AWSAccessKeyId: claim.accessKeyId,
      StringToSign: stringToSign,
      SignatureProvided: claim.signature,
      ...(canonical === undefined ? {} : { CanonicalRequest: withoutKeys(canonical) }),
    },
  );
}
