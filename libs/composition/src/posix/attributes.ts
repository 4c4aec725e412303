import { headNode } from "../directories.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal } from "../operation.ts";
import type { Step } from "../step.ts";
import { fileAttributes, findFile, storeFile } from "./file.ts";
import { directoryAttributes } from "./names.ts";
import type { NewTime, PosixOperation } from "./operation.ts";
import { openDirectory, putHead, stampOf } from "./places.ts";

type SetAttributes = Extract<PosixOperation, { kind: "set_attributes" }>;
const setUid = 0o4000;
const setGid = 0o2000;
const groupExecute = 0o010;

/** The mode that chown and writing leave to who is not root. */
export function withoutSetId(mode: number): number {
  const bits = (mode & groupExecute) === 0 ? setUid : setUid | setGid;
  return mode & ~bits;
}

export function setAttributes(step: Step, operation: SetAttributes): Answer | Refusal {
  const stamp = stampOf(step, operation);
  const timeOf = (time: NewTime): bigint => (time === "now" ? stamp : time);
  const { atime, mtime, uid, gid } = operation;
  const times = {
    ...(atime === undefined ? {} : { atime: timeOf(atime) }),
    ...(mtime === undefined ? {} : { mtime: timeOf(mtime) }),
  };
  const owner = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
  const modeFrom = (before: number): number => {
    const mode = operation.mode === undefined ? before : operation.mode & 0o7777;
    return operation.isDroppingSetId === true ? withoutSetId(mode) : mode;
  };
  const ref = { ...operation.file, namespace: operation.namespace };
  if (ref.home !== 0n) {
    const file = findFile(step.map, step.context.dirKeys, ref);
    if (isRefusal(file)) return file;
    const change = { time: stamp, mode: modeFrom(file.entry.mode), ...owner, ...times };
    const stored = storeFile(step, file, change);
    return isRefusal(stored) ? stored : { kind: "file", attributes: fileAttributes(stored) };
  }
  const directory = openDirectory(step, ref.namespace, ref.inode);
  if (isRefusal(directory)) return directory;
  const { head } = directory;
  const node = headNode(head);
  const next = { ...node, ...times, ctime: stamp, revision: node.revision + 1 };
  const changed = { ...head, ...owner, mode: modeFrom(head.mode), node: next };
  putHead(step, changed);
  return { kind: "file", attributes: directoryAttributes(changed) };
}
