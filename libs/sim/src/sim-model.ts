import { assert, fromHex, fromUtf8, toHex } from "@kiseki/base";
import type { Answer, Conditions, Operation, RefusalCode, VersionRef } from "@kiseki/composition";
import type { ObjectAttributes } from "@kiseki/format";
import { notificationSetting } from "@kiseki/node/sim";
import { type Body, cutBody, etagOf, md5Of, sizeOf } from "./sim-body.ts";

/** One version of a name; `number` is not known while its answer was lost with a crash. */
export interface ModelVersion {
  number: bigint | undefined;
  readonly isNull: boolean;
  readonly isMarker: boolean;
  readonly etag: string;
  readonly body: Body;
  /** Content as the store keeps it: small content, and a customer's, cannot be shared by a copy. */
  readonly isSmall: boolean;
  extras: ModelExtras;
}
/** Locks here never run out: what is locked stays until somebody may and does unlock it. */
export interface ModelExtras {
  readonly mode?: "governance" | "compliance";
  readonly hold?: boolean;
  readonly tags?: string;
}
export interface ModelUpload {
  readonly key: string;
  /** Not known while its answer was lost with a crash. */
  id: Uint8Array | undefined;
  readonly parts: Map<number, { readonly md5: string; readonly body: Body }>;
}
/** A change that somebody who subscribed must be told of. */
export interface ModelNotice {
  readonly event: string;
  readonly key: string;
  /** Of what was made; else empty. */
  readonly etag: string;
}
export interface ModelBucket {
  readonly id: string;
  readonly name: string;
  versioning: "off" | "enabled" | "suspended";
  isLockEnabled: boolean;
  /** Newest first, never empty. */
  readonly keys: Map<string, ModelVersion[]>;
  /** By the last 10 bytes of the id, which are random. */
  readonly uploads: Map<string, ModelUpload>;
  /** Ids of holds; none runs out. */
  readonly holds: Set<string>;
  /** Beginning of the keys whose changes are told; never changed once there is one. */
  told: string | undefined;
  /** In the order of the log, since the receiver was compared last. */
  readonly notices: ModelNotice[];
}
/** An operation with what its content is. */
export interface ModelOperation {
  readonly operation: Operation;
  readonly body: Body;
}
interface Completed {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
}
/** What the model says must come of an operation. */
export type Expected =
  | { readonly kind: "done"; readonly etag?: string; readonly version?: ModelVersion }
  | { readonly kind: "refused"; readonly code: RefusalCode };

const refused = (code: RefusalCode): Expected => ({ kind: "refused", code });
const done: Expected = { kind: "done" };
export const textOf = (key: Uint8Array): string => {
  const text = fromUtf8(key);
  assert(text !== undefined, "the workload's keys are text");
  return text;
};
export const uploadName = (upload: Uint8Array): string => toHex(upload.subarray(6));

export const currentOf = (
  versions: readonly ModelVersion[] | undefined,
): ModelVersion | undefined => (versions?.[0]?.isMarker === false ? versions[0] : undefined);

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** The slow, obvious store beside the real one: maps of what was acknowledged, changed one operation at a time. */
export class PlainModel {
  readonly buckets = new Map<string, ModelBucket>();
  readonly completed = new Map<string, Completed>();
  /** Notices of what was submitted before a crash, where what is stored does not show whether it was applied. */
  readonly perhapsTold: (ModelNotice & { readonly bucket: string })[] = [];

