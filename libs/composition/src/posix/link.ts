import { encodeEntry, encodeInode, entryKey, inodeKey } from "@kiseki/format";
import { touchNode } from "../inodes.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { addName, settleTarget } from "../target.ts";
import { fileAttributes, findFile } from "./file.ts";
import { findName, refuseNewName } from "./names.ts";
import type { PosixOperation } from "./operation.ts";
import { openDirectory, stampOf, targetIn } from "./places.ts";

const linksMax = 65_000;

/** Another name for a file, whose inode lies in its own table from then on. */
export function link(
  step: Step,
  operation: Extract<PosixOperation, { kind: "link" }>,
): Answer | Refusal {
  const { map, context } = step;
  const directory = openDirectory(step, operation.namespace, operation.directory);
  if (isRefusal(directory)) return directory;
  const file = findFile(map, context.dirKeys, {
    ...operation.file,
    namespace: operation.namespace,
  });
  if (isRefusal(file)) return file;
  const { namespace } = directory;
  const unfit = refuseNewName(operation.name);
  if (unfit !== undefined) return unfit;
  if (findName(map, context.dirKeys, directory, operation.name) !== undefined) {
    return refuse("file_exists");
  }
  if (namespace.versioning !== "off") return refuse("links_not_kept");
  if (file.isOld || file.links === 0) return refuse("no_such_file");
  if (file.links >= linksMax) return refuse("too_many_links");
  const stamp = stampOf(step, operation);
  const entry = { ...touchNode(file.entry, stamp), home: file.home };
  if (file.entry.home === undefined && file.place !== undefined) {
    const dirKey = context.dirKeys.dirKey(file.place.directory);
    map.put(entryKey(dirKey, file.place.name), encodeEntry(entry));
  }
  const links = file.links + 1;
  const row = encodeInode({ entry, links, isOpen: false, namespace: namespace.id });
  map.put(inodeKey(context.dirKeys.dirKey(file.home), entry.inode), row);
  const target = targetIn(directory, operation.name, stamp);
  addName(step, target, entry);
  const exceeded = settleTarget(step, target);
  if (exceeded !== undefined) return exceeded;
  const place = { directory: directory.inode, name: operation.name };
  return { kind: "file", attributes: fileAttributes({ ...file, entry, links, place }) };
}
