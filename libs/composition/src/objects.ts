import { assert } from "@kiseki/base";
import type { Content, Etag, ObjectAttributes, ObjectEntry } from "@kiseki/format";
import { isStorageClass } from "@kiseki/format";
import { unmetCondition } from "./conditions.ts";
import { admitExtents, contentOf } from "./content.ts";
import { attributesFit } from "./extras.ts";
import { isHeld } from "./holds.ts";
import { changedAt, isObject, linksOf } from "./inodes.ts";
import { isLocked, refuseLock, withDefaultLock } from "./lock.ts";
import type { Answer, Operation, Refusal, VersionRef } from "./operation.ts";
import { isRefusal, refuse } from "./operation.ts";
import type { Step } from "./step.ts";
import { allocateBoth } from "./step.ts";
import { isSplittable, keepOpenFile, splitVersion } from "./split-version.ts";
import type { Target } from "./target.ts";
import {
  addCurrent,
  addOld,
  freeCurrent,
  freeOld,
  getCold,
  getCurrent,
  getCurrentNode,
  getNewestOld,
  getOld,
  getOldNull,
  isReached,
  openTarget,
  putCold,
  reachTarget,
  removeCurrent,
  removeOld,
  settleTarget,
} from "./target.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;
const objectMode = 0o644;
const noEtag: Etag = { md5: new Uint8Array(16), parts: 0 };

/** A target that may be written, the current object having met the conditions. */
export function openForWrite(
  step: Step,
  operation: Pick<Of<"put_object">, "namespace" | "key" | "conditions">,
): Target | Refusal {
  const target = openTarget(step.map, step.context, operation);
  if (isRefusal(target)) return target;
  if (target.namespace.isReadOnly) return refuse("namespace_read_only");
  const unmet = unmetCondition(getCurrent(step.map, step.context, target), operation.conditions);
  return unmet === undefined ? target : refuse(unmet);
}

export interface NewObject {
  readonly content: Content;
  readonly size: number;
  readonly etag: Etag;
  readonly attributes: ObjectAttributes;
}
/** Makes `object` the newest version of the name, as the namespace's versioning says. */
export function placeObject(step: Step, target: Target, object: NewObject): Answer | Refusal {
  const closed = reachTarget(step, target);
  if (closed !== undefined) return closed;
  if (isDetachingLocked(step, target)) return refuse("object_locked");
  if (isFreeing(step, target) && isHeld(step, target.namespace.id)) return refuse("object_locked");
  displaceCurrent(step, target);
  const { size, etag, content } = object;
  const { storageClass, ...kept } = object.attributes;
  const attributes = withDefaultLock(step, target.namespace, kept);
  const made = newEntry(step, target, { kind: "object", size, etag, mode: objectMode });
  const entry = withClass(made, storageClass);
  addCurrent(step, target, entry);
  putCold(step, target, entry, { name: target.path.name, content, attributes });
  const exceeded = settleTarget(step, target);
  if (exceeded !== undefined) return exceeded;
  return {
    kind: "object",
    etag: entry.etag,
    size: entry.size,
    modified: entry.modified,
    version: entry.version,
    isNull: entry.isNull,
    checksums: object.attributes.checksums,
  };
}

/** The entry says the class, so that listings show it; the default one by saying nothing. */
export function withClass(entry: ObjectEntry, name: string | undefined): ObjectEntry {
  const { storageClass: _, ...others } = entry;
  const isNamed = name !== undefined && name !== "STANDARD" && isStorageClass(name);
  return isNamed ? { ...others, storageClass: name } : others;
}

/** A version that this operation makes, with a number and an inode of its own. */
function newEntry(
  step: Step,
  target: Target,
  parts: Pick<ObjectEntry, "kind" | "size" | "etag" | "mode">,
): ObjectEntry {
  const { now } = step.context;
  return {
    ...parts,
    ...allocateBoth(step),
    isNull: target.namespace.versioning !== "enabled",
    home: undefined,
    modified: now,
    created: now,
    uid: 0,
    gid: 0,
  };
}

