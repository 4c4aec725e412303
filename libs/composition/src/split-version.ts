import type { ColdRow, InodeRow, ObjectEntry } from "@kiseki/format";
import { coldKey, encodeCold, encodeInode, inodeKey } from "@kiseki/format";
import { nanosOf } from "./directories.ts";
import { isUnderCustomerKey } from "./encryption.ts";
import { touchNode } from "./inodes.ts";
import { countAllSmall, holdContent } from "./posix/content-edit.ts";
import { isKept } from "./posix/holders.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";
import type { Target } from "./target.ts";
import { getCold, homeKey, putCold, targetDirectory } from "./target.ts";

/**
 * A version to be kept under the name of its file, by an inode of its own, while the file goes on as something else: both
 * are made of the same content, counted twice. The file's cold row is the caller's to change.
 */
export function splitVersion(step: Step, target: Target, current: ObjectEntry): ObjectEntry {
  const cold = getCold(step.map, step.context, target, current);
  const content = countAllSmall(step, cold.content);
  holdContent(step, content);
  const kept = { ...current, inode: allocateInode(step), home: undefined };
  putCold(step, target, kept, { ...cold, name: target.path.name, content });
  putCold(step, target, current, { ...cold, content });
  return kept;
}

/** What keeps a file from being split: S3's client alone can open its content. */
export const isSplittable = (cold: ColdRow): boolean => !isUnderCustomerKey(cold.attributes);

/** Attributes of a file that is no version under lock: what was locked was the version. */
export function withoutLocks(attributes: ColdRow["attributes"]): ColdRow["attributes"] {
  const { retention: _retention, legalHold: _hold, ...rest } = attributes;
  return rest;
}

/**
 * The version that a name keeps when its file is held open: sessions go on with the file, which has no name any more.
 * Answers the entry of the version; `current` itself when nobody holds it.
 */
export function keepOpenFile(step: Step, target: Target, current: ObjectEntry): ObjectEntry {
  const { map, context } = step;
  const home = current.home ?? targetDirectory(target);
  if (!isSplittable(getCold(map, context, target, current))) return current;
  if (!isKept(step, home, current.inode)) return current;
  const kept = splitVersion(step, target, current);
  const cold = getCold(map, context, target, current);
  const homeDirKey = homeKey(context, target, current);
  const key = coldKey(homeDirKey, current.inode, current.version);
  map.put(key, encodeCold({ ...cold, attributes: withoutLocks(cold.attributes) }));
  const entry = { ...touchNode(current, target.stamp ?? nanosOf(context.now)), home };
  const { id: namespace } = target.namespace;
  const row: InodeRow = { entry, links: 0, isOpen: true, namespace };
  map.put(inodeKey(homeDirKey, current.inode), encodeInode(row));
  return kept;
}
