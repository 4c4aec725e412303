import { mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { MiB } from "@kiseki/base";
import { deviceBlockSize } from "@kiseki/format";
import { ChunkStoreError } from "./types.ts";

const pieceSize = 4 * MiB;

/**
 * Creates `path` with `size` bytes of zeros, written once so that no later write has to allocate, and
 * synced with its directory, which is made if it is not there. An existing file is left alone and
 * refused. `progress` gets the bytes written so far.
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
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "wx", 0o600);
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
    await rm(path, { force: true });
    throw reason;
  }
  await file.close();
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
