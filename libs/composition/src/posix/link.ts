import type { ObjectEntry } from "@kiseki/format";
import { coldKey, encodeCold, encodeEntry, encodeInode, entryKey, inodeKey } from "@kiseki/format";
import { touchNode } from "../inodes.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import { isSplittable } from "../split-version.ts";
import type { Step } from "../step.ts";
import { allocateVersion } from "../step.ts";
import type { Target } from "../target.ts";
import { addName, getNewestOld, settleTarget } from "../target.ts";
import type { PosixFile } from "./file.ts";
import { fileAttributes, fileCold, findFile } from "./file.ts";
import { findName, refuseNewName } from "./names.ts";
import type { PosixOperation } from "./operation.ts";
import { openDirectory, stampOf, targetIn } from "./places.ts";

const linksMax = 65_000;

/** Where versions are kept a name that goes leaves one that is made of the file's content; under locks the file itself would be one. */
function mayLink(step: Step, file: PosixFile): boolean {
  const { versioning, isLockEnabled } = file.namespace;
  if (versioning === "off") return true;
  const { map, context } = step;
  const isKept = versioning === "enabled" && !isLockEnabled;
  return isKept && isSplittable(fileCold(map, context.dirKeys, file));
}
/** A name with versions behind it gets one above them, which is the file's from then on under each name. */
function versionFor(
  step: Step,
  target: Target,
  file: PosixFile,
): Pick<ObjectEntry, "version" | "isNull"> {
  const { map, context } = step;
  const { inode, version, isNull } = file.entry;
  if (getNewestOld(map, target) === undefined) return { version, isNull };
  const home = context.dirKeys.dirKey(file.home);
  const cold = fileCold(map, context.dirKeys, file);
  const newer = allocateVersion(step);
  map.delete(coldKey(home, inode, version));
  map.put(coldKey(home, inode, newer), encodeCold(cold));
  return { version: newer, isNull: false };
}

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
  if (!mayLink(step, file)) return refuse("links_not_kept");
  if (file.isOld || file.links === 0) return refuse("no_such_file");
  if (file.links >= linksMax) return refuse("too_many_links");
  const stamp = stampOf(step, operation);
  const target = targetIn(directory, operation.name, stamp);
  const version = versionFor(step, target, file);
  const entry = { ...touchNode(file.entry, stamp), ...version, home: file.home };
  if (file.entry.home === undefined && file.place !== undefined) {
    const dirKey = context.dirKeys.dirKey(file.place.directory);
    map.put(entryKey(dirKey, file.place.name), encodeEntry(entry));
  }
  const links = file.links + 1;
  const row = encodeInode({ entry, links, isOpen: false, namespace: namespace.id });
  map.put(inodeKey(context.dirKeys.dirKey(file.home), entry.inode), row);
  addName(step, target, entry);
  const exceeded = settleTarget(step, target);
  if (exceeded !== undefined) return exceeded;
  const place = { directory: directory.inode, name: operation.name };
  return { kind: "file", attributes: fileAttributes({ ...file, entry, links, place }) };
}
