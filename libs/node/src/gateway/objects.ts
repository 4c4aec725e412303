import { assert, AssertionError, type OperationId } from "@kiseki/base";
import {
  type ContentPart,
  type Found,
  type FoundObject,
  lookupObject,
  lookupQuota,
  type NewContent,
  readParts,
} from "@kiseki/composition";
import type { Checksum, Etag } from "@kiseki/format";
import type { HashAlgorithm } from "@kiseki/ports";
import {
  type BodyExpectation,
  type DeleteObjectCall,
  evaluateRead,
  evaluateWrite,
  type GetObjectAttributesCall,
  type ObjectChecksum,
  type ObjectView,
  type PutObjectCall,
  type ReadObjectCall,
  resolveRange,
  type S3Result,
} from "@kiseki/s3";
import type { CustomerCipher } from "@kiseki/keys";
import { ContentReader, type ReadRequest } from "../object/read-content.ts";
import { type WrittenContent, writeContent } from "../object/write-content.ts";
import { newObjectAcl } from "./acls.ts";
import { checkDigests, claimedAlgorithms } from "./content.ts";
import {
  etagText,
  toConditions,
  toObjectChecksum,
  toObjectView,
  toRowAttributes,
} from "./convert.ts";
import { expirationFor } from "./expiration.ts";
import {
  conditionDetail,
  conditionDetails,
  fail,
  GatewayFailure,
  refusalFailure,
} from "./failure.ts";
import { checkClaimed } from "./locks.ts";
import { encryptTarget, type ObjectEncryption, openEncrypted } from "./encryption.ts";
import { type CallScope, findBucket, newOperationId, submit } from "./scope.ts";
import { findPlain, type PlainObject } from "./plain-read.ts";
import { poolFor } from "./storage-class.ts";
import {
  expectObject,
  findVersion,
  madeVersion,
  parseVersion,
  shownVersion,
  versionIdText,
} from "./versions.ts";

/** A result, and for GET the object's bytes. */
export interface CallOutcome {
  readonly result: S3Result;
  readonly content?: ContentReader;
}

/** A body that was stored, with what it turned out to be. */
export interface StoredBody {
  readonly content: NewContent;
  readonly size: number;
  /** For the ETag; under a customer's key no digest of the content. */
  readonly md5: Uint8Array;
  readonly checksums: readonly Checksum[];
}

/**
 * Stores a request's body, checks it against every claim, then runs `commit`; what was stored goes again
 * when that fails.
 */
export async function storeBody<T>(
  scope: CallScope,
  expectation: BodyExpectation,
  algorithm: BodyExpectation["algorithm"],
  { cipher, pool }: { readonly cipher: CustomerCipher | undefined; readonly pool: number },
  commit: (body: StoredBody, operationId: OperationId) => Promise<T>,
): Promise<T> {
  const { ports, payload, request, content, tenant } = scope;
  const operationId = newOperationId(ports.prng);
  const algorithms: Set<HashAlgorithm> = claimedAlgorithms(expectation, payload);
  if (algorithm) algorithms.add(algorithm);
  using written = await writeContent(ports, tenant, content, {
    operationId,
    size: expectation.size,
    isBounded: expectation.sizeMin !== undefined,
    algorithms,
    signal: () => request.signal,
    cipher,
    pool,
  });
  try {
    const { digests } = written;
    checkDigests(ports.crypto, digests, { expectation, payload, trailers: content.trailers });
    return await commit(describeBody(written, algorithm, cipher), operationId);
  } catch (reason) {
    // After a bug nobody knows whether a commit names what was stored; a refusal says that none does.
    if (!(reason instanceof AssertionError)) written.discard();
    throw reason;
  }
}

function describeBody(
  written: WrittenContent,
  algorithm: BodyExpectation["algorithm"],
  cipher: CustomerCipher | undefined,
): StoredBody {
  const md5 = written.digests.get("md5");
  assert(md5 !== undefined, "the ETag's MD5 is always computed");
  const value = algorithm && written.digests.get(algorithm);
  const checksums = algorithm && value ? [{ algorithm, value, isComposite: false }] : [];
  return {
    content: written.content,
    size: written.size,
    md5: cipher?.etag(md5) ?? md5,
    checksums,
  };
}

