import { stat } from "node:fs/promises";
import { unmountFuse } from "@kiseki/fuse-device";
import { findMount } from "./mount-table.ts";

/** A mount point that cannot be used, in words for people. */
export class MountPointError extends Error {
  override readonly name = "MountPointError";
}

export const mountType = "fuse.kiseki";
const answerMs = 5000;

type Look = "directory" | "other" | "dead" | "silent" | "missing" | "hidden";

const deadCodes: ReadonlySet<unknown> = new Set(["ENOTCONN", "ECONNABORTED", "ENODEV"]);

/** What lies at `path`; a mount there may be dead, or its program may answer nothing. */
async function look(path: string): Promise<Look> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silent = new Promise<Look>((resolve) => {
    timer = setTimeout(() => resolve("silent"), answerMs);
  });
  const seen = stat(path).then(
    (status): Look => (status.isDirectory() ? "directory" : "other"),
    (reason: unknown): Look => {
      const code = reason instanceof Error && "code" in reason ? reason.code : undefined;
      if (deadCodes.has(code)) return "dead";
      return code === "ENOENT" || code === "ENOTDIR" ? "missing" : "hidden";
    },
  );
  const found = await Promise.race([seen, silent]);
  clearTimeout(timer);
  return found;
}

/**
 * Makes `target` ready: a mount of ours that its program left behind is taken away.
 *
 * @throws {MountPointError} where there is no directory, or something of ours is at work.
 */
export async function prepareMountPoint(nativeDirectory: string, target: string): Promise<void> {
  for (let left = 8; left > 0; left--) {
    const isOurs = findMount(target)?.type === mountType;
    const found = await look(target);
    if (found === "dead" && isOurs) {
      unmountFuse(nativeDirectory, target, true);
      continue;
    }
    if (found === "directory" && !isOurs) return;
    throw new MountPointError(faultOf(target, found));
  }
  throw new MountPointError(`Cannot mount on ${target}: too many dead mounts lie there`);
}

function faultOf(target: string, found: Look): string {
  const words: Readonly<Record<Look, string>> = {
    directory: "a namespace is mounted there already",
    other: "it is no directory",
    dead: "what is mounted there is dead; unmount it",
    silent: "what is mounted there does not answer; unmount it with umount -l",
    missing: "there is no such directory",
    hidden: "it cannot be seen by this user",
  };
  return `Cannot mount on ${target}: ${words[found]}`;
}
