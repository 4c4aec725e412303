import { assert, compareBytes, concatBytes, newBytes, sameBytes, toHex } from "@kiseki/base";
import type { Checksum, DoneRow, NamespaceRow, PartRow, UploadRow } from "@kiseki/format";
import {
  decodeDone,
  decodePart,
  decodeUpload,
  doneKey,
  encodeDone,
  encodePart,
  encodeReclaim,
  encodeUpload,
  expiryKey,
  keyAfterPrefix,
  partKey,
  partKeyNumber,
  partPrefix,
  reclaimKey,
  uploadKey,
} from "@kiseki/format";
import { wallTime } from "@kiseki/base";
import { admitExtents, makeInnerManifest, makeLeafManifest, releaseManifest } from "./content.ts";
import { checkKey } from "./key-path.ts";
import { getNamespace } from "./namespaces.ts";
import { attributesFit } from "./extras.ts";
import { refuseLock } from "./lock.ts";
import { openForWrite, placeObject } from "./objects.ts";
import type { Answer, ObjectName, Operation, Refusal } from "./operation.ts";
import { isRefusal, refuse } from "./operation.ts";
import { charge, notePart, takePending } from "./quotas.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;
const uploadIdSize = 16;

export interface OpenUpload {
  readonly namespace: NamespaceRow;
  readonly rootKey: Uint8Array;
  readonly key: Uint8Array;
  readonly id: Uint8Array;
  readonly row: UploadRow;
}
export function openUpload(
  step: Step,
  operation: ObjectName & { readonly upload: Uint8Array },
): OpenUpload | Refusal {
  const namespace = getNamespace(step.map, operation.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const { key, upload: id } = operation;
  const fault = checkKey(key, step.context.limits);
  if (fault !== undefined) return fault;
  if (id.byteLength !== uploadIdSize) return refuse("no_such_upload");
  const rootKey = step.context.dirKeys.dirKey(namespace.root);
  const value = step.map.get(uploadKey(rootKey, key, id));
  if (value === undefined) return refuse("no_such_upload");
  step.dirKey = rootKey;
  step.name = key;
  return { namespace, rootKey, key, id, row: decodeUpload(value) };
}

export function createUpload(step: Step, operation: Of<"create_upload">): Answer | Refusal {
  const { context, map } = step;
  assert(operation.random.byteLength === uploadIdSize, "an upload id has 16 bytes");
  if (!attributesFit(operation.attributes, context.limits)) return refuse("attributes_too_large");
  const namespace = getNamespace(map, operation.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const fault = checkKey(operation.key, context.limits);
  if (fault !== undefined) return fault;
  if (namespace.isReadOnly) return refuse("namespace_read_only");
  const unlockable = refuseLock(step, namespace, operation.attributes);
  if (unlockable !== undefined) return unlockable;
  const upload = operation.random.slice();
  // Uploads of one key are listed in the order in which they began.
  const time = Math.max(0, context.now);
  const view = new DataView(upload.buffer, upload.byteOffset);
  view.setUint16(0, Math.floor(time / 2 ** 32) & 0xffff);
  view.setUint32(2, time % 2 ** 32);
  step.dirKey = context.dirKeys.dirKey(namespace.root);
  step.name = operation.key;
  const row: UploadRow = {
    initiated: context.now,
    attributes: operation.attributes,
    checksumAlgorithm: operation.checksumAlgorithm,
    isChecksumComposite: operation.isChecksumComposite ?? true,
  };
  map.put(uploadKey(step.dirKey, operation.key, upload), encodeUpload(row));
  return { kind: "upload", upload };
}

export function putPart(step: Step, operation: Of<"put_part">): Answer | Refusal {
  const upload = openUpload(step, operation);
  if (isRefusal(upload)) return upload;
  if (upload.namespace.isReadOnly) return refuse("namespace_read_only");
  const { size } = operation;
  const extents = admitExtents(step, operation.content, size);
  if (isRefusal(extents)) return extents;
  const manifest = makeLeafManifest(step, extents, size);
  return storePart(step, upload, operation, { manifest, size });
}

/** The row of a part; what it replaces is freed. */
export function storePart(
  step: Step,
  upload: OpenUpload,
  operation: {
    readonly part: number;
    readonly md5: Uint8Array;
    readonly checksums: readonly Checksum[];
  },
  made: { readonly manifest: bigint; readonly size: number },
): Answer | Refusal {
  const { part, md5, checksums } = operation;
  const { limits, now } = step.context;
  if (!Number.isInteger(part) || part < 1 || part > limits.partNumberMax) {
    return refuse("invalid_part_number");
  }
  const key = partKey(upload.rootKey, upload.key, upload.id, part);
  const before = step.map.get(key);
  const replaced = before && decodePart(before);
  if (replaced !== undefined) releaseManifest(step, replaced.manifest);
  step.map.put(key, encodePart({ ...made, md5, modified: now, checksums }));
  const sizes = { size: made.size, before: replaced?.size ?? 0 };
  const exceeded = notePart(step, upload.namespace.id, upload.id, sizes);
  if (exceeded !== undefined) return exceeded;
  return { kind: "part", md5, size: made.size, modified: now };
}

/** Part rows of the upload by number. */
function collectParts(step: Step, upload: OpenUpload): Map<number, PartRow> {
  const rows = new Map<number, PartRow>();
  const start = partPrefix(upload.rootKey, upload.key, upload.id);
  step.map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    rows.set(partKeyNumber(key), decodePart(value));
    return true;
  });
  return rows;
}