type PutResult = Extract<S3Result, { readonly kind: "object_put" }>;

/** PutObject, and the file of a browser's form. */
export async function putObject(
  scope: CallScope,
  call: Omit<PutObjectCall, "kind">,
): Promise<{ readonly result: PutResult }> {
  const namespace = findBucket(scope, call.bucket).id;
  const pool = poolFor(scope, call.attributes.storageClass);
  refuseOverQuota(scope, call);
  checkClaimed(scope, call.bucket, call.attributes.lock !== undefined, call.body);
  using encryption = encryptTarget(scope, call.bucket, call.encryption);
  const acl = newObjectAcl(scope, call.bucket, call.attributes.acl);
  const told = refuseEarly(scope, call);
  const algorithm = call.body.algorithm ?? "crc64nvme";
  const target = { cipher: encryption.cipher, pool };
  const answer = await told(() =>
    storeBody(scope, call.body, algorithm, target, (body, operationId) => {
      const etag: Etag = { md5: body.md5, parts: 0 };
      return submit(
        scope,
        {
          kind: "put_object",
          namespace,
          key: call.key,
          content: body.content,
          size: body.size,
          etag,
          attributes: {
            ...toRowAttributes(call.attributes, body.checksums, encryption.stored),
            ...acl,
          },
          conditions: toConditions(call.conditions),
        },
        "object",
        operationId,
      );
    }),
  );
  return {
    result: {
      kind: "object_put",
      versionId: madeVersion(scope, answer),
      etag: etagText(answer.etag),
      checksum: toObjectChecksum(answer.checksums[0], 0),
      encryption: encryption.shown,
      ...expirationFor(scope, call, { ...answer, tags: call.attributes.tags }),
    },
  };
}

type ConditionalCall = Pick<PutObjectCall, "bucket" | "key" | "conditions">;
type Commit = <T>(commit: () => Promise<T>) => Promise<T>;

/** What a write's conditions come to now; the commit decides, and later. */
function foresee(scope: CallScope, { bucket, key, conditions }: ConditionalCall) {
  if (conditions.ifMatch === undefined && conditions.ifNoneMatch === undefined) return undefined;
  const found = lookUp(scope, bucket, key);
  return evaluateWrite(conditions, found && etagText(found.entry.etag));
}

/**
 * Runs a conditional commit. What it was to replace was there when the call came and is gone when it commits: that
 * is a conflict with another call (`ConditionalRequestConflict`), and no missing key.
 */
export function conditionalCommit(scope: CallScope, call: ConditionalCall): Commit {
  const wasMet = call.conditions.ifMatch !== undefined && foresee(scope, call) === undefined;
  return async (commit) => {
    try {
      return await commit();
    } catch (reason) {
      const isGone = reason instanceof GatewayFailure && reason.fault.code === "NoSuchKey";
      if (!wasMet || !isGone) throw reason;
      throw fail("ConditionalRequestConflict", undefined, conditionDetails(call.conditions));
    }
  };
}

/** A conditional write that cannot succeed is refused before its body is asked for. */
export function refuseEarly(scope: CallScope, call: ConditionalCall): Commit {
  const code = foresee(scope, call);
  if (code) throw fail(code, undefined, conditionDetails(call.conditions));
  return conditionalCommit(scope, call);
}

/** Nothing is written for what no quota has room for, even if all of the current object went. */
function refuseOverQuota(
  scope: CallScope,
  { bucket, key, body }: Omit<PutObjectCall, "kind">,
): void {
  const namespace = findBucket(scope, bucket).id;
  const rows = scope.tenant.store.view((map) =>
    [lookupQuota(map, namespace), lookupQuota(map)].filter((row) => row !== undefined),
  );
  const isOver = (bytes: number): boolean =>
    rows.some((row) => row.bytes + bytes > (row.bytesMax ?? Infinity));
  const sizeMin = body.sizeMin ?? body.size;
  if (!isOver(sizeMin)) return;
  const replaced = lookUp(scope, bucket, key)?.entry.size ?? 0;
  if (sizeMin > replaced && isOver(sizeMin - replaced)) throw refusalFailure("quota_exceeded");
}

