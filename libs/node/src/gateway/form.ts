import {
  checkPostPolicy,
  parsePostPolicy,
  type PostPolicy,
  type SignatureVerifier,
} from "@kiseki/auth";
import { assert, fromUtf8, type WallTime } from "@kiseki/base";

import { FormDecoder, type FormFaultCode, percentEncode } from "@kiseki/http";
import {
  type FormRequest,
  isFault,
  parsePostObject,
  type PostObjectCall,
  resolveFormFields,
  type S3ErrorCode,
  type S3Fault,
} from "@kiseki/s3";
import type { BodySource, FrontRequest } from "../front/types.ts";
import type { RequestContent } from "./content.ts";
import { authFailure, fail, GatewayFailure } from "./failure.ts";
import type { Identity } from "./identity.ts";
import { type CallOutcome, putObject } from "./objects.ts";
import type { CallScope } from "./scope.ts";

/** A form whose fields were read and whose policy holds; its file is still to come. */
export interface OpenForm {
  /** `undefined`: nobody signed it. */
  readonly key: Identity | undefined;
  readonly call: PostObjectCall;
  /** Of the same put with headers: what policies are asked about. */
  readonly headers: ReadonlyMap<string, string>;
  readonly content: RequestContent;
}

const sliceSizeMax = 256 * 1024;

const formFaults: Readonly<Record<FormFaultCode, S3ErrorCode>> = {
  malformed: "MalformedPOSTRequest",
  too_large: "MaxPostPreDataLengthExceeded",
  no_file: "IncorrectNumberOfFilesInPostRequest",
};

/**
 * Reads a browser's form up to its file and decides by its own policy. Whose right it is to put is still to be asked.
 * @throws {GatewayFailure} {BodyError}
 */
export async function openForm(
  verifier: SignatureVerifier<Identity>,
  request: FrontRequest,
  form: FormRequest,
  { now, onRefused }: { now: () => WallTime; onRefused: (code: string) => void },
): Promise<OpenForm> {
  const total = request.body.size;
  if (total === undefined) throw fail("MissingContentLength");
  const body = new FormBody(request.body, form.boundary);
  const { fields, filename } = await body.readFields();
  const outcome = verifier.verifyForm(fields);
  if (outcome.kind === "fault") {
    onRefused(outcome.code);
    throw authFailure(outcome);
  }
  const resolved = orThrow(resolveFormFields(form.bucket, fields, filename));
  const policy = outcome.kind === "signed" ? readPolicy(outcome.policy) : undefined;
  const refusal = policy && checkPostPolicy(policy, resolved, now());
  if (refusal !== undefined) throw authFailure(refusal);
  const { sizeMin, sizeMax } = policy ?? { sizeMin: 0, sizeMax: Number.POSITIVE_INFINITY };
  const { method, target, headers, host } = request.head;
  const { call, headers: asked } = orThrow(
    parsePostObject(
      { method, target, headers, host, isSigned: true },
      {
        bucket: form.bucket,
        fields: resolved,
        filename,
        sizeMin,
        sizeMax: Math.min(sizeMax, total - body.sizeTaken),
      },
    ),
  );
  const content = new FormContent(body, { min: sizeMin, max: call.body.size });
  return {
    key: outcome.kind === "signed" ? outcome.key : undefined,
    call,
    headers: asked,
    content,
  };
}

function readPolicy(text: string): PostPolicy {
  const policy = parsePostPolicy(text);
  if (policy.kind === "fault") throw authFailure(policy);
  return policy;
}

function orThrow<T>(parsed: T | S3Fault): T {
  if (isFault(parsed)) throw new GatewayFailure(parsed);
  return parsed as T;
}

/** A request's body, taken apart as it comes. */
class FormBody {
  readonly #body: BodySource;
  readonly #decoder: FormDecoder;
  #sizeFed = 0;

  constructor(body: BodySource, boundary: string) {
    this.#body = body;
    this.#decoder = new FormDecoder(boundary);
  }
  /** Bytes of the body that were used up. */
  get sizeTaken(): number {
    return this.#sizeFed - this.#decoder.unread;
  }

  async readFields(): Promise<{ fields: ReadonlyMap<string, string>; filename: string }> {
    const fields = new Map<string, string>();
    for (;;) {
      const event = await this.next(1);
      if (event === undefined) throw fail("MalformedPOSTRequest");
      if (event.kind === "file") return { fields, filename: event.filename };
      assert(event.kind === "field", "before the file there are fields");
      fields.set(event.name, event.value);
    }
  }

  /** The next event, waited for; `undefined` at the end of the body. */
  async next(dataSizeMax: number) {
    for (;;) {
      const event = this.#decoder.next(dataSizeMax);
      if (event.kind === "fault") throw fail(formFaults[event.code]);
      if (event.kind !== "need_more") return event;
      const slice = await this.#body.readSlice(sliceSizeMax);
      if (slice === undefined) return undefined;
      this.#sizeFed += slice.byteLength;
      this.#decoder.feed(slice);
    }
  }

  /** What follows the file is read and ignored; the file was whole. */
  async finish(): Promise<void> {
    const more = await this.next(1);
    assert(more === undefined, "behind the file's end there are no events");
    if (!this.#decoder.isWhole) throw fail("MalformedPOSTRequest");
  }
}

/** The form's file, its size held between the bounds of the policy. */
class FormContent implements RequestContent {
  readonly trailers = [];
  readonly #body: FormBody;
  readonly #bounds: { readonly min: number; readonly max: number };
  #size = 0;
  #isEnded = false;

  constructor(body: FormBody, bounds: { readonly min: number; readonly max: number }) {
    this.#body = body;
    this.#bounds = bounds;
  }

  /** @throws {GatewayFailure} {BodyError} */
  async readInto(target: Uint8Array): Promise<number> {
    if (this.#isEnded) return 0;
    const event = await this.#body.next(target.byteLength);
    if (event?.kind === "data") {
      this.#size += event.bytes.byteLength;
      const { max } = this.#bounds;
      if (this.#size > max) throw sizeFailure("EntityTooLarge", this.#size, "MaxSizeAllowed", max);
      target.set(event.bytes);
      return event.bytes.byteLength;
    }
    if (event?.kind !== "file_end") throw fail("MalformedPOSTRequest");
    const { min } = this.#bounds;
    if (this.#size < min) throw sizeFailure("EntityTooSmall", this.#size, "MinSizeAllowed", min);
    await this.#body.finish();
    this.#isEnded = true;
    return 0;
  }
}

function sizeFailure(
  code: "EntityTooLarge" | "EntityTooSmall",
  size: number,
  name: string,
  limit: number,
): GatewayFailure {
  const why =
    code === "EntityTooLarge"
      ? "Your proposed upload exceeds the maximum allowed size"
      : "Your proposed upload is smaller than the minimum allowed size";
  return fail(code, why, [
    ["ProposedSize", String(size)],
    [name, String(limit)],
  ]);
}

/** Stores the form's file as a put would, and answers as the form asked for. */
export async function postObject(scope: CallScope, call: PostObjectCall): Promise<CallOutcome> {
  const { result: put } = await putObject(scope, call);
  const { host, target } = scope.request.head;
  const base = target.replace(/\/$/, "");
  const key = percentEncode(fromUtf8(call.key) ?? "", "keep_slash");
  const location = `${scope.request.isTls ? "https" : "http"}://${host}${base}/${key}`;
  return { result: { kind: "object_posted", call, location, put } };
}
