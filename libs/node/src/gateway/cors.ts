import type { RequestHead, ResponseHeader } from "@kiseki/http";
import { anonymousPrincipal } from "@kiseki/policy";
import {
  answerPreflight,
  bucketOfRequest,
  type CorsConfiguration,
  corsHeaders,
  corsSetting,
  corsVary,
  grantRequest,
  isFault,
  parsePreflight,
  type Preflight,
  type S3Addressing,
  type S3Fault,
} from "@kiseki/s3";
import type { FrontRequest, FrontResponse } from "../front/types.ts";
import type { Place, Places } from "./access/place.ts";
import { GatewayFailure } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { findSetting } from "./settings.ts";
import { whenReady } from "./when-ready.ts";

/** Answers preflights, and tells browsers what a bucket's rules let pages of an origin see. */
export class CorsGate {
  readonly #places: Places;
  readonly #addressing: S3Addressing;

  constructor(places: Places, addressing: S3Addressing) {
    this.#places = places;
    this.#addressing = addressing;
  }

  /** Without a signature. @throws {GatewayFailure} when no rule allows what is asked, or there is none. */
  preflight(request: FrontRequest): CallOutcome | Promise<CallOutcome> {
    const asked = parsePreflight({ ...request.head, isSigned: false }, this.#addressing);
    if (isFault(asked)) throw new GatewayFailure(asked);
    const { bucket } = asked as Preflight;
    const configuration = bucket === undefined ? undefined : this.#rulesOf(bucket, request);
    return whenReady(configuration, (rules) => {
      const grant = answerPreflight(asked as Preflight, rules);
      if (isFault(grant)) throw new GatewayFailure(grant);
      return { result: { kind: "preflight", grant: grant as Exclude<typeof grant, S3Fault> } };
    });
  }

  /** `response` with what the bucket's rules add. `place`: whose bucket the request was found to be about. */
  decorate(
    request: FrontRequest,
    place: Place | undefined,
    response: FrontResponse,
  ): FrontResponse | Promise<FrontResponse> {
    const { head } = request;
    const isPage = head.headers.some(({ name }) => name === "origin");
    if (!isPage || head.method === "OPTIONS") return response; // a preflight has said all
    const bucket = bucketOfRequest(head, this.#addressing);
    if (bucket === undefined) return response;
    const found = place === undefined ? this.#rulesOf(bucket, request) : rulesIn(place, bucket);
    return whenReady(found, (rules) =>
      rules === undefined ? response : decorated(head, rules, response),
    );
  }

  #rulesOf(
    bucket: string,
    request: FrontRequest,
  ): CorsConfiguration | undefined | Promise<CorsConfiguration | undefined> {
    try {
      const call = { kind: "head_bucket", bucket } as const;
      const place = this.#places.open(anonymousPrincipal, call, "read", request);
      if (!(place instanceof Promise)) return rulesIn(place, bucket);
      // A tenant that does not open now says so where it is asked for more than its rules.
      return place.then((opened) => rulesIn(opened, bucket)).catch(() => undefined);
    } catch {
      return undefined;
    }
  }
}

/** Rules that cannot be read, whyever, allow nothing and hinder nothing that needs none. */
function rulesIn(place: Place, bucket: string): CorsConfiguration | undefined {
  try {
    if (place.buckets.find(place.tenant, bucket) === undefined) return undefined;
    return findSetting(place, bucket, corsSetting);
  } catch {
    return undefined;
  }
}

function decorated(
  head: RequestHead,
  rules: CorsConfiguration,
  response: FrontResponse,
): FrontResponse {
  const grant = grantRequest(head, rules);
  const headers: readonly ResponseHeader[] = [
    ...(grant === undefined ? [] : corsHeaders(grant)),
    ["Vary", corsVary],
  ];
  return { ...response, headers: [...response.headers, ...headers] };
}