/** Whether a new newest version takes one away that is there. */
export function isFreeing(step: Step, target: Target): boolean {
  const { versioning } = target.namespace;
  if (versioning === "enabled") return false;
  if (getCurrentNode(step.map, step.context, target)?.isNull === true) return true;
  return versioning === "suspended" && getOldNull(step.map, target)?.kind === "object";
}

/** Whether a current file becomes an old version. `isShared`: it lives on under other names. */
function isKeptVersion(
  step: Step,
  target: Target,
  current: ObjectEntry,
  isShared: boolean,
): boolean {
  const { versioning } = target.namespace;
  if ((versioning !== "enabled" && current.isNull) || !isObject(current)) return false;
  return !isShared || isSplittable(getCold(step.map, step.context, target, current));
}
/** Whether a version that is locked would lose this name of several, and so the key that it was locked under. */
export function isDetachingLocked(step: Step, target: Target): boolean {
  if (!target.namespace.isLockEnabled) return false;
  const current = getCurrentNode(step.map, step.context, target);
  if (current === undefined || linksOf(step, current) === 1) return false;
  return isLocked(
    getCold(step.map, step.context, target, current).attributes,
    step.context.now,
    false,
  );
}

/** Makes room for a new newest version: the current one becomes old or, called `null` and not kept, is freed. */
export function displaceCurrent(step: Step, target: Target): void {
  const { versioning, isLockEnabled } = target.namespace;
  assert(!isLockEnabled || versioning === "enabled", "where versions are locked all are kept");
  const current = getCurrentNode(step.map, step.context, target);
  if (current !== undefined) {
    const isShared = linksOf(step, current) > 1;
    const isKept = isKeptVersion(step, target, current, isShared);
    removeCurrent(step, target, current);
    const keep = isShared ? splitVersion : keepOpenFile;
    if (isKept) addOld(step, target, keep(step, target, current));
    if (!isKept || isShared) freeCurrent(step, target, current);
  }
  if (versioning !== "suspended") return;
  const oldNull = getOldNull(step.map, target);
  if (oldNull === undefined) return;
  removeOld(step, target, oldNull);
  freeOld(step, target, oldNull);
}

export function putObject(step: Step, operation: Of<"put_object">): Answer | Refusal {
  if (!attributesFit(operation.attributes, step.context.limits)) {
    return refuse("attributes_too_large");
  }
  const target = openForWrite(step, operation);
  if (isRefusal(target)) return target;
  const { size, etag, attributes } = operation;
  const unlockable = refuseLock(step, target.namespace, attributes);
  if (unlockable !== undefined) return unlockable;
  const extents = admitExtents(step, operation.content, size);
  if (isRefusal(extents)) return extents;
  const content = contentOf(step, extents, size);
  return placeObject(step, target, { content, size, etag, attributes });
}

const nothingDeleted: Answer = {
  kind: "deleted",
  version: undefined,
  isNull: false,
  isDeleteMarker: false,
};

export function deleteObject(step: Step, operation: Of<"delete_object">): Answer | Refusal {
  const target = openTarget(step.map, step.context, operation);
  if (isRefusal(target)) return target;
  if (target.namespace.isReadOnly) return refuse("namespace_read_only");
  if (operation.ifNewest !== undefined) {
    const newest = getCurrent(step.map, step.context, target) ?? getNewestOld(step.map, target);
    if (newest?.version !== operation.ifNewest) return refuse("precondition_failed");
    const { ifChanged } = operation;
    if (ifChanged !== undefined && changedAt(newest) !== ifChanged) {
      return refuse("precondition_failed");
    }
  }
  if (operation.version !== undefined) {
    return deleteVersion(step, target, operation.version, operation);
  }
  const node = getCurrentNode(step.map, step.context, target);
  if (node !== undefined && !isObject(node)) return nothingDeleted; // nothing that S3 sees
  // A delete marker is the current version, and conditions speak of that one (User Guide, "Conditional deletes").
  const newest = getCurrent(step.map, step.context, target) ?? getNewestOld(step.map, target);
  const unmet = unmetCondition(newest, operation.conditions);
  // A conditional delete of what is not there has come to what it wanted (DeleteObject, `If-Match`).
  if (unmet === "no_such_key") return nothingDeleted;
  if (unmet !== undefined) return refuse(unmet);
  if (!hasTags(step, target, newest, operation.ifTags)) return refuse("precondition_failed");
  if (target.namespace.versioning !== "off") return addMarker(step, target);
  const current = getCurrent(step.map, step.context, target);
  if (current === undefined) return nothingDeleted;
  if (isHeld(step, target.namespace.id)) return refuse("object_locked");
  removeCurrent(step, target, current);
  freeCurrent(step, target, current);
  settleTarget(step, target, true);
  return { kind: "deleted", version: undefined, isNull: true, isDeleteMarker: false };
}

