import {
  anonymousPayload,
  type PayloadMode,
  SignatureVerifier,
  type TokenRefusal,
} from "@kiseki/auth";
import type { Origin } from "@kiseki/composition";
import { workflowHeader } from "@kiseki/advisory";
import { headerValue, type ResponseHeader } from "@kiseki/http";
import { anonymousPrincipal, type Principal } from "@kiseki/policy";
import type { AliasQueue } from "@kiseki/catalog";
import {
  type FormRequest,
  type ObjectOwnership,
  type Owner,
  isFault,
  isServiceHost,
  parseCall,
  parseFormRequest,
  type ResponseContext,
  type S3Addressing,
  type S3Call,
  type S3Fault,
  type S3Request,
  s3Fault,
  toFaultResponse,
  toResponse,
} from "@kiseki/s3";
import { isStsRequest } from "@kiseki/sts";
import type { Logger } from "@kiseki/telemetry";
import type { BodyStream, FrontFault, FrontRequest, FrontResponse } from "../front/types.ts";
import type { Notifier } from "../notify/notifier.ts";
import type { ContentReader } from "../object/read-content.ts";
import type { DataPorts } from "../object/types.ts";
import type { Workflows } from "../advisory/workflows.ts";
import { Access, type Account } from "./access/access.ts";
import { begunWords } from "./access/begun-upload.ts";
import { bucketSide } from "./access/bucket-side.ts";
import type { RequestFacts } from "./access/conditions.ts";
import type { Need, RequestWords } from "./access/needs.ts";
import { type Place, Places, type PlacesOptions } from "./access/place.ts";
import { requestWords } from "./access/request-words.ts";
import { CorsGate } from "./cors.ts";
import type { AccessLog } from "./access-log.ts";
import { openContent } from "./content.ts";
import { dispatch } from "./dispatch.ts";
import { customerKeysOf, wipeAtEnd } from "./encryption.ts";
import { authFailure, fail, GatewayFailure, toFault } from "./failure.ts";
import { openForm } from "./form.ts";
import type { Identity } from "./identity.ts";
import { type Admission, KeyLimiter, type KeyLimits, LimitError } from "./key-limits.ts";
import type { CallOutcome } from "./objects.ts";
import { isCharged, withCharge } from "./request-payer.ts";
import { type RequestTrace, whenSent } from "./request-trace.ts";
import type { Sts } from "./sts/sts.ts";
import type { CallScope } from "./scope.ts";
import { servePage, siteOf, type WebsiteParts } from "./website.ts";
import { whenReady } from "./when-ready.ts";

export interface GatewayOptions extends PlacesOptions {
  readonly ports: DataPorts;
  readonly log: Logger;
  /** The only region that signatures may name; `undefined`: any. */
  readonly region: string | undefined;
  readonly addressing: S3Addressing;
  /** Host names below which a bucket is shown as a website. */
  readonly websiteDomains: readonly string[];
  /** Unsigned bodies are taken over plain TCP from beyond this machine. */
  readonly allowPlaintext: boolean;
  /** Of every access key that has none of its own. */
  readonly keyLimits: KeyLimits;
  /** Whose access key that is. */
  readonly lookUpIdentity: (
    id: string,
    sessionToken: string | undefined,
  ) => Identity | TokenRefusal | undefined;
  /** Answers what `isStsRequest` says is not for S3. */
  readonly sts: Pick<Sts, "handle">;
  readonly aliases: AliasQueue;
  readonly notifier: Notifier;
  readonly accessLog: Pick<AccessLog, "follow">;
  readonly workflows: Pick<Workflows, "note">;
  /** Name of the tenant with that canonical id. */
  readonly nameOfAccount: (canonicalId: string) => string | undefined;
  /** Of new buckets that ask for none. */
  readonly defaultOwnership: ObjectOwnership;
}

const hostId = "kiseki";
/** What answers say where no region is configured: S3's first. */
export const defaultRegion = "us-east-1";