type Chosen = readonly { readonly part: number; readonly row: PartRow }[];
function chooseParts(
  step: Step,
  upload: OpenUpload,
  wanted: Of<"complete_upload">["parts"],
): Chosen | Refusal {
  if (wanted.length === 0 || wanted.length > step.context.limits.partNumberMax) {
    return refuse("invalid_part");
  }
  if (wanted.some(({ part }, i) => i > 0 && part <= wanted[i - 1]!.part)) {
    return refuse("invalid_part_order");
  }
  const rows = collectParts(step, upload);
  const chosen: { part: number; row: PartRow }[] = [];
  for (const { part, etag } of wanted) {
    const row = rows.get(part);
    if (row === undefined || toHex(row.md5) !== etag.toLowerCase()) return refuse("invalid_part");
    chosen.push({ part, row });
  }
  const { partSizeMin } = step.context.limits;
  const isShort = chosen.slice(0, -1).some(({ row }) => row.size < partSizeMin);
  return isShort ? refuse("entity_too_small") : chosen;
}

/** Who completes again within a day gets the first answer; another key or namespace gets none. */
function repeatComplete(step: Step, operation: Of<"complete_upload">): Answer | Refusal {
  if (operation.upload.byteLength !== uploadIdSize) return refuse("no_such_upload");
  const value = step.map.get(doneKey(operation.upload));
  if (value === undefined) return refuse("no_such_upload");
  const done = decodeDone(value);
  const isSame =
    sameBytes(done.namespace, operation.namespace) && compareBytes(done.key, operation.key) === 0;
  if (!isSame) return refuse("no_such_upload");
  const { etag, size, finished: modified, version, isNull, checksums } = done;
  return { kind: "object", etag, size, modified, version, isNull, checksums };
}

/** Of a part's checksums those that can be set beside the object's. */
const keptChecksums = (row: PartRow, whole: readonly Checksum[]): readonly Checksum[] =>
  row.checksums.filter((each) => whole.some(({ algorithm }) => algorithm === each.algorithm));

export function completeUpload(step: Step, operation: Of<"complete_upload">): Answer | Refusal {
  const upload = openUpload(step, operation);
  if (isRefusal(upload)) {
    return upload.code === "no_such_upload" ? repeatComplete(step, operation) : upload;
  }
  const { map, context } = step;
  const chosen = chooseParts(step, upload, operation.parts);
  if (isRefusal(chosen)) return chosen;
  const target = openForWrite(step, operation);
  if (isRefusal(target)) return target;
  const size = chosen.reduce((sum, { row }) => sum + row.size, 0);
  if (size > context.limits.objectSizeMax) return refuse("object_too_large");
  const md5 = context.md5(concatBytes(...chosen.map(({ row }) => row.md5)));
  const children = chosen.map(({ part, row }) => ({
    manifest: row.manifest,
    size: row.size,
    part: { number: part, checksums: keptChecksums(row, operation.checksums) },
  }));
  target.sums.pending -= takePending(step, upload.namespace.id, upload.id);
  const answer = placeObject(step, target, {
    content: { kind: "manifest", manifest: makeInnerManifest(step, children) },
    size,
    etag: { md5, parts: chosen.length },
    attributes: { ...upload.row.attributes, checksums: operation.checksums },
  });
  if (answer.kind !== "object") return answer;
  const used = newBytes((context.limits.partNumberMax >> 3) + 1);
  for (const { part } of chosen) used[part >> 3]! |= 1 << (part & 7);
  endUpload(step, upload, used.slice(0, (chosen.at(-1)!.part >> 3) + 1));
  const done: DoneRow = {
    namespace: upload.namespace.id,
    key: upload.key,
    finished: context.now,
    etag: answer.etag,
    size,
    version: answer.version,
    isNull: answer.isNull,
    checksums: answer.checksums,
  };
  map.put(doneKey(upload.id), encodeDone(done));
  const end = wallTime(context.now + context.limits.doneMs);
  map.put(expiryKey(end, upload.id), newBytes(0));
  return answer;
}

/** The upload is over at once; its part rows go in bounded steps, and so does what the object does not use. */
function endUpload(
  step: Step,
  { namespace, rootKey, key, id }: OpenUpload,
  used: Uint8Array,
): void {
  step.map.delete(uploadKey(rootKey, key, id));
  const row = encodeReclaim({ kind: "parts", root: namespace.root, key, upload: id, used });
  step.map.put(reclaimKey(allocateInode(step)), row);
}
export function abortUpload(step: Step, operation: Of<"abort_upload">): Answer | Refusal {
  const upload = openUpload(step, operation);
  if (isRefusal(upload)) return upload;
  const bytes = takePending(step, upload.namespace.id, upload.id);
  charge(step, upload.namespace.id, { bytes: -bytes, objects: 0 });
  endUpload(step, upload, newBytes(0));
  return { kind: "none" };
}