/** The current object, or `undefined`. Enter the readers before, if its content will be read. */
export function lookUp(scope: CallScope, bucket: string, key: Uint8Array): FoundObject | undefined {
  const namespace = findBucket(scope, bucket).id;
  const keyring = scope.tenant.keys("read");
  const dirKeys = scope.tenant.dirKeys(keyring);
  const found = scope.tenant.store.view((map) => lookupObject(map, dirKeys, { namespace, key }));
  if (found.kind === "object") return found;
  if (found.kind === "refused" && found.code === "key_too_long") throw fail("KeyTooLongError");
  return undefined;
}

/** Answers at once: what is small and cached is in the answer, the rest is read as it is sent. */
export function readObject(scope: CallScope, call: ReadObjectCall): CallOutcome {
  const place = scope.tenant.readers.enter();
  let content: ContentReader | undefined;
  try {
    const outcome = openObject(scope, call, place);
    content = outcome.content;
    return outcome;
  } finally {
    if (content === undefined) place[Symbol.dispose](); // else the reader leaves in its own time
  }
}

const lookup = { phase: "composition_lookup" };

function openObject(scope: CallScope, call: ReadObjectCall, place: Disposable): CallOutcome {
  const { clock, metrics } = scope.ports;
  const started = clock.monotonic();
  const met = findPlain(scope, call);
  const found = met?.kind === "plain" ? met : foundOf(scope, call, met);
  const seconds = (clock.monotonic() - started) / 1000;
  metrics.observe("kiseki_gateway_get_phase_duration_seconds", seconds, lookup);
  if (found.kind === "plain") return openPlain(scope, call, found, place);
  const encryption = openEncrypted(scope, found.cold.attributes, call.customerKey);
  let outcome: CallOutcome | undefined;
  try {
    outcome = openFound(scope, call, { found, encryption, place });
    return outcome;
  } finally {
    if (outcome?.content === undefined) encryption[Symbol.dispose]();
  }
}
const foundOf = (scope: CallScope, call: ReadObjectCall, met: Found | undefined): FoundObject =>
  met === undefined ? findVersion(scope, call) : expectObject(scope, call, met);

function openPlain(
  { request, ports, tenant }: CallScope,
  { kind }: ReadObjectCall,
  { headers, size, plan, versionId }: PlainObject,
  place: Disposable,
): CallOutcome {
  const result: S3Result = { kind: "plain_read", headers, size, versionId };
  if (kind === "head_object" || size === 0) return { result };
  const read = new RequestedRead(request, { plan }, { start: 0, end: size }, place);
  return { result, content: new ContentReader(ports, tenant, read) };
}

/** What a request reads. */
class RequestedRead implements ReadRequest {
  readonly found: ReadRequest["found"];
  readonly start: number;
  readonly end: number;
  readonly place: Disposable;
  readonly cipher: CustomerCipher | undefined;
  readonly #request: CallScope["request"];

  constructor(
    request: CallScope["request"],
    found: ReadRequest["found"],
    { start, end }: { readonly start: number; readonly end: number },
    place: Disposable,
    cipher?: CustomerCipher,
  ) {
    this.#request = request;
    this.found = found;
    this.start = start;
    this.end = end;
    this.place = place;
    this.cipher = cipher;
  }
  get signal(): AbortSignal {
    return this.#request.signal;
  }
}

/** Both go when the reader has left. */
const joined = (place: Disposable, encryption: Disposable): Disposable => ({
  [Symbol.dispose]() {
    encryption[Symbol.dispose]();
    place[Symbol.dispose]();
  },
});

/** How many tags there are is for those who may read them. */
function withoutHiddenTags(scope: CallScope, call: ReadObjectCall, view: ObjectView): ObjectView {
  if (view.tags.length === 0) return view;
  const isSeen = scope.access.maySeeTags(call.bucket, call.key, call.versionId);
  return isSeen ? view : { ...view, tags: [] };
}