  clone(): PlainModel {
    const copy = new PlainModel();
    for (const [id, bucket] of this.buckets) {
      const keys = new Map(
        [...bucket.keys].map(([key, list]) => [key, list.map((v) => ({ ...v }))]),
      );
      const uploads = new Map(
        [...bucket.uploads].map(([name, one]) => [name, { ...one, parts: new Map(one.parts) }]),
      );
      const holds = new Set(bucket.holds);
      const notices = [...bucket.notices];
      copy.buckets.set(id, { ...bucket, keys, uploads, holds, notices });
    }
    for (const [name, one] of this.completed) copy.completed.set(name, one);
    copy.perhapsTold.push(...this.perhapsTold);
    return copy;
  }
  bucketNamed(name: string): ModelBucket | undefined {
    for (const bucket of this.buckets.values()) if (bucket.name === name) return bucket;
    return undefined;
  }
  /** Bytes of all versions. */
  size(): number {
    let size = 0;
    for (const { keys } of this.buckets.values())
      for (const versions of keys.values()) for (const { body } of versions) size += sizeOf(body);
    return size;
  }

  /** Does one operation; `answer` gives the numbers that only the store knows. */
  apply({ operation, body }: ModelOperation, answer?: Answer): Expected {
    switch (operation.kind) {
      case "create_namespace":
        return this.#createBucket(operation);
      case "delete_namespace":
        return this.#deleteBucket(operation);
      case "set_versioning":
        return this.#setVersioning(operation);
      case "set_object_lock":
        return this.#setLock(operation);
      case "set_hold":
        return this.#setHold(operation);
      case "release_hold":
        return this.#releaseHold(operation);
      case "put_setting":
        return this.#subscribe(operation);
      case "set_object_extras":
        return this.#setExtras(operation);
      case "put_object":
        return this.#put(operation, body, answer);
      case "delete_object":
        return this.#delete(operation, answer);
      case "copy_object":
        return this.#copy(operation, answer);
      case "create_upload":
        return this.#createUpload(operation, answer);
      case "put_part":
      case "copy_part":
        return this.#part(operation, body);
      case "complete_upload":
        return this.#complete(operation, answer);
      case "abort_upload":
        return this.#abort(operation);
      default:
        throw new TypeError(`Cannot model ${operation.kind}`);
    }
  }

