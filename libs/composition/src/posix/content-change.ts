import { concatBytes } from "@kiseki/base";
import type { Content, Etag, LeafExtent } from "@kiseki/format";
import { emptyEtag, nodeOf } from "../inodes.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { withoutSetId } from "./attributes.ts";
import type { EditBudget } from "./content-edit.ts";
import {
  countAllSmall,
  editBudget,
  editContent,
  holdContent,
  shareRangeOf,
} from "./content-edit.ts";
import type { ContentRange } from "./content-list.ts";
import type { ContentOperation } from "./content-operation.ts";
import { mergeExtents } from "./content-merge.ts";
import { admitPieces, dataSize, runsOf } from "./content-pieces.ts";
import { openRegular } from "./content-read.ts";
import type { FileChange, PosixFile } from "./file.ts";
import {
  fileAttributes,
  fileCold,
  isKeptBefore,
  putFileContent,
  refuseChange,
  storeFile,
} from "./file.ts";
import { stampOf } from "./places.ts";

type Of<Kind extends ContentOperation["kind"]> = Extract<ContentOperation, { kind: Kind }>;
type Change = Exclude<ContentOperation, { kind: "merge_extents" }>;

/** A file whose content is being changed. */
interface Draft {
  readonly file: PosixFile;
  content: Content;
  size: number;
  allocated: number;
  readonly budget: EditBudget;
}

export function performContent(step: Step, operation: ContentOperation): Answer | Refusal {
  switch (operation.kind) {
    case "write_file":
      return writeFile(step, operation);
    case "append_file":
      return appendFile(step, operation);
    case "truncate_file":
      return truncateFile(step, operation);
    case "allocate_file":
      return allocateFile(step, operation);
    case "copy_range":
      return copyRange(step, operation);
    case "merge_extents":
      return mergeExtents(step, operation);
  }
}

/** A regular file that may be changed, at the revision that the operation wants. */
function openChanged(step: Step, operation: Change): PosixFile | Refusal {
  const ref = { ...operation.file, namespace: operation.namespace };
  const file = openRegular(step.map, step.context.dirKeys, ref);
  if (isRefusal(file)) return file;
  const { ifRevision } = operation;
  if (ifRevision !== undefined && ifRevision !== nodeOf(file.entry).revision) {
    return refuse("precondition_failed");
  }
  return refuseChange(step, file, true) ?? file;
}
/** Where the version before is kept, what it is made of is held for it, and the draft has its own. */
function draftOf(step: Step, file: PosixFile): Draft {
  const { content } = fileCold(step.map, step.context.dirKeys, file);
  const { size } = file.entry;
  const { allocated } = nodeOf(file.entry);
  const budget = editBudget();
  if (!isKeptBefore(file)) return { file, content, size, allocated, budget };
  const counted = countAllSmall(step, content);
  putFileContent(step, file, counted);
  holdContent(step, counted);
  return { file, content: counted, size, allocated, budget };
}

/** `[start, end)` becomes the extents, whose references are counted. */
function replaceRange(
  step: Step,
  draft: Draft,
  { start, end }: ContentRange,
  replacement: readonly LeafExtent[],
  allocated: number,
): void {
  const { content, size, budget } = draft;
  const before = { content, size, budget };
  draft.allocated += allocated - dataSize(step.map, draft.content, { start, end });
  draft.content = editContent(step, before, { start, end, replacement });
  draft.size = Math.max(draft.size, end);
}
function placePieces(step: Step, draft: Draft, extents: readonly LeafExtent[]): void {
  for (const run of runsOf(extents)) {
    const last = run.at(-1)!;
    const range = { start: run[0]!.offset, end: last.offset + last.length };
    replaceRange(step, draft, range, run, range.end - range.start);
  }
}

/**
 * What S3 shows as the ETag of content that no client sent whole: another one with each change, and of a form that nobody
 * takes for an MD5 of the content.
 */
function nextEtag(step: Step, { file, size }: Draft): Etag {
  if (size === 0) return emptyEtag;
  const { operationId, now, md5 } = step.context;
  const mark = new Uint8Array(16);
  const view = new DataView(mark.buffer);
  view.setBigInt64(0, BigInt(now));
  view.setBigUint64(8, file.entry.inode);
  return { md5: md5(concatBytes(file.entry.etag.md5, operationId, mark)), parts: 1 };
}

