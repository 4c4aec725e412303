import type { InodeId, NamespaceId } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";
import type { DirKeys } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import { fileAttributes, fileOfEntry, findFile } from "./file.ts";
import type { NamedNode, PosixDirectory } from "./names.ts";
import { directoryAttributes, findDirectory, findName, refuseName } from "./names.ts";
import type { FileAttributes, FileRef } from "./operation.ts";
import type { FoundFile } from "./reading.ts";

/** What `stat` tells of what a name stands for. */
export function nodeAttributes(
  map: MapReader,
  dirKeys: DirKeys,
  { namespace, inode }: PosixDirectory,
  node: NamedNode,
): FileAttributes {
  if (node.kind === "directory") return directoryAttributes(node.head);
  const place = { directory: inode, name: node.rowName };
  const file = fileOfEntry(map, dirKeys, namespace, place, node.entry);
  return fileAttributes({ ...file, place }, node.isHidden);
}

/** A name of a directory: one component. Refused with `no_such_file` when there is none. */
export function lookupName(
  map: MapReader,
  dirKeys: DirKeys,
  query: {
    readonly namespace: NamespaceId;
    readonly directory: InodeId;
    readonly name: Uint8Array;
  },
): FoundFile {
  const directory = findDirectory(map, dirKeys, query.namespace, query.directory);
  if (isRefusal(directory)) return directory;
  const unfit = refuseName(query.name);
  if (unfit !== undefined) return unfit;
  const node = findName(map, dirKeys, directory, query.name);
  if (node === undefined) return refuse("no_such_file");
  return { kind: "file", attributes: nodeAttributes(map, dirKeys, directory, node) };
}

/** What a reference names, whatever its name is now. Refused with `stale_file` when it is gone. */
export function getFile(map: MapReader, dirKeys: DirKeys, ref: FileRef): FoundFile {
  if (ref.home === 0n) {
    const directory = findDirectory(map, dirKeys, ref.namespace, ref.inode);
    if (isRefusal(directory)) return directory;
    return { kind: "file", attributes: directoryAttributes(directory.head) };
  }
  const file = findFile(map, dirKeys, ref);
  return isRefusal(file) ? file : { kind: "file", attributes: fileAttributes(file) };
}