  #createBucket(operation: Of<"create_namespace">): Expected {
    const { id, name, versioning, isLockEnabled = false } = operation;
    if (this.bucketNamed(name) !== undefined) return refused("namespace_exists");
    this.buckets.set(toHex(id), {
      id: toHex(id),
      name,
      versioning: isLockEnabled ? "enabled" : (versioning ?? "off"),
      isLockEnabled,
      keys: new Map(),
      uploads: new Map(),
      holds: new Set(),
      told: undefined,
      notices: [],
    });
    return done;
  }
  #deleteBucket({ namespace }: Of<"delete_namespace">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    if (bucket.holds.size > 0) return refused("object_locked");
    if (bucket.keys.size > 0) return refused("namespace_not_empty");
    this.buckets.delete(bucket.id);
    return done;
  }
  #setVersioning({ namespace, versioning }: Of<"set_versioning">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    if (versioning === "off" && bucket.versioning !== "off") return refused("invalid_versioning");
    if (bucket.isLockEnabled && versioning !== "enabled") return refused("versioning_locked");
    bucket.versioning = versioning;
    return done;
  }
  #setLock({ namespace }: Of<"set_object_lock">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    if (bucket.versioning !== "enabled") return refused("lock_needs_versioning");
    bucket.isLockEnabled = true;
    return done;
  }
  #setHold({ namespace, hold }: Of<"set_hold">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    bucket.holds.add(hold.id);
    return done;
  }
  #releaseHold({ namespace, id }: Of<"release_hold">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    return bucket.holds.delete(id) ? done : refused("no_such_hold");
  }
  #subscribe({ namespace, value }: Of<"put_setting">): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    bucket.told = notificationSetting.decode(value).rules[0]!.prefix;
    return done;
  }
  #setExtras(operation: Of<"set_object_extras">): Expected {
    const bucket = this.buckets.get(toHex(operation.namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    const versions = bucket.keys.get(textOf(operation.key));
    const { version, changes, isBypassing = false } = operation;
    const one = version === undefined ? currentOf(versions) : versions?.find(isNamed(version));
    if (one === undefined)
      return refused(version === undefined ? "no_such_key" : "no_such_version");
    if (one.isMarker) return refused("is_delete_marker");
    const { retention, legalHold } = changes;
    if (retention !== undefined || legalHold !== undefined) {
      if (!bucket.isLockEnabled) return refused("lock_not_enabled");
    }
    const { mode } = one.extras;
    const isLoosened = retention !== undefined && mode !== undefined && retention?.mode !== mode;
    if (isLoosened && (mode === "compliance" || !isBypassing)) return refused("object_locked");
    one.extras = changedExtras(one.extras, changes);
    return done;
  }
  #put(operation: Of<"put_object">, body: Body, answer: Answer | undefined): Expected {
    const bucket = this.buckets.get(toHex(operation.namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    const key = textOf(operation.key);
    const unmet = unmetBy(currentOf(bucket.keys.get(key)), operation.conditions);
    if (unmet !== undefined) return refused(unmet);
    const extras = extrasOf(operation.attributes);
    const isLocking = extras.mode !== undefined || extras.hold !== undefined;
    if (isLocking && !bucket.isLockEnabled) return refused("lock_not_enabled");
    const etag = etagOf(operation.etag.md5, operation.etag.parts);
    const isSmall =
      operation.content.kind === "small" || operation.attributes.encryption !== undefined;
    return place(bucket, key, { etag, body, isSmall, extras }, answer, "Put");
  }
  #delete(operation: Of<"delete_object">, answer: Answer | undefined): Expected {
    const bucket = this.buckets.get(toHex(operation.namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    const key = textOf(operation.key);
    const versions = bucket.keys.get(key) ?? [];
    // Whoever asks saw the number: a newest version whose number is not known is another one.
    const { ifNewest } = operation;
    if (ifNewest !== undefined && versions[0]?.number !== ifNewest) {
      return refused("precondition_failed");
    }
    if (operation.version !== undefined) {
      const named = isNamed(operation.version);
      const one = versions.find(named);
      if (one !== undefined && isLocked(one.extras, operation.isBypassing ?? false)) {
        return refused("object_locked");
      }
      if (one?.isMarker === false && bucket.holds.size > 0) return refused("object_locked");
      setVersions(
        bucket,
        key,
        versions.filter((other) => !named(other)),
      );
      if (one !== undefined) tell(bucket, key, "ObjectRemoved:Delete");
      return done;
    }
    const unmet = unmetBy(currentOf(versions), operation.conditions);
    if (unmet !== undefined) return refused(unmet);
    if (isHolding(bucket, versions)) return refused("object_locked");
    if (bucket.versioning === "off") {
      if (bucket.keys.delete(key)) tell(bucket, key, "ObjectRemoved:Delete");
      return done;
    }
    const isNull = bucket.versioning === "suspended";
    const marker: ModelVersion = {
      number: answer?.kind === "deleted" ? answer.version : undefined,
      isNull,
      isMarker: true,
      etag: "",
      body: [],
      isSmall: false,
      extras: {},
    };
    setVersions(bucket, key, [marker, ...versions.filter((one) => !isNull || !one.isNull)]);
    tell(bucket, key, "ObjectRemoved:DeleteMarkerCreated");
    return { kind: "done", version: marker };
  }
  /** The version that a copy or a move reads. */
  source(source: Of<"copy_object">["source"]): ModelVersion | RefusalCode {
    const bucket = this.buckets.get(toHex(source.namespace));
    if (bucket === undefined) return "no_such_source_namespace";
    const versions = bucket.keys.get(textOf(source.key));
    if (source.version === undefined) return currentOf(versions) ?? "no_such_source_key";
    const { version } = source;
    const found = versions?.find(isNamed(version));
    if (found === undefined) return "no_such_source_version";
    return found.isMarker ? "is_delete_marker" : found;
  }
  #copy(operation: Of<"copy_object">, answer: Answer | undefined): Expected {
    const source = this.source(operation.source);
    if (typeof source === "string") return refused(source);
    const bucket = this.buckets.get(toHex(operation.namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    const key = textOf(operation.key);
    const unmet = unmetBy(currentOf(bucket.keys.get(key)), operation.conditions);
    if (unmet !== undefined) return refused(unmet);
    if (source.isSmall) return refused("source_is_small");
    const { tags } = source.extras;
    const extras = tags === undefined ? {} : { tags };
    return place(bucket, key, { ...source, extras }, answer, "Copy");
  }
  #upload(operation: {
    readonly namespace: Uint8Array;
    readonly key: Uint8Array;
    readonly upload: Uint8Array;
  }): { readonly bucket: ModelBucket; readonly upload: ModelUpload } | RefusalCode {
    const bucket = this.buckets.get(toHex(operation.namespace));
    if (bucket === undefined) return "no_such_namespace";
    const upload = bucket.uploads.get(uploadName(operation.upload));
    return upload?.key === textOf(operation.key) ? { bucket, upload } : "no_such_upload";
  }
  #createUpload(
    { namespace, key, random }: Of<"create_upload">,
    answer: Answer | undefined,
  ): Expected {
    const bucket = this.buckets.get(toHex(namespace));
    if (bucket === undefined) return refused("no_such_namespace");
    const id = answer?.kind === "upload" ? answer.upload : undefined;
    bucket.uploads.set(uploadName(random), { id, key: textOf(key), parts: new Map() });
    return done;
  }
  #part(operation: Of<"put_part"> | Of<"copy_part">, given: Body): Expected {
    const found = this.#upload(operation);
    if (typeof found === "string") return refused(found);
    let body = given;
    if (operation.kind === "copy_part") {
      const source = this.source(operation.source);
      if (typeof source === "string") return refused(source);
      const { start, end } = operation;
      if (start > end || end > sizeOf(source.body)) return refused("invalid_range");
      body = cutBody(source.body, start, end);
      if (body.some((piece) => piece.isSmall)) return refused("source_is_small");
    }
    found.upload.parts.set(operation.part, { md5: toHex(operation.md5), body });
    return done;
  }
  #complete(operation: Of<"complete_upload">, answer: Answer | undefined): Expected {
    const found = this.#upload(operation);
    const name = uploadName(operation.upload);
    if (typeof found === "string") {
      const before = this.completed.get(name);
      const isSame =
        before?.bucket === toHex(operation.namespace) && before.key === textOf(operation.key);
      if (found === "no_such_upload" && isSame) return { kind: "done", etag: before.etag };
      return refused(found);
    }
    const { bucket, upload } = found;
    const parts = operation.parts.map(({ part, etag }) => {
      const one = upload.parts.get(part);
      return one?.md5 === etag ? one : undefined;
    });
    if (parts.length === 0) return refused("invalid_part");
    const chosen = parts.filter((one) => one !== undefined);
    if (chosen.length < parts.length) return refused("invalid_part");
    const unmet = unmetBy(currentOf(bucket.keys.get(upload.key)), operation.conditions);
    if (unmet !== undefined) return refused(unmet);
    const etag = etagOf(md5Of(...chosen.map(({ md5 }) => fromHex(md5))), chosen.length);
    const body = chosen.flatMap((one) => [...one.body]);
    const object = { etag, body, isSmall: false, extras: {} };
    const placed = place(bucket, upload.key, object, answer, "CompleteMultipartUpload");
    if (placed.kind === "refused") return placed;
    bucket.uploads.delete(name);
    this.completed.set(name, { bucket: bucket.id, key: upload.key, etag });
    return placed;
  }
  #abort(operation: Of<"abort_upload">): Expected {
    const found = this.#upload(operation);
    if (typeof found === "string") return refused(found);
    found.bucket.uploads.delete(uploadName(operation.upload));
    return done;
  }
}

