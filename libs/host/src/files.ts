import { constants } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/**
 * Replaces `path` by `content` so that after a power cut either the old or the new content is there
 * whole: write beside, sync, rename, sync the directory. Readable by the owner alone.
 */
export async function replaceFile(path: string, content: Uint8Array | string): Promise<void> {
  const next = `${path}.new`;
  const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
  await using file = await open(next, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
  await file.chmod(0o600); // the file may be there from an interrupted run, with another mode
  await file.writeFile(content);
  await file.sync();
  await rename(next, path);
  await syncDirectory(dirname(path));
}

/** Makes `path` and what is missing above it, for the owner alone, durably. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  // Each new name is durable once the directory that holds it is synced.
  const top = resolve(first).length;
  for (let made = resolve(path); made.length >= top; made = dirname(made)) {
    await syncDirectory(dirname(made));
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}
