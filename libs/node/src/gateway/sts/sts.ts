import { type SessionTokens, SignatureVerifier } from "@kiseki/auth";
import { fromUtf8, newBytes } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import { splitTarget } from "@kiseki/http";
import {
  isStsFault,
  parseStsCall,
  stsBodySizeMax,
  type StsCall,
  type StsFault,
  type StsFaultCode,
  stsFault,
  type StsResult,
  toStsAnswer,
  toStsFaultAnswer,
} from "@kiseki/sts";
import type { FrontRequest, FrontResponse } from "../../front/types.ts";
import type { DataPorts } from "../../object/types.ts";
import { toFault } from "../failure.ts";
import type { Identity } from "../identity.ts";
import type { Admission } from "../key-limits.ts";
import { assumeOwn, assumeRole, sessionToken } from "./assume.ts";
import { readBody } from "./read-body.ts";
import { contextOf } from "./context.ts";
import type { Sessions } from "./sessions.ts";
import { assumeWithWebIdentity, type WebIdentityParts } from "./web-identity.ts";

export interface StsOptions {
  readonly ports: DataPorts;
  readonly catalog: Catalog;
  readonly sessions: Sessions;
  readonly tokens: SessionTokens;
  readonly oidc: WebIdentityParts["oidc"];
  /** The only region that signatures may name; `undefined`: any. */
  readonly region: string | undefined;
  readonly onError: (requestId: string, reason: unknown) => void;
}

const noBytes = newBytes(0);

/** STS over the front, beside S3 on its port. */
export class Sts {
  readonly #options: StsOptions;
  readonly #verifier: SignatureVerifier<Identity>;
  readonly #parts: WebIdentityParts;

  constructor(options: StsOptions) {
    const { ports, sessions, region, catalog, tokens, oidc } = options;
    this.#options = options;
    this.#parts = { catalog, tokens, oidc };
    this.#verifier = new SignatureVerifier(ports.crypto, {
      lookup: (id, token) => sessions.lookUp(id, token),
      region,
    });
  }

  /**
   * Never rejects. `admit` counts the request for whom it is told, for its address when nobody has signed it, or throws
   * `LimitError`.
   */
  async handle(
    request: FrontRequest,
    admit: (key: Identity | undefined) => Admission | undefined,
  ): Promise<FrontResponse> {
    let admitted: Admission | undefined;
    try {
      const result = await this.#perform(request, (key) => {
        admitted = admit(key);
      });
      if (isStsFault(result)) return toStsFaultAnswer(result, request.id);
      return toStsAnswer(result, request.id);
    } catch (reason) {
      return toStsFaultAnswer(this.#faultOf(request, reason), request.id);
    } finally {
      admitted?.end(0);
    }
  }

  async #perform(
    request: FrontRequest,
    admit: (key: Identity | undefined) => void,
  ): Promise<StsResult | StsFault> {
    const { head, body } = request;
    const isPost = head.method === "POST";
    const document = isPost ? await readBody(body, stsBodySizeMax) : noBytes;
    if (document === undefined) {
      return stsFault("RequestEntityTooLarge", `A request has at most ${stsBodySizeMax} bytes.`);
    }
    const form = fromUtf8(document);
    if (form === undefined) return stsFault("ValidationError", "The body is not UTF-8.");
    const text = [splitTarget(head.target).query, form].filter((each) => each !== "").join("&");
    const call = parseStsCall(text);
    // Its token says who asks.
    if (!isStsFault(call) && call.kind === "assume_role_with_web_identity") {
      admit(undefined);
      return assumeWithWebIdentity(
        this.#parts,
        request,
        call,
        this.#options.ports.clock.realtime(),
      );
    }
    const caller = this.#authenticate(request, document);
    admit(isStsFault(caller) ? undefined : caller);
    if (isStsFault(caller)) {
      // Unsigned and wrong at once: it may have been meant as the call that nobody signs.
      return caller.code === "MissingAuthenticationToken" && isStsFault(call) ? call : caller;
    }
    return isStsFault(call) ? call : this.#answer(request, caller, call);
  }

  #authenticate({ head }: FrontRequest, document: Uint8Array): Identity | StsFault {
    const { clock, metrics } = this.#options.ports;
    const outcome = this.#verifier.verify(head, clock.realtime(), { service: "sts", document });
    if (outcome.kind === "signed") return outcome.key;
    if (outcome.kind === "anonymous") {
      return stsFault("MissingAuthenticationToken", "Request is missing Authentication Token");
    }
    metrics.add("kiseki_auth_failures_total", 1, { code: outcome.code });
    const code = authFaults[outcome.code] ?? "IncompleteSignature";
    return stsFault(code, outcome.message);
  }

  #answer(
    request: FrontRequest,
    caller: Identity,
    call: Exclude<StsCall, { readonly kind: "assume_role_with_web_identity" }>,
  ): StsResult | StsFault {
    const now = this.#options.ports.clock.realtime();
    const { arn, userId, account } = caller.principal;
    switch (call.kind) {
      case "get_caller_identity":
        return { kind: "caller_identity", arn, userId, account };
      case "get_session_token":
        return sessionToken(this.#parts, caller, call.seconds, now);
      default: {
        if (call.role === undefined) return assumeOwn(this.#parts, caller, call, now);
        const context = contextOf(request, caller, now, {
          "sts:externalid": call.externalId,
          "sts:rolesessionname": call.sessionName,
        });
        return assumeRole(this.#parts, caller, call, now, context);
      }
    }
  }

  #faultOf(request: FrontRequest, reason: unknown): StsFault {
    const fault = toFault(reason);
    if (fault?.code === "InternalError") this.#options.onError(request.id, reason);
    switch (fault?.code) {
      case "SlowDown":
        return stsFault("Throttling", "Rate exceeded");
      case "ServiceUnavailable":
        return stsFault("ServiceUnavailable", "The request could not be served. Try again.");
      case "InternalError":
        return stsFault("InternalFailure", "The request failed because of an internal error.");
      default:
        return stsFault("ValidationError", "The body could not be read.");
    }
  }
}

/** What a refused signature is called by STS; the rest are `IncompleteSignature`. */
const authFaults: Readonly<Partial<Record<string, StsFaultCode>>> = {
  AccessDenied: "AccessDenied",
  ExpiredToken: "ExpiredToken",
  InvalidAccessKeyId: "InvalidClientTokenId",
  InvalidToken: "InvalidClientTokenId",
  RequestTimeTooSkewed: "SignatureDoesNotMatch",
  SignatureDoesNotMatch: "SignatureDoesNotMatch",
};
