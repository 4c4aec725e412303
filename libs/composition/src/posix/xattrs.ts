import { compareBytes, fromUtf8, sameBytes, toUtf8 } from "@kiseki/base";
import type { ColdRow, Xattr } from "@kiseki/format";
import { coldKey, decodeCold, encodeCold } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { headNode } from "../directories.ts";
import type { Answer, DirKeys, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { fileAttributes, fileCold, findFile, storeFile } from "./file.ts";
import type { PosixDirectory } from "./names.ts";
import { directoryAttributes, findDirectory } from "./names.ts";
import type { FileRef, PosixOperation } from "./operation.ts";
import { openDirectory, putHead, stampOf } from "./places.ts";

type Of<Kind extends PosixOperation["kind"]> = Extract<PosixOperation, { kind: Kind }>;
const nameSizeMax = 255;
const valueSizeMax = 64 * 1024;
/** Names and values of one file together. */
const xattrsSizeMax = 64 * 1024;
const s3Prefix = "user.s3.";
const metadataPrefix = "user.s3.meta.";

const noContent: ColdRow = {
  content: { kind: "empty" },
  attributes: { headers: [], userMetadata: [], checksums: [] },
};
/** What S3 keeps with an object, as attributes that can be read. */
function s3Xattrs({ attributes }: ColdRow): readonly Xattr[] {
  const { headers, userMetadata, storageClass } = attributes;
  const texts = [
    ...headers.map(([name, value]) => [`${s3Prefix}${name}`, value] as const),
    ...userMetadata.map(([name, value]) => [`${metadataPrefix}${name}`, value] as const),
    ...(storageClass === undefined ? [] : [[`${s3Prefix}storage-class`, storageClass] as const]),
  ];
  return texts.map(([name, value]) => ({ name: toUtf8(name), value: toUtf8(value) }));
}

/** A directory's cold row, of version 0 in itself; there only when it has attributes. */
const directoryColdKey = ({ dirKey, inode }: PosixDirectory): Uint8Array =>
  coldKey(dirKey, inode, 0n);
function directoryCold(map: MapReader, directory: PosixDirectory): ColdRow {
  const value = map.get(directoryColdKey(directory));
  return value === undefined ? noContent : decodeCold(value);
}
function findCold(map: MapReader, dirKeys: DirKeys, ref: FileRef): ColdRow | Refusal {
  if (ref.home === 0n) {
    const directory = findDirectory(map, dirKeys, ref.namespace, ref.inode);
    return isRefusal(directory) ? directory : directoryCold(map, directory);
  }
  const file = findFile(map, dirKeys, ref);
  return isRefusal(file) ? file : fileCold(map, dirKeys, file);
}

export function getXattr(
  map: MapReader,
  dirKeys: DirKeys,
  ref: FileRef,
  name: Uint8Array,
): { readonly kind: "value"; readonly value: Uint8Array } | Refusal {
  const cold = findCold(map, dirKeys, ref);
  if (isRefusal(cold)) return cold;
  const all = [...s3Xattrs(cold), ...(cold.xattrs ?? [])];
  const found = all.find((xattr) => compareBytes(xattr.name, name) === 0);
  return found === undefined ? refuse("no_such_attribute") : { kind: "value", value: found.value };
}
export function listXattrs(
  map: MapReader,
  dirKeys: DirKeys,
  ref: FileRef,
): { readonly kind: "names"; readonly names: readonly Uint8Array[] } | Refusal {
  const cold = findCold(map, dirKeys, ref);
  if (isRefusal(cold)) return cold;
  const names = [...s3Xattrs(cold), ...(cold.xattrs ?? [])].map(({ name }) => name);
  return { kind: "names", names };
}
/** The target of a symlink. */
export function readLink(
  map: MapReader,
  dirKeys: DirKeys,
  ref: FileRef,
): { readonly kind: "target"; readonly target: Uint8Array } | Refusal {
  if (ref.home === 0n) return refuse("wrong_type");
  const cold = findCold(map, dirKeys, ref);
  if (isRefusal(cold)) return cold;
  return cold.target === undefined ? refuse("wrong_type") : { kind: "target", target: cold.target };
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && sameBytes(a, b);
const sizeOf = (xattrs: readonly Xattr[]): number =>
  xattrs.reduce((size, { name, value }) => size + name.byteLength + value.byteLength, 0);

function changedXattrs(
  before: readonly Xattr[],
  operation: Of<"set_xattr"> | Of<"remove_xattr">,
): readonly Xattr[] | Refusal {
  const name = operation.attribute;
  if (fromUtf8(name)?.startsWith(s3Prefix) === true) return refuse("attribute_read_only");
  if (name.byteLength === 0 || name.byteLength > nameSizeMax || name.includes(0)) {
    return refuse("invalid_argument");
  }
  const others = before.filter((xattr) => !isSame(xattr.name, name));
  const isThere = others.length < before.length;
  if (operation.kind === "remove_xattr") return isThere ? others : refuse("no_such_attribute");
  const { flag, value } = operation;
  if (flag === "create" && isThere) return refuse("attribute_exists");
  if (flag === "replace" && !isThere) return refuse("no_such_attribute");
  const xattrs = [...others, { name, value }].toSorted((a, b) => compareBytes(a.name, b.name));
  const isFit = value.byteLength <= valueSizeMax && sizeOf(xattrs) <= xattrsSizeMax;
  return isFit ? xattrs : refuse("attributes_too_large");
}

export function changeXattr(
  step: Step,
  operation: Of<"set_xattr"> | Of<"remove_xattr">,
): Answer | Refusal {
  const { map, context } = step;
  const time = stampOf(step, operation);
  const ref = { ...operation.file, namespace: operation.namespace };
  if (ref.home === 0n) return changeDirectoryXattr(step, operation);
  const file = findFile(map, context.dirKeys, ref);
  if (isRefusal(file)) return file;
  const xattrs = changedXattrs(fileCold(map, context.dirKeys, file).xattrs ?? [], operation);
  if (!isList(xattrs)) return xattrs;
  const stored = storeFile(step, file, { time, xattrs });
  return isRefusal(stored) ? stored : { kind: "file", attributes: fileAttributes(stored) };
}
function changeDirectoryXattr(
  step: Step,
  operation: Of<"set_xattr"> | Of<"remove_xattr">,
): Answer | Refusal {
  const directory = openDirectory(step, operation.namespace, operation.file.inode);
  if (isRefusal(directory)) return directory;
  const xattrs = changedXattrs(directoryCold(step.map, directory).xattrs ?? [], operation);
  if (!isList(xattrs)) return xattrs;
  const key = directoryColdKey(directory);
  if (xattrs.length === 0) step.map.delete(key);
  else step.map.put(key, encodeCold({ ...noContent, xattrs }));
  const node = headNode(directory.head);
  const ctime = stampOf(step, operation);
  const head = { ...directory.head, node: { ...node, ctime, revision: node.revision + 1 } };
  putHead(step, head);
  return { kind: "file", attributes: directoryAttributes(head) };
}
const isList = (xattrs: readonly Xattr[] | Refusal): xattrs is readonly Xattr[] =>
  Array.isArray(xattrs);