/** S3 over the front: signature, call, answer. What throws below ends here as an error document. */
export class Gateway {
  readonly #options: GatewayOptions;
  readonly #verifier: SignatureVerifier<Identity>;
  readonly #places: Places;
  readonly #cors: CorsGate;
  readonly #limiter: KeyLimiter;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#places = new Places(options);
    const baseHosts = [...options.addressing.baseHosts, ...options.websiteDomains];
    this.#cors = new CorsGate(this.#places, { baseHosts });
    this.#limiter = new KeyLimiter(() => options.ports.clock.monotonic());
    this.#verifier = new SignatureVerifier(options.ports.crypto, {
      lookup: options.lookUpIdentity,
      region: options.region,
    });
  }

  /** Never throws nor rejects. Answers at once when nothing has to be waited for. */
  handle(request: FrontRequest): FrontResponse | Promise<FrontResponse> {
    const { head } = request;
    const { addressing, sts } = this.#options;
    if (isStsRequest(head) && isServiceHost(head.host, addressing)) {
      return sts.handle(request, (key) => this.#admit({ request, key }));
    }
    const trace: RequestTrace = {
      request,
      context: contextOf(request),
      call: undefined,
      key: undefined,
      admitted: undefined,
      place: undefined,
      isPaid: false,
      isPage: false,
      result: undefined,
      errorCode: undefined,
    };
    const site = siteOf(request.head.host, this.#options.websiteDomains);
    const isPage = site !== undefined && request.head.method !== "OPTIONS";
    const answered = isPage ? this.#showPage(trace, site) : this.#answer(trace);
    const answer = whenReady(answered, (response) =>
      this.#cors.decorate(request, trace.place, withCharge(response, trace.isPaid)),
    );
    return whenReady(answer, (response) => this.#ended(trace, response));
  }

  /** Whoever counts or logs the request is told when its answer is sent. */
  #ended(trace: RequestTrace, response: FrontResponse): FrontResponse {
    const { admitted, request } = trace;
    const workflow = headerValue(request.head.headers, workflowHeader);
    if (workflow !== undefined)
      this.#options.workflows.note("s3", workflow, false, trace.key?.principal.tenant);
    const logged = this.#options.accessLog.follow(trace);
    if (admitted === undefined && logged === undefined) return response;
    // What was refused was, mostly, not read.
    const refund = response.status < 400 ? 0 : sizeComing(request);
    return whenSent(response, (size) => {
      admitted?.end(size - refund);
      logged?.(response, size);
    });
  }

  /** What the front answers by itself, in S3's form. */
  renderFault(fault: FrontFault): FrontResponse {
    if (fault.reason !== undefined) this.#log(fault.id, fault.reason);
    const context: ResponseContext = {
      requestId: fault.id,
      hostId,
      isHead: fault.head?.method === "HEAD",
      resource: fault.head?.target.split("?", 1)[0] ?? "",
      bucket: undefined,
      key: undefined,
    };
    const named = frontFault(fault);
    const rendered = render(toFaultResponse(named, context), undefined);
    // S3's own names keep S3's status; the rest have HTTP's, which says more.
    const isOwn = named.code !== "BadRequest" && named.code !== "RequestTimeout";
    return isOwn ? rendered : { ...rendered, status: fault.status };
  }

  #answer(trace: RequestTrace): FrontResponse | Promise<FrontResponse> {
    const answer = ({ result, content }: CallOutcome): FrontResponse => {
      trace.result = result;
      try {
        return render(toResponse(result, trace.context), content);
      } catch (reason) {
        content?.[Symbol.dispose]();
        throw reason;
      }
    };
    try {
      const outcome = this.#perform(trace);
      if (!(outcome instanceof Promise)) return answer(outcome);
      return outcome.then(answer).catch((reason) => this.#refuse(trace, reason));
    } catch (reason) {
      return this.#refuse(trace, reason);
    }
  }

  /** A page of a bucket's website: whoever asks is nobody. */
  #showPage(trace: RequestTrace, bucket: string): FrontResponse | Promise<FrontResponse> {
    const { request } = trace;
    try {
      trace.admitted = this.#admit(trace);
    } catch (reason) {
      return this.#refuse(trace, reason);
    }
    const path = request.head.target.split("?", 1)[0]!; // a page's query is its own affair
    const asked = s3Request({ ...request.head, target: path }, false);
    const payload: PayloadMode = { kind: "unsigned" };
    const { ports } = this.#options;
    const parts: WebsiteParts = {
      places: this.#places,
      read: (call) => {
        trace.call ??= call; // what is logged: the first that was asked for
        trace.isPage = true;
        return this.#run(trace, {
          principal: anonymousPrincipal,
          call,
          payload,
          content: openContent(ports.crypto, request.body, payload),
          words: () => requestWords(asked, undefined),
          authType: undefined,
        });
      },
      render: ({ result, content }) => render(toResponse(result, trace.context), content),
      onInternal: (reason) => this.#log(request.id, reason),
      hostId,
    };
    return servePage(parts, request, bucket);
  }

  #refuse(trace: RequestTrace, reason: unknown): FrontResponse {
    const fault = toFault(reason) ?? s3Fault("RequestTimeout");
    if (fault.code === "InternalError") this.#log(trace.request.id, reason);
    trace.errorCode = fault.code;
    const response = render(toFaultResponse(fault, trace.context), undefined);
    if (!(reason instanceof LimitError)) return response;
    const headers = response.headers.filter(([name]) => name !== retryName); // it knows better when
    headers.push([retryName, String(reason.retrySeconds)]);
    return { ...response, headers };
  }

  #perform(trace: RequestTrace): CallOutcome | Promise<CallOutcome> {
    const { ports, addressing } = this.#options;
    const { request } = trace;
    const { head } = request;
    if (head.method === "OPTIONS") {
      trace.admitted = this.#admit(trace);
      return this.#cors.preflight(request);
    }
    const form = parseFormRequest(s3Request(head), addressing);
    if (isFault(form)) throw new GatewayFailure(form);
    if (form !== undefined) return this.#performForm(trace, form);
    const outcome = this.#verifier.verify(head, ports.clock.realtime());
    if (outcome.kind === "fault") {
      ports.metrics.add("kiseki_auth_failures_total", 1, { code: outcome.code });
      throw authFailure(outcome);
    }
    if (outcome.kind === "signed") trace.key = outcome.key;
    trace.admitted = this.#admit(trace);
    const payload = outcome.kind === "signed" ? outcome.payload : anonymousPayload(head);
    if (payload.kind === "fault") throw authFailure(payload);
    if (outcome.kind === "signed" || request.body.size !== 0) this.#checkPayload(request, payload);
    const asked = s3Request(head, outcome.kind === "signed");
    const call = parseCall(asked, addressing);
    if (isFault(call)) throw new GatewayFailure(call as S3Fault);
    noteCall(trace, call as S3Call);
    const content = openContent(ports.crypto, request.body, payload);
    const isQuery = outcome.kind === "signed" && outcome.form === "query";
    return this.#run(trace, {
      principal: outcome.kind === "signed" ? outcome.key.principal : anonymousPrincipal,
      call: call as S3Call,
      payload,
      content,
      words: () => requestWords(asked, undefined),
      authType:
        outcome.kind !== "signed" ? undefined : isQuery ? "REST-QUERY-STRING" : "REST-HEADER",
    });
  }

  /** A browser's upload: who asks, and for what, stands in the body. */
  async #performForm(trace: RequestTrace, form: FormRequest): Promise<CallOutcome> {
    const { ports } = this.#options;
    const { request } = trace;
    const payload: PayloadMode = { kind: "unsigned" };
    this.#checkPayload(request, payload);
    const { key, call, content, headers } = await openForm(this.#verifier, request, form, {
      now: () => ports.clock.realtime(),
      onRefused: (code) => ports.metrics.add("kiseki_auth_failures_total", 1, { code }),
    });
    trace.key = key;
    trace.admitted = this.#admit(trace);
    noteCall(trace, call);
    return this.#run(trace, {
      principal: key?.principal ?? anonymousPrincipal,
      call,
      payload,
      content,
      words: () => requestWords(s3Request(request.head), headers),
      authType: key && "POST",
    });
  }

  /** A call whose caller is known. */
  #run(trace: RequestTrace, admitted: Admitted): CallOutcome | Promise<CallOutcome> {
    const keys = customerKeysOf(admitted.call);
    return keys.length === 0
      ? this.#runPlain(trace, admitted)
      : this.#runKeyed(trace, admitted, keys);
  }

  async #runKeyed(
    trace: RequestTrace,
    admitted: Admitted,
    keys: ReturnType<typeof customerKeysOf>,
  ): Promise<CallOutcome> {
    using _wiped = wipeAtEnd(this.#options.ports.crypto, keys);
    this.#checkSecure(trace.request);
    return await this.#runPlain(trace, admitted);
  }

  #runPlain(trace: RequestTrace, admitted: Admitted): CallOutcome | Promise<CallOutcome> {
    const { request } = trace;
    const { method } = request.head;
    const need = method === "GET" || method === "HEAD" ? "read" : "write";
    const { principal, call } = admitted;
    return whenReady(this.#places.open(principal, call, need, request), (place) => {
      trace.place = place;
      trace.isPaid = isCharged(place, call, principal, admitted.words);
      return whenReady(this.#places.openSource(principal, call, place, request), (source) =>
        this.#runIn({ place, source }, request, admitted),
      );
    });
  }

  #runIn(
    { place, source }: { readonly place: Place; readonly source: Place },
    request: FrontRequest,
    { principal, call, payload, content, words, authType }: Admitted,
  ): CallOutcome | Promise<CallOutcome> {
    const { ports } = this.#options;
    const { tenant, owner, buckets } = place;
    const region = this.#options.region ?? defaultRegion;
    const now = () => ports.clock.realtime();
    const facts = () => ({ words: words(), request, principal, now: now(), region, authType });
    const placeOf = (bucket: string) =>
      "source" in call && bucket === call.source.bucket ? source : place;
    const ownerOf = (bucket: string) => placeOf(bucket).owner;
    const sideOf = (bucket: string) => bucketSide(placeOf(bucket), bucket, shown(ownerOf(bucket)));
    const begun = (need: Need) => begunWords(place, need, shown(owner), region);
    const parts = { principal, ownerOf, facts, sideOf, begunWords: begun };
    const access = Access.authorize(parts, call);
    checkExpectedOwner(request, owner.account, source.owner.account);
    const target: CallScope = {
      ports,
      tenant,
      request,
      payload,
      content,
      owner: shown(owner),
      region,
      regionOnly: this.#options.region,
      aliases: this.#options.aliases,
      buckets,
      access,
      notifier: this.#options.notifier,
      origin: originOf(request, call, principal),
      nameOfAccount: this.#options.nameOfAccount,
      defaultOwnership: this.#options.defaultOwnership,
    };
    const scope =
      source === place
        ? target
        : { ...target, source: { ...target, ...source, owner: shown(source.owner) } };
    const failed = (reason: unknown): never => {
      throw hideMissing(reason, access, call);
    };
    try {
      const outcome = dispatch(scope, call);
      return outcome instanceof Promise ? outcome.catch(failed) : outcome;
    } catch (reason) {
      return failed(reason);
    }
  }

  /** Nobody's requests count for the address that they come from. @throws {LimitError} */
  #admit({ request, key }: Pick<RequestTrace, "request" | "key">): Admission | undefined {
    const { keyLimits, ports } = this.#options;
    const limits = key?.limits ? { ...keyLimits, ...key.limits } : keyLimits;
    const id = key?.accessKeyId ?? `@${request.remoteAddress}`;
    try {
      return this.#limiter.admit(id, limits, sizeComing(request));
    } catch (reason) {
      if (reason instanceof LimitError) {
        ports.metrics.add("kiseki_requests_limited_total", 1, { limit: reason.reason });
      }
      throw reason;
    }
  }

  /** Customers' keys travel by ways that nobody listens to. */
  #checkSecure({ isTls, isLoopback }: FrontRequest): void {
    if (isTls || isLoopback || this.#options.allowPlaintext) return;
    const why =
      "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.";
    throw fail("InvalidRequest", why);
  }

  /** A body without any hash is only as safe as the way it came. */
  #checkPayload(request: FrontRequest, payload: PayloadMode): void {
    const isUnsigned =
      payload.kind === "unsigned" || (payload.kind === "streamed" && payload.signing === undefined);
    if (!isUnsigned || request.isTls || request.isLoopback || this.#options.allowPlaintext) return;
    throw fail("AccessDenied", "A body without a signed hash is taken over TLS only.");
  }

  /** What is remembered of the bucket may be old: administration made or removed it. */
  forgetBucket(name: string): void {
    this.#places.forget(name);
  }

  #log(requestId: string, reason: unknown): void {
    const { name, stack } =
      reason instanceof Error ? reason : { name: "unknown", stack: undefined };
    this.#options.log.error({ requestId, error: name, stack }, "request failed");
  }
}