/** Whether these are the tags of `entry`, which has none where it is a delete marker; true where `tags` ask for nothing. */
export function hasTags(
  step: Step,
  target: Target,
  entry: ObjectEntry | undefined,
  tags: Of<"delete_object">["ifTags"],
): boolean {
  if (tags === undefined) return true;
  const kept =
    entry?.kind === "object" ? getCold(step.map, step.context, target, entry).attributes.tags : [];
  return JSON.stringify(kept ?? []) === JSON.stringify(tags);
}

function putMarker(step: Step, target: Target): ObjectEntry {
  const marker = newEntry(step, target, { kind: "delete_marker", size: 0, etag: noEtag, mode: 0 });
  addOld(step, target, marker);
  return marker;
}
/** A name that lost its current row without leaving a version: the newest of those before it is no current one. */
export function coverOld(step: Step, target: Target): void {
  if (getNewestOld(step.map, target)?.kind === "object") putMarker(step, target);
}

/** What S3 DELETE does where versions are kept. */
export function addMarker(step: Step, target: Target): Answer | Refusal {
  const closed = reachTarget(step, target);
  if (closed !== undefined) return closed;
  if (isDetachingLocked(step, target)) return refuse("object_locked");
  if (isFreeing(step, target) && isHeld(step, target.namespace.id)) return refuse("object_locked");
  displaceCurrent(step, target);
  const marker = putMarker(step, target);
  settleTarget(step, target, true);
  return {
    kind: "deleted",
    version: marker.version,
    isNull: marker.isNull,
    isDeleteMarker: true,
  };
}

/** Removes one version for good; the newest of the rest becomes current unless it is a marker. */
function deleteVersion(
  step: Step,
  target: Target,
  version: VersionRef,
  { conditions, ifTags, isBypassing = false }: Of<"delete_object">,
): Answer | Refusal {
  const current = getCurrent(step.map, step.context, target);
  const isCurrent =
    current !== undefined && (version === "null" ? current.isNull : current.version === version);
  const found = isCurrent
    ? current
    : version === "null"
      ? getOldNull(step.map, target)
      : getOld(step.map, target, version);
  if (found === undefined || !isReached(target)) return nothingDeleted;
  const unmet = unmetCondition(found, conditions);
  if (unmet !== undefined) return refuse(unmet);
  if (!hasTags(step, target, found, ifTags)) return refuse("precondition_failed");
  if (found.kind === "object" && isHeld(step, target.namespace.id)) return refuse("object_locked");
  if (found.kind === "object" && target.namespace.isLockEnabled) {
    const { attributes } = getCold(step.map, step.context, target, found);
    if (isLocked(attributes, step.context.now, isBypassing)) return refuse("object_locked");
  }
  if (isCurrent) {
    removeCurrent(step, target, found);
    freeCurrent(step, target, found);
  } else {
    removeOld(step, target, found);
    freeOld(step, target, found);
  }
  const newest = getNewestOld(step.map, target);
  const isNameFree = getCurrentNode(step.map, step.context, target) === undefined;
  if (isNameFree && newest?.kind === "object") {
    removeOld(step, target, newest);
    addCurrent(step, target, newest);
  }
  settleTarget(step, target, true);
  return {
    kind: "deleted",
    version: found.version,
    isNull: found.isNull,
    isDeleteMarker: found.kind === "delete_marker",
  };
}
