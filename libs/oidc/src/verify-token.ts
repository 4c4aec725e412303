import type { Clock } from "@kiseki/ports";
import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import { type DocumentFetcher, FetchError } from "./fetch-document.ts";
import { IssuerKeys } from "./issuer-keys.ts";

/** Asymmetric ones alone: with HS* anybody who knows a public key could sign. */
const algorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];
/** Clocks may differ by this. */
const leewaySeconds = 30;
const textSizeMax = 256;

export interface OidcFault {
  readonly kind: "fault";
  readonly code: "expired" | "invalid" | "rejected" | "unreachable";
  /** For the client: nothing but what it sent. */
  readonly message: string;
}

export interface VerifiedToken {
  readonly kind: "token";
  readonly issuer: string;
  readonly subject: string;
  /** Client that the token was made for: `azp`, else the audience that is taken. */
  readonly audience: string;
  /** Everything that was signed. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Checks tokens against the keys of their issuers. One per node. */
export class OidcVerifier {
  readonly #clock: Clock;
  readonly #keys: IssuerKeys;

  constructor(clock: Clock, fetcher: DocumentFetcher) {
    this.#clock = clock;
    this.#keys = new IssuerKeys(clock, fetcher);
  }

  /** Whose token it says it is; to be believed only after `verify`. `undefined`: it is no token. */
  issuerOf(token: string): string | undefined {
    try {
      const { iss } = decodeJwt(token);
      return typeof iss === "string" && iss.length <= textSizeMax ? iss : undefined;
    } catch (reason) {
      if (reason instanceof errors.JOSEError || reason instanceof TypeError) return undefined;
      throw reason;
    }
  }

  /** The token of `issuer`, made for one of `clientIds`. Asks nobody but that issuer. */
  async verify(
    token: string,
    issuer: string,
    clientIds: readonly string[],
  ): Promise<VerifiedToken | OidcFault> {
    try {
      const payload = await this.#checked(token, issuer);
      return describe(payload, issuer, clientIds);
    } catch (reason) {
      return faultOf(reason);
    }
  }

  async #checked(token: string, issuer: string): Promise<JWTPayload> {
    const options = {
      algorithms,
      issuer,
      clockTolerance: leewaySeconds,
      currentDate: new Date(this.#clock.realtime()),
      requiredClaims: ["iss", "sub", "exp"],
    };
    const check = async (isStale: boolean) => {
      const keys = await this.#keys.get(issuer, isStale);
      return (await jwtVerify(token, keys, options)).payload;
    };
    try {
      return await check(false);
    } catch (reason) {
      // The provider may have a new key.
      if (!(reason instanceof errors.JWKSNoMatchingKey)) throw reason;
      return check(true);
    }
  }
}

function describe(
  claims: JWTPayload,
  issuer: string,
  clientIds: readonly string[],
): VerifiedToken | OidcFault {
  const { sub: subject, azp } = claims;
  if (typeof subject !== "string" || subject === "" || subject.length > textSizeMax) {
    return fault("invalid", "The token names no subject.");
  }
  const audiences = azp === undefined ? [claims.aud].flat() : [azp];
  const audience = audiences.find(
    (each): each is string => typeof each === "string" && clientIds.includes(each),
  );
  if (audience === undefined) return fault("rejected", "Incorrect token audience");
  return { kind: "token", issuer, subject, audience, claims };
}

function fault(code: OidcFault["code"], message: string): OidcFault {
  return { kind: "fault", code, message };
}

function faultOf(reason: unknown): OidcFault {
  if (reason instanceof errors.JWTExpired) return fault("expired", "Token expired");
  if (reason instanceof FetchError) {
    return fault("unreachable", `The identity provider cannot be asked: ${reason.message}.`);
  }
  if (reason instanceof errors.JWTClaimValidationFailed) {
    return fault("invalid", `The claim ${reason.claim} is not as it must be.`);
  }
  if (reason instanceof errors.JOSEError || reason instanceof TypeError) {
    return fault("invalid", "The token's signature cannot be verified.");
  }
  throw reason;
}
