import type { InodeId } from "@kiseki/base";
import { decodeInode, inodeKey, leaseKey } from "@kiseki/format";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal } from "../operation.ts";
import type { Step } from "../step.ts";
import { freeInode } from "../target.ts";
import type { PosixFile } from "./file.ts";
import { fileAttributes, findFile } from "./file.ts";
import { holderKey, holdInode, isHeldOpen, leaseKind, leaseTarget } from "./holders.ts";
import { dropLocks } from "./locks.ts";
import type { ClientId, PosixOperation } from "./operation.ts";
import { tellClosed } from "./told.ts";

type Of<Kind extends PosixOperation["kind"]> = Extract<PosixOperation, { kind: Kind }>;

export function holdOpen(step: Step, { home, entry }: PosixFile, client: ClientId): void {
  holdInode(step, home, entry.inode, client);
}

export function openFile(step: Step, operation: Of<"open_file">): Answer | Refusal {
  const file = findFile(step.map, step.context.dirKeys, operation.file);
  if (isRefusal(file)) return file;
  holdOpen(step, file, operation.client);
  return { kind: "file", attributes: fileAttributes(file) };
}

/** Nothing to close is no refusal: the session may have ended, or the file become an old version. */
export function closeFile(step: Step, { file, client }: Of<"close_file">): Answer {
  releaseOpen(step, file.home, file.inode, client);
  return { kind: "none" };
}

/** The session lets go of a file, and of its locks there; without name and other holders it is freed. */
export function releaseOpen(step: Step, home: bigint, inode: InodeId, client: ClientId): void {
  const { map, context } = step;
  dropLocks(step, home, inode, client);
  const key = leaseKey(client, leaseKind.open, leaseTarget(home, inode));
  if (map.get(key) === undefined) return;
  map.delete(key);
  const holder = holderKey(leaseKind.open, home, inode, client);
  const kept = map.get(holder);
  map.delete(holder);
  if (kept !== undefined) tellClosed(step, kept, home, inode);
  const directory = home as InodeId;
  const value = map.get(inodeKey(context.dirKeys.dirKey(directory), inode));
  if (value === undefined || isHeldOpen(map, home, inode)) return;
  const row = decodeInode(value);
  if (row.links === 0) freeInode(step, directory, row.entry);
}