/** Tells whether a version is the one that a client names. */
const isNamed =
  (version: VersionRef) =>
  (one: ModelVersion): boolean =>
    version === "null" ? one.isNull : one.number === version;

const isLocked = ({ mode, hold }: ModelExtras, isBypassing: boolean): boolean =>
  hold === true || mode === "compliance" || (mode === "governance" && !isBypassing);

/** As the model has them. */
export function extrasOf(attributes: ObjectAttributes): ModelExtras {
  const { retention, legalHold, tags } = attributes;
  return {
    ...(retention === undefined ? {} : { mode: retention.mode }),
    ...(legalHold === undefined ? {} : { hold: legalHold }),
    ...(tags === undefined ? {} : { tags: tags.map((tag) => tag.join("=")).join("&") }),
  };
}
export const extrasText = ({ mode, hold, tags }: ModelExtras): string =>
  `${mode ?? "-"} ${hold ?? "-"} ${tags ?? "-"}`;

function changedExtras(
  before: ModelExtras,
  { retention, legalHold, tags }: Of<"set_object_extras">["changes"],
): ModelExtras {
  const next: { -readonly [Name in keyof ModelExtras]: ModelExtras[Name] } = { ...before };
  if (retention === null) delete next.mode;
  if (legalHold === null) delete next.hold;
  if (tags === null) delete next.tags;
  const attributes = {
    headers: [],
    userMetadata: [],
    checksums: [],
    ...(retention ? { retention } : {}),
    ...(typeof legalHold === "boolean" ? { legalHold } : {}),
    ...(tags ? { tags } : {}),
  };
  return { ...next, ...extrasOf(attributes) };
}