const shown = ({ canonicalId: id, name: displayName }: Account): Owner => ({ id, displayName });

/** A request of which is known who makes it. */
interface Admitted extends Pick<CallScope, "payload" | "content"> {
  readonly principal: Principal;
  readonly call: S3Call;
  readonly words: () => RequestWords;
  readonly authType: RequestFacts["authType"];
}

const s3Request = (head: FrontRequest["head"], isSigned = true): S3Request => {
  const { method, target, headers, host } = head;
  return { method, target, headers, host, isSigned };
};

/** That a key is not there is for those to know who may list its bucket. */
function hideMissing(reason: unknown, access: Access, call: S3Call): unknown {
  if (!(reason instanceof GatewayFailure) || !("key" in call)) return reason;
  const { code } = reason.fault;
  if (code !== "NoSuchKey" && code !== "NoSuchVersion") return reason;
  const places = "source" in call ? [call, call.source] : [call];
  const isVersion = code === "NoSuchVersion";
  const isSeen = places.every(({ bucket, key }) => access.maySeeMissing(bucket, key, isVersion));
  return isSeen ? reason : fail("AccessDenied");
}

const originOf = (request: FrontRequest, call: S3Call, { userId }: Principal): Origin => ({
  principal: `AWS:${userId}`,
  address: request.remoteAddress,
  requestId: request.id,
  ...(call.kind === "post_object" ? { via: "form" } : {}),
  ...(call.kind === "copy_object" ? { via: "copy" } : {}),
});