/** So it is with retention and legal hold. */
function withoutHiddenLock(scope: CallScope, call: ReadObjectCall, view: ObjectView): ObjectView {
  const { retention, legalHold } = view.lock ?? {};
  if (retention === undefined && legalHold === undefined) return view;
  const { bucket, key } = call;
  const isSeen = (what: "GetObjectRetention" | "GetObjectLegalHold"): boolean =>
    scope.access.maySeeLock(bucket, key, what);
  return {
    ...view,
    lock: {
      ...(retention && isSeen("GetObjectRetention") ? { retention } : {}),
      ...(legalHold !== undefined && isSeen("GetObjectLegalHold") ? { legalHold } : {}),
    },
  };
}

function openFound(
  scope: CallScope,
  call: ReadObjectCall,
  {
    found,
    encryption,
    place,
  }: {
    readonly found: FoundObject;
    readonly encryption: ObjectEncryption;
    readonly place: Disposable;
  },
): CallOutcome {
  const versionId = shownVersion(scope, call.bucket, found.entry);
  const view = toObjectView(found, encryption.shown);
  const verdict = evaluateRead(call.conditions, view);
  if (verdict.kind === "precondition_failed") {
    throw fail("PreconditionFailed", undefined, conditionDetail(verdict.condition));
  }
  if (verdict.kind === "not_modified") {
    return { result: { kind: "not_modified", versionId, view, overrides: call.overrides } };
  }
  const selection = select(scope, found, call);
  const result: S3Result = {
    kind: "object_read",
    versionId,
    view: withoutHiddenLock(scope, call, withoutHiddenTags(scope, call, view)),
    range: selection.range,
    partCount: selection.partCount,
    overrides: call.overrides,
    checksum: call.isChecksumWanted ? selection.checksum : undefined,
    ...(found.isLatest ? expirationFor(scope, call, { ...found.entry, tags: view.tags }) : {}),
  };
  const start = selection.range?.offset ?? 0;
  const end = selection.range ? start + selection.range.length : view.size;
  if (call.kind === "head_object" || start === end) return { result };
  const { request, ports, tenant } = scope;
  const { cipher } = encryption;
  const held = cipher ? joined(place, encryption) : place; // the key is wiped as the reader leaves
  const read = new RequestedRead(request, found, { start, end }, held, cipher);
  return { result, content: new ContentReader(ports, tenant, read) };
}

/** What a read sends of an object. */
interface Selection {
  readonly range: { readonly offset: number; readonly length: number } | undefined;
  readonly partCount: number | undefined;
  /** Of what is sent, where one is known. */
  readonly checksum: ObjectChecksum | undefined;
}

/** Parts of one object; S3's limit. */
const partCountMax = 10_000;

/** What of the object is asked for. @throws {GatewayFailure} `InvalidRange`, `InvalidPartNumber`. */
function select(scope: CallScope, found: FoundObject, call: ReadObjectCall): Selection {
  const { size } = found.entry;
  if (call.partNumber !== undefined) return selectPart(scope, found, call.partNumber);
  const checksum = toObjectChecksum(found.cold.attributes.checksums[0], found.entry.etag.parts);
  if (call.range === undefined) return { range: undefined, partCount: undefined, checksum };
  const range = resolveRange(call.range, size);
  if (range !== "unsatisfiable") {
    const isWhole = range.length === size && checksum?.type !== "COMPOSITE";
    const known = isWhole ? checksum : rangeChecksum(scope, found, call, range);
    return { range, partCount: undefined, checksum: known };
  }
  const { headers } = scope.request.head;
  throw fail("InvalidRange", undefined, [
    ["RangeRequested", headers.find(({ name }) => name === "range")?.value ?? ""],
    ["ActualObjectSize", String(size)],
  ]);
}

