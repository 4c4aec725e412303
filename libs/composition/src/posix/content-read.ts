import type { MapReader } from "@kiseki/ports";
import { isUnderCustomerKey } from "../encryption.ts";
import { nodeOf } from "../inodes.ts";
import type { DirKeys, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import { readContent, visitExtents } from "../read-content.ts";
import type { ContentPage } from "../reading.ts";
import type { PosixFile } from "./file.ts";
import { fileAttributes, fileCold, findFile } from "./file.ts";
import type { FileAttributes, FileRef } from "./operation.ts";

/** Extents that one seek looks at. */
const seekExtentsMax = 4096;

/** A regular file whose content the tenant's keys open. */
export function openRegular(map: MapReader, dirKeys: DirKeys, ref: FileRef): PosixFile | Refusal {
  const file = findFile(map, dirKeys, ref);
  if (isRefusal(file)) return file;
  if (nodeOf(file.entry).type !== "file") return refuse("wrong_type");
  const { attributes } = fileCold(map, dirKeys, file);
  return isUnderCustomerKey(attributes) ? refuse("customer_key") : file;
}

export interface FileContentQuery {
  readonly file: FileRef;
  readonly start: number;
  /** Cut at the file's size. */
  readonly end: number;
  readonly countMax: number;
}
/** What `[start, end)` of a file consists of, with the attributes of the same moment. `page.next`: ask on from there. */
export interface FileContent {
  readonly kind: "content";
  readonly attributes: FileAttributes;
  readonly page: ContentPage;
}
export function readFileContent(
  map: MapReader,
  dirKeys: DirKeys,
  { file: ref, start, end, countMax }: FileContentQuery,
): FileContent | Refusal {
  const file = openRegular(map, dirKeys, ref);
  if (isRefusal(file)) return file;
  if (!(start >= 0 && start <= end)) return refuse("invalid_argument");
  const { size } = file.entry;
  const range = { start: Math.min(start, size), end: Math.min(end, size) };
  const { content } = fileCold(map, dirKeys, file);
  const page = readContent(map, content, range, countMax);
  return { kind: "content", attributes: fileAttributes(file), page };
}

export interface SeekQuery {
  readonly file: FileRef;
  readonly offset: number;
  readonly what: "data" | "hole";
}
/** `none`: no data from there on, or the offset is not in the file. `more`: ask on from `offset`. */
export type Sought =
  { readonly kind: "at" | "more"; readonly offset: number } | { readonly kind: "none" } | Refusal;
/** The first byte at or behind `offset` that is data, or in a hole; the end of a file is a hole. */
export function seekFile(map: MapReader, dirKeys: DirKeys, query: SeekQuery): Sought {
  const { file: ref, offset, what } = query;
  const file = openRegular(map, dirKeys, ref);
  if (isRefusal(file)) return file;
  const { size } = file.entry;
  if (!(offset >= 0 && offset < size)) return { kind: "none" };
  let position = offset;
  let count = 0;
  let isFound = false;
  const { content } = fileCold(map, dirKeys, file);
  visitExtents(map, content, { start: offset, end: size }, (extent) => {
    isFound = what === "data" || extent.offset > position;
    if (what === "data") position = extent.offset;
    if (isFound) return false;
    position = extent.offset + extent.length;
    count += 1;
    return count < seekExtentsMax;
  });
  if (isFound) return { kind: "at", offset: position };
  if (count === seekExtentsMax) return { kind: "more", offset: position };
  return what === "hole" ? { kind: "at", offset: position } : { kind: "none" };
}