function noteCall(trace: RequestTrace, call: S3Call): void {
  trace.call = call;
  trace.context = contextOf(trace.request, call);
}

const sizeComing = ({ head }: FrontRequest): number =>
  head.body.kind === "sized" ? head.body.size : 0;

/** A client may say whose buckets it believes to talk to. */
function checkExpectedOwner({ head }: FrontRequest, account: string, source: string): void {
  for (const { name, value } of head.headers) {
    if (name === "x-amz-expected-bucket-owner" && value !== account) throw fail("AccessDenied");
    if (name === "x-amz-source-expected-bucket-owner" && value !== source) {
      throw fail("AccessDenied");
    }
  }
}

/** `call`: once it is known. */
function contextOf(request: FrontRequest, call?: S3Call): ResponseContext {
  const { target, method } = request.head;
  const mark = target.indexOf("?");
  return {
    requestId: request.id,
    hostId,
    isHead: method === "HEAD",
    resource: mark < 0 ? target : target.slice(0, mark),
    bucket: call !== undefined && "bucket" in call ? call.bucket : undefined,
    key: call !== undefined && "key" in call ? call.key : undefined,
  };
}

/** Framing that was refused, in S3's words; the transport's own name of the fault says which. */
function frontFault({ code, status }: FrontFault): S3Fault {
  switch (code) {
    case "timeout":
      return s3Fault("RequestTimeout");
    case "overload":
      return s3Fault("SlowDown");
    case "internal":
      return s3Fault("InternalError");
    case "head_too_large":
    case "too_many_headers":
      return s3Fault("RequestHeaderSectionTooLarge");
    case "body_too_large":
      return s3Fault("EntityTooLarge");
    default: {
      const what = code.replaceAll("_", " ");
      const why = `An error occurred when parsing the HTTP request: ${what}.`;
      return s3Fault(status === 501 ? "NotImplemented" : "BadRequest", why);
    }
  }
}

/** A reader's bytes as the front pulls them. */
class ContentBody implements BodyStream {
  readonly size: number;
  readonly #content: ContentReader;
  constructor(content: ContentReader) {
    this.#content = content;
    this.size = content.size;
  }
  next(): Promise<Uint8Array | undefined> {
    return this.#content.next();
  }
  nextNow(): Uint8Array | undefined {
    return this.#content.nextNow();
  }
  close(): void {
    this.#content[Symbol.dispose]();
  }
}

/** As `toResponse` writes them; the front adds its own length. */
const contentLengthName = "Content-Length";
const retryName = "Retry-After";

/** An S3 answer as the front sends it; `content` is the object's bytes, if they follow. */
function render(
  response: ReturnType<typeof toResponse>,
  content: CallOutcome["content"],
): FrontResponse {
  const { status, headers, shared } = response;
  let size: number | undefined;
  const rest: ResponseHeader[] = [];
  for (const header of headers) {
    if (header[0] === contentLengthName) size = Number(header[1]);
    else rest.push(header);
  }
  if (content) return { status, headers: rest, shared, body: new ContentBody(content) };
  if (response.body) return { status, headers: rest, body: response.body };
  return { status, headers: rest, shared, size };
}