function storeDraft(
  step: Step,
  operation: Change,
  draft: Draft,
  times: Pick<FileChange, "mtime"> = {},
): Answer | Refusal {
  const { file, content, size } = draft;
  const { attributes } = fileCold(step.map, step.context.dirKeys, file);
  const isChecked = attributes.checksums.length > 0;
  const allocated = Math.min(Math.max(draft.allocated, 0), size);
  return storeChange(step, operation, file, {
    ...times,
    content: { content, size, allocated, etag: nextEtag(step, draft) },
    ...(isChecked ? { attributes: { ...attributes, checksums: [] } } : {}),
  });
}
function storeChange(
  step: Step,
  operation: Change,
  file: PosixFile,
  change: Omit<FileChange, "time" | "mode">,
): Answer | Refusal {
  const { mode: before } = file.entry;
  const mode = operation.isKeepingSetId === true ? before : withoutSetId(before);
  const stored = storeFile(step, file, { ...change, mode, time: stampOf(step, operation) });
  return isRefusal(stored) ? stored : { kind: "file", attributes: fileAttributes(stored) };
}

function writeFile(step: Step, operation: Of<"write_file">): Answer | Refusal {
  const file = openChanged(step, operation);
  if (isRefusal(file)) return file;
  const extents = admitPieces(step, operation.pieces, 0);
  if (isRefusal(extents)) return extents;
  const draft = draftOf(step, file);
  placePieces(step, draft, extents);
  const { mtime } = operation;
  return storeDraft(step, operation, draft, mtime === undefined ? {} : { mtime });
}
function appendFile(step: Step, operation: Of<"append_file">): Answer | Refusal {
  const file = openChanged(step, operation);
  if (isRefusal(file)) return file;
  const offset = file.entry.size;
  const extents = admitPieces(step, operation.pieces, offset);
  if (isRefusal(extents)) return extents;
  const draft = draftOf(step, file);
  placePieces(step, draft, extents);
  const length = draft.size - offset;
  const answer = storeDraft(step, operation, draft);
  return answer.kind === "file" ? { ...answer, offset, length } : answer;
}

const isOffset = (offset: number): boolean => Number.isSafeInteger(offset) && offset >= 0;
function truncateFile(step: Step, operation: Of<"truncate_file">): Answer | Refusal {
  const { size } = operation;
  if (!isOffset(size)) return refuse("invalid_argument");
  if (size > step.context.limits.objectSizeMax) return refuse("object_too_large");
  const file = openChanged(step, operation);
  if (isRefusal(file)) return file;
  const before = file.entry.size;
  if (size === before)
    return storeChange(step, operation, file, { mtime: stampOf(step, operation) });
  const draft = draftOf(step, file);
  if (size < before) replaceRange(step, draft, { start: size, end: before }, [], 0);
  draft.size = size;
  return storeDraft(step, operation, draft);
}

function allocateFile(step: Step, operation: Of<"allocate_file">): Answer | Refusal {
  const { mode, start, end } = operation;
  const isSizeKept = mode === "punch" || operation.isSizeKept === true;
  if (!isOffset(start) || !isOffset(end) || start >= end) return refuse("invalid_argument");
  if (end > step.context.limits.objectSizeMax) return refuse("object_too_large");
  const file = openChanged(step, operation);
  if (isRefusal(file)) return file;
  const { size } = file.entry;
  const range = { start, end: Math.min(end, size) };
  const isEmptied = mode !== "allocate" && range.start < range.end;
  const isLonger = !isSizeKept && end > size;
  if (!isEmptied && !isLonger) return storeChange(step, operation, file, {});
  const draft = draftOf(step, file);
  if (isEmptied) replaceRange(step, draft, range, [], 0);
  if (isLonger) draft.size = end;
  return storeDraft(step, operation, draft);
}

function copyRange(step: Step, operation: Of<"copy_range">): Answer | Refusal {
  const { sourceStart, start, length } = operation;
  const ref = { ...operation.source, namespace: operation.namespace };
  const end = start + length;
  const sourceLast = sourceStart + length;
  if (![sourceStart, start, length, end, sourceLast].every(isOffset)) {
    return refuse("invalid_argument");
  }
  const isSame = ref.inode === operation.file.inode;
  if (isSame && sourceStart < end && start < sourceLast) return refuse("invalid_argument");
  const file = openChanged(step, operation);
  if (isRefusal(file)) return file;
  const source = openRegular(step.map, step.context.dirKeys, ref);
  if (isRefusal(source)) return source;
  const from = { start: sourceStart, end: Math.min(sourceLast, source.entry.size) };
  const copied = Math.max(0, from.end - from.start);
  if (copied === 0) {
    return { kind: "file", attributes: fileAttributes(file), offset: start, length: 0 };
  }
  if (start + copied > step.context.limits.objectSizeMax) return refuse("object_too_large");
  const { content } = fileCold(step.map, step.context.dirKeys, source);
  const counted = countAllSmall(step, content);
  putFileContent(step, source, counted);
  const shared = shareRangeOf(step, counted, from, start);
  if (isRefusal(shared)) return shared;
  const data = dataSize(step.map, counted, from);
  const draft = draftOf(step, file);
  replaceRange(step, draft, { start, end: start + copied }, shared, data);
  const answer = storeDraft(step, operation, draft);
  return answer.kind === "file" ? { ...answer, offset: start, length: copied } : answer;
}
