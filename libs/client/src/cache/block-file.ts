import { constants } from "node:fs";
import { mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { fromHex, MiB, newBytes, toHex, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { pieceSizeMax } from "@kiseki/vfs";

/** After the plaintext: CRC-32C of the file's name and the plaintext, so that no file passes for another. */
const trailerSize = 4;
const fileSizeMax = pieceSizeMax + trailerSize;
const diskBlockSize = 4096;
const zeros = newBytes(MiB);
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** What a block takes of the disk. */
export function blockFileSize(size: number): number {
  return Math.ceil((size + trailerSize) / diskBlockSize) * diskBlockSize;
}
export const codeOf = (reason: unknown): string =>
  reason instanceof Error && "code" in reason ? String(reason.code) : "EIO";

function checksum(crypto: Crypto, key: string, plaintext: Uint8Array): string {
  const crc = crypto.crc32c(crypto.crc32c(0, toUtf8(key)), plaintext);
  return crc.toString(16).padStart(2 * trailerSize, "0");
}

/** A copy of the block with its trailer, as the file has it. */
export function blockFileContent(crypto: Crypto, key: string, plaintext: Uint8Array): Uint8Array {
  const content = newBytes(plaintext.byteLength + trailerSize);
  content.set(plaintext);
  content.set(fromHex(checksum(crypto, key, plaintext)), plaintext.byteLength);
  return content;
}

/** Makes the file, never over another. */
export async function writeBlockFile(path: string, content: Uint8Array): Promise<void> {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const file = await open(path, flags, 0o600).catch(async (reason: unknown) => {
    if (codeOf(reason) !== "ENOENT") throw reason;
    await mkdir(dirname(path), { mode: 0o700 }).catch((fault: unknown) => {
      if (codeOf(fault) !== "EEXIST") throw fault;
    });
    return open(path, flags, 0o600);
  });
  try {
    for (let at = 0; at < content.byteLength;)
      at += (await file.write(content, at, content.byteLength - at, at)).bytesWritten;
  } finally {
    await file.close();
  }
}

/** Fills `target`; false where the file does not have the block's bytes. */
export async function readBlockFile(
  crypto: Crypto,
  path: string,
  key: string,
  target: Uint8Array,
): Promise<boolean> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const trailer = newBytes(trailerSize);
    const { bytesRead } = await file.readv([target, trailer], 0);
    if (bytesRead !== target.byteLength + trailerSize) return false;
    return toHex(trailer) === checksum(crypto, key, target);
  } finally {
    await file.close();
  }
}

/** Zeros on the disk, then no file (spec §7.9). A file that is not there is erased. */
export async function eraseFile(path: string): Promise<void> {
  try {
    const file = await open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const { size: end, blocks } = await file.stat();
      // Of a file with holes no more than it has of the disk.
      const size = Math.min(end, Math.max(fileSizeMax, blocks * 512));
      for (let at = 0; at < size;)
        at += (await file.write(zeros, 0, Math.min(zeros.byteLength, size - at), at)).bytesWritten;
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (reason) {
    if (codeOf(reason) === "ENOENT") return;
    await unlink(path);
    // A link in place of the file is nothing of ours to overwrite; a socket has nothing on the disk.
    if (!["ELOOP", "ENXIO"].includes(codeOf(reason))) throw reason;
    return;
  }
  await unlink(path);
}