/** A part is sent like a range; what was not uploaded in parts is its own first one. */
function selectPart(scope: CallScope, found: FoundObject, partNumber: number): Selection {
  const { size, etag } = found.entry;
  const isSingle = etag.parts === 0;
  const { checksum: whole } = toObjectView(found);
  const part = isSingle
    ? { number: 1, offset: 0, length: size, checksums: [] }
    : partsOf(scope, found, partNumber - 1, 1)[0];
  if (part?.number !== partNumber) {
    throw fail("InvalidPartNumber", undefined, [
      ["PartNumberRequested", String(partNumber)],
      ["ActualPartCount", String(Math.max(1, etag.parts))],
    ]);
  }
  const { offset, length } = part;
  return {
    range: length === 0 ? undefined : { offset, length },
    partCount: isSingle ? undefined : etag.parts,
    checksum: isSingle ? whole : partChecksum(part, whole),
  };
}

/** A file that was edited has the form of an upload's ETag and is one part, without a checksum. */
function partsOf(
  scope: CallScope,
  found: FoundObject,
  after: number,
  countMax: number,
): readonly ContentPart[] {
  const parts = scope.tenant.store.view((map) =>
    readParts(map, found.cold.content, after, countMax),
  );
  if (parts !== undefined) return parts;
  const whole = { number: 1, offset: 0, length: found.entry.size, checksums: [] };
  return after === 0 ? [whole] : [];
}

/** A part's own checksum, of the object's type and without its `-N`. */
function partChecksum(
  { checksums }: ContentPart,
  whole: ObjectChecksum | undefined,
): ObjectChecksum | undefined {
  const own = checksums.find(({ algorithm }) => algorithm === whole?.algorithm);
  if (own === undefined || whole === undefined) return undefined;
  return { algorithm: own.algorithm, value: own.value, type: whole.type, partCount: 0 };
}

/** A range that is exactly one part has that part's checksum. */
function rangeChecksum(
  scope: CallScope,
  found: FoundObject,
  call: ReadObjectCall,
  range: { readonly offset: number; readonly length: number },
): ObjectChecksum | undefined {
  if (!call.isChecksumWanted || found.entry.etag.parts === 0) return undefined;
  const { offset, length } = range;
  const part = partsOf(scope, found, 0, partCountMax).find(
    (each) => each.offset === offset && each.length === length,
  );
  return part && partChecksum(part, toObjectView(found).checksum);
}

export function readAttributes(scope: CallScope, call: GetObjectAttributesCall): CallOutcome {
  const found = findVersion(scope, call);
  const versionId = shownVersion(scope, call.bucket, found.entry);
  const { partNumberMarker, maxParts } = call;
  const { parts: count } = found.entry.etag;
  openEncrypted(scope, found.cold.attributes, call.customerKey)[Symbol.dispose]();
  const view = toObjectView(found);
  if (!call.wanted.has("ObjectParts") || count === 0) {
    return { result: { kind: "object_attributes", versionId, call, view, parts: undefined } };
  }
  const page = partsOf(scope, found, partNumberMarker, maxParts + 1);
  const listed = page.slice(0, maxParts).map((part) => ({
    number: part.number,
    size: part.length,
    checksum: partChecksum(part, view.checksum),
  }));
  const isTruncated = maxParts > 0 && page.length > maxParts;
  const shown = { count, listed, isTruncated };
  return { result: { kind: "object_attributes", versionId, call, view, parts: shown } };
}

export async function deleteObject(scope: CallScope, call: DeleteObjectCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const { key, isBypassing } = call;
  const conditions = toConditions(call.conditions);
  const version = parseVersion(scope, call.versionId);
  const operation = { kind: "delete_object", namespace, key, conditions, ...version } as const;
  const removal = { ...operation, isBypassing };
  const { isDeleteMarker, ...deleted } = await submit(scope, removal, "deleted");
  const versionId = call.versionId ?? deletedVersion(scope, deleted);
  return { result: { kind: "object_deleted", versionId, isDeleteMarker } };
}

/** The marker that a delete without version made. */
export function deletedVersion(
  scope: CallScope,
  { version, isNull }: { readonly version: bigint | undefined; readonly isNull: boolean },
): string | undefined {
  return version === undefined ? undefined : versionIdText(scope, { version, isNull });
}
