import { access, mkdir, open, rename, rm, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { MiB } from "@kiseki/base";
import { deviceBlockSize } from "@kiseki/format";
import { ChunkStoreError } from "./types.ts";

const pieceSize = 4 * MiB;

/**
 * Creates `path` with `size` bytes of zeros, written once so that no later write has to allocate, and
 * synced with its directory, which is made if it is not there. It is filled as `path.new` and renamed,
 * so that a power cut leaves no short device. An existing file is left alone and refused. `progress`
 * gets the bytes written so far.
 * @throws {ChunkStoreError} `bad_size`, and the system's error (`EEXIST`, `ENOSPC`, …); a file half made is removed.
 */
export async function createDeviceFile(
  path: string,
  size: number,
  progress?: (done: number, total: number) => void,
): Promise<void> {
  if (!Number.isSafeInteger(size) || size <= 0 || size % deviceBlockSize !== 0)
    throw new ChunkStoreError(
      "bad_size",
      `Cannot create ${path}: its size must be a multiple of ${deviceBlockSize}, not ${size}`,
    );
  await makeFolders(dirname(path));
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) throw Object.assign(new Error(`EEXIST: ${path} exists`), { code: "EEXIST" });
  const unfinished = `${path}.new`; // of an earlier try, perhaps
  await rm(unfinished, { force: true });
  const { bfree, bsize, blocks } = await statfs(dirname(path));
  // A file system without an account of itself has no blocks.
  if (blocks > 0 && size > bfree * bsize) {
    const message = `ENOSPC: Cannot create ${path} of ${size} bytes: ${bfree * bsize} are free`;
    throw Object.assign(new Error(message), { code: "ENOSPC" });
  }
  const file = await open(unfinished, "w", 0o600);
  try {
    const zeros = new Uint8Array(Math.min(pieceSize, size));
    for (let done = 0; done < size;) {
      const part = zeros.subarray(0, Math.min(zeros.byteLength, size - done));
      const { bytesWritten } = await file.write(part, 0, part.byteLength, done);
      done += bytesWritten;
      progress?.(done, size);
    }
    await file.sync();
  } catch (reason) {
    await file.close();
    await rm(unfinished, { force: true });
    throw reason;
  }
  await file.close();
  await rename(unfinished, path);
  await syncFolder(dirname(path));
}

/** Makes `path` and what is missing above it, durably: each new name is synced in the folder that holds it. */
async function makeFolders(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  const top = resolve(first).length;
  for (let folder = resolve(path); folder.length >= top; folder = dirname(folder)) {
    await syncFolder(dirname(folder));
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