/** Whether a new newest version would take one away that a hold keeps. */
const isHolding = (
  { holds, versioning }: ModelBucket,
  versions: readonly ModelVersion[],
): boolean =>
  holds.size > 0 &&
  versioning !== "enabled" &&
  versions.some(({ isNull, isMarker }) => isNull && !isMarker);
function tell({ told, notices }: ModelBucket, key: string, event: string, etag = ""): void {
  if (told !== undefined && key.startsWith(told)) notices.push({ event, key, etag });
}

function place(
  bucket: ModelBucket,
  key: string,
  object: Pick<ModelVersion, "etag" | "body" | "isSmall" | "extras">,
  answer: Answer | undefined,
  how: string,
): Expected {
  const before = bucket.keys.get(key) ?? [];
  if (isHolding(bucket, before)) return refused("object_locked");
  const isNull = bucket.versioning !== "enabled";
  const version: ModelVersion = {
    number: answer?.kind === "object" ? answer.version : undefined,
    isNull,
    isMarker: false,
    etag: object.etag,
    body: object.body,
    isSmall: object.isSmall,
    extras: object.extras,
  };
  tell(bucket, key, `ObjectCreated:${how}`, object.etag);
  setVersions(bucket, key, [version, ...before.filter((one) => !isNull || !one.isNull)]);
  return { kind: "done", etag: object.etag, version };
}
function setVersions(bucket: ModelBucket, key: string, versions: ModelVersion[]): void {
  if (versions.length === 0) bucket.keys.delete(key);
  else bucket.keys.set(key, versions);
}
/** The condition that `current` does not meet. */
function unmetBy(
  current: ModelVersion | undefined,
  conditions: Conditions | undefined,
): "no_such_key" | "precondition_failed" | undefined {
  const fits = (tag: string): boolean =>
    current !== undefined && (tag === "*" || tag === current.etag);
  if (conditions?.ifMatch !== undefined) {
    if (current === undefined) return "no_such_key";
    if (!conditions.ifMatch.some(fits)) return "precondition_failed";
  }
  return conditions?.ifNoneMatch?.some(fits) === true ? "precondition_failed" : undefined;
}
