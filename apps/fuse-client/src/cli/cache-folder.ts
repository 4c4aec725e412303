/** Where the cache lies on a machine that many use, when nobody names a folder. */
import { lstatSync } from "node:fs";
import type { Environment } from "./command.ts";

const variable = "KISEKI_CACHE_DIR";
const usual = "/tmp/kiseki-cache";
const anyone = 0o1002;

/** A folder is its owner's alone, but for root's that is open to all, as /tmp is. */
function isUsable(path: string, uid: number): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.uid === uid) return true;
  return status.uid === 0 && (status.mode & anyone) === anyone;
}

/** `folder`; where that is another user's one beside it of the caller's own, which it then goes on having. */
export function ownCacheFolder(folder: string, uid: number): string {
  const own = `${folder}-${uid}`;
  const isBegun = lstatSync(own, { throwIfNoEntry: false })?.uid === uid;
  return !isBegun && isUsable(folder, uid) ? folder : own;
}

/** The environment with the folder of the cache named in it. */
export function withCacheFolder(environment: Environment, uid = process.getuid?.()): Environment {
  if (environment[variable] || uid === undefined) return environment;
  return { ...environment, [variable]: ownCacheFolder(usual, uid) };
}
