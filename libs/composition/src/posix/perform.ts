import type { InodeId } from "@kiseki/base";
import { decodeHead, headKey } from "@kiseki/format";
import type { Answer, Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { setAttributes } from "./attributes.ts";
import { hasFitFields } from "./check-fields.ts";
import { performContent } from "./content-change.ts";
import { link } from "./link.ts";
import { lockFile, unlockFile } from "./locks.ts";
import { makeNode } from "./make-node.ts";
import { closeFile, openFile } from "./open-files.ts";
import { directoryAttributes } from "./names.ts";
import type { PosixOperation } from "./operation.ts";
import { keepOutcome, onceOf, recallOutcome } from "./outcome.ts";
import { rmdir, unlink } from "./remove.ts";
import { rename } from "./rename.ts";
import { closeSession, openSession } from "./sessions.ts";
import { tellChange } from "./told.ts";
import { changeXattr } from "./xattrs.ts";

export function performPosix(step: Step, operation: PosixOperation): Answer | Refusal {
  if (!hasFitFields(operation)) return refuse("invalid_argument");
  const once = onceOf(operation);
  if (once === undefined || !("once" in operation)) {
    return withDirectories(step, operation, performAndTell(step, operation));
  }
  const recalled = recallOutcome(step, operation, once);
  if (recalled !== undefined) return withDirectories(step, operation, recalled);
  const answer = performAndTell(step, operation);
  if (answer.kind !== "refused") keepOutcome(step, operation, once, answer);
  return withDirectories(step, operation, answer);
}
function performAndTell(step: Step, operation: PosixOperation): Answer | Refusal {
  const answer = perform(step, operation);
  if (answer.kind !== "refused") tellChange(step, operation, answer);
  return answer;
}
function withDirectories(
  step: Step,
  operation: PosixOperation,
  answer: Answer | Refusal,
): Answer | Refusal {
  if (answer.kind !== "file") return answer;
  const directories = changedDirectories(operation).flatMap((inode) => {
    const head = step.map.get(headKey(step.context.dirKeys.dirKey(inode)));
    return head === undefined ? [] : [directoryAttributes(decodeHead(head))];
  });
  return directories.length === 0 ? answer : { ...answer, directories };
}
/** Directories whose names an operation changes. */
function changedDirectories(operation: PosixOperation): readonly InodeId[] {
  if ("directory" in operation) return [operation.directory];
  if (operation.kind !== "rename") return [];
  const { from, to } = operation;
  return from.directory === to.directory ? [to.directory] : [from.directory, to.directory];
}

function perform(step: Step, operation: PosixOperation): Answer | Refusal {
  switch (operation.kind) {
    case "make_node":
      return makeNode(step, operation);
    case "unlink":
      return unlink(step, operation);
    case "rmdir":
      return rmdir(step, operation);
    case "rename":
      return rename(step, operation);
    case "link":
      return link(step, operation);
    case "set_attributes":
      return setAttributes(step, operation);
    case "set_xattr":
    case "remove_xattr":
      return changeXattr(step, operation);
    case "open_file":
      return openFile(step, operation);
    case "close_file":
      return closeFile(step, operation);
    case "lock":
      return lockFile(step, operation);
    case "unlock":
      return unlockFile(step, operation);
    case "write_file":
    case "append_file":
    case "truncate_file":
    case "allocate_file":
    case "copy_range":
    case "merge_extents":
      return performContent(step, operation);
    case "open_session":
      return openSession(step, operation);
    case "close_session":
      return closeSession(step, operation);
  }
}
