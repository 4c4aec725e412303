import { spawn } from "node:child_process";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { scavenge } from "@kiseki/client";
import { ownCommand } from "../cli/background.ts";

export interface Scrubbed {
  /** Pools that were erased. */
  readonly erased: number;
  /** What went wrong. */
  readonly codes: readonly string[];
}

const tenantPattern = /^[0-9a-f]{32}$/;
/** Below a folder of caches each user may have one, named by the user's number. */
const userPattern = /^(0|[1-9][0-9]{0,9})$/;
const never = new AbortController().signal;

/** Erases the pools of this user that nobody holds. */
async function scrubOwn(directory: string): Promise<Scrubbed> {
  const codes: string[] = [];
  const erased = await scavenge(directory, never, (code) => codes.push(code));
  return { erased, codes: codes.filter((code) => code !== "ENOENT") };
}

/**
 * Erases the pools that nobody holds, below the folder and below `folder/<uid>`. Root does it for every user, each as that
 * user: what they put in the way of names is then nothing that they could not touch themselves.
 */
export async function scrub(directory: string): Promise<Scrubbed> {
  if (process.getuid?.() !== 0) return scrubOwn(directory);
  const sum = { erased: 0, codes: [] as string[] };
  for (const [folder, owners] of await ownersOf(directory))
    for (const { uid, gid } of owners) {
      const { erased, codes } =
        uid === 0 ? await scrubOwn(folder) : await scrubAs(uid, gid, folder);
      sum.erased += erased;
      sum.codes.push(...codes);
    }
  return sum;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}
/** Folders with pools, and whose pools they are. */
async function ownersOf(directory: string): Promise<Map<string, readonly Owner[]>> {
  const found = new Map<string, readonly Owner[]>();
  const names = await readdir(directory).catch(() => []);
  const users = names.filter((name) => userPattern.test(name) && !tenantPattern.test(name));
  for (const folder of [directory, ...users.map((name) => join(directory, name))]) {
    const owners = new Map<number, Owner>();
    const status = await lstat(folder).catch(() => undefined);
    if (!status?.isDirectory()) continue;
    // In a folder of somebody else's, names lead where its owner likes.
    if (status.uid !== 0) owners.set(status.uid, status);
    else
      for (const name of (await readdir(folder)).filter((each) => tenantPattern.test(each))) {
        const tenant = await lstat(join(folder, name)).catch(() => undefined);
        if (tenant?.isDirectory()) owners.set(tenant.uid, tenant);
      }
    found.set(
      folder,
      [...owners.values()].map(({ uid, gid }) => ({ uid, gid })),
    );
  }
  return found;
}

/** The same program as another user. */
async function scrubAs(uid: number, gid: number, directory: string): Promise<Scrubbed> {
  const [program = "", ...rest] = ownCommand();
  const words = [program, ...rest, "cache-scrub", "--once", "--json", "--cache-dir", directory];
  const user = [`reuid=${uid}`, `regid=${gid}`, "clear-groups", "no-new-privs"];
  const environment = { PATH: "/usr/bin:/bin" };
  const child = spawn("setpriv", [...user.map((word) => `--${word}`), ...words], {
    env: environment,
    cwd: "/",
  });
  let text = "";
  child.stdout.on("data", (piece: Buffer) => (text += piece.toString()));
  child.stderr.pipe(process.stderr);
  await new Promise<void>((resolve) =>
    child.on("close", () => resolve()).on("error", () => resolve()),
  );
  try {
    return JSON.parse(text) as Scrubbed;
  } catch {
    return { erased: 0, codes: [`uid ${uid}`] };
  }
}
