import { closeSync, constants, openSync, read } from "node:fs";
import { mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { assert, MiB, newBytes, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { pieceSizeMax } from "@kiseki/vfs";

/** What is checked by itself, so that a part of a block can be read alone. */
const segmentSize = 4096;
/** After the plaintext, for each segment: CRC-32C of the file's name, its number and its bytes, so that nothing passes for another. */
const checksumSize = 4;
const trailerSize = (size: number): number => Math.ceil(size / segmentSize) * checksumSize;
const fileSizeMax = pieceSizeMax + trailerSize(pieceSizeMax);
const diskBlockSize = 4096;
const zeros = newBytes(MiB);
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** What a block takes of the disk. */
export function blockFileSize(size: number): number {
  return Math.ceil((size + trailerSize(size)) / diskBlockSize) * diskBlockSize;
}
export const codeOf = (reason: unknown): string =>
  reason instanceof Error && "code" in reason ? String(reason.code) : "EIO";

/** What the checksums of a block go on from. */
export const seedOf = (crypto: Crypto, key: string): number => crypto.crc32c(0, toUtf8(key));
const numberBytes = newBytes(4);
const numberView = new DataView(numberBytes.buffer);
/** Of segment `number` of the block. */
function checksum(crypto: Crypto, seed: number, number: number, segment: Uint8Array): number {
  numberView.setUint32(0, number, true);
  return crypto.crc32c(crypto.crc32c(seed, numberBytes), segment);
}

/** Size of the file itself. */
export const blockContentSize = (size: number): number => size + trailerSize(size);

/** Fills `content` with a copy of the block and its trailer, as the file has them. */
export function fillBlockContent(
  crypto: Crypto,
  key: string,
  plaintext: Uint8Array,
  content: Uint8Array,
): void {
  const size = plaintext.byteLength;
  const seed = seedOf(crypto, key);
  content.set(plaintext);
  const trailer = new DataView(content.buffer, content.byteOffset + size, trailerSize(size));
  for (let number = 0, at = 0; at < size; number += 1, at += segmentSize) {
    const segment = plaintext.subarray(at, at + segmentSize);
    trailer.setUint32(number * checksumSize, checksum(crypto, seed, number, segment));
  }
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

/** Which bytes of a block are wanted: whole segments, the last one up to the block's end. */
export interface BlockPart {
  readonly key: string;
  /** Of the block. */
  readonly size: number;
  readonly from: number;
}
/** Whether `[from, to)` of a block can be read by itself. */
export const isReadable = (from: number, to: number, size: number): boolean =>
  from % segmentSize === 0 && (to % segmentSize === 0 || to === size);

export interface BlockPorts {
  readonly crypto: Crypto;
  /** Fills the target if nothing has to be waited for. */
  readonly readNow: ReadNow;
}
/** As `ReadCached` of the FUSE device. */
export type ReadNow = (fd: number, target: Uint8Array, offset: number) => boolean;

/** Fills `target` with a part of a block; false where the file does not have the block's bytes. @throws what the disk says. */
export async function readBlockFile(
  { crypto, readNow }: BlockPorts,
  path: string,
  part: BlockPart,
  target: Uint8Array,
): Promise<boolean> {
  const trailer = trailerFor(part, target);
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    // What the system has is here at once; a disk is waited for by another thread.
    if (!readNow(fd, target, part.from) && !(await readAll(fd, target, part.from))) return false;
    const at = trailerAt(part);
    if (!readNow(fd, trailer, at) && !(await readAll(fd, trailer, at))) return false;
  } finally {
    closeSync(fd);
  }
  return isRight(crypto, part, target, trailer);
}
/** As `readBlockFile`; `undefined`: somebody has to wait for the disk. */
export function readBlockNow(
  { crypto, readNow }: BlockPorts,
  path: string,
  part: BlockPart,
  target: Uint8Array,
): boolean | undefined {
  const trailer = trailerFor(part, target);
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    if (!readNow(fd, target, part.from) || !readNow(fd, trailer, trailerAt(part))) return undefined;
  } finally {
    closeSync(fd);
  }
  return isRight(crypto, part, target, trailer);
}
const trailerAt = ({ size, from }: BlockPart): number => size + (from / segmentSize) * checksumSize;
function trailerFor({ from, size }: BlockPart, target: Uint8Array): Uint8Array {
  assert(isReadable(from, from + target.byteLength, size), "whole segments are read");
  return newBytes(trailerSize(target.byteLength));
}
function isRight(
  crypto: Crypto,
  { key, from }: BlockPart,
  target: Uint8Array,
  trailer: Uint8Array,
): boolean {
  const sums = new DataView(trailer.buffer);
  const seed = seedOf(crypto, key);
  for (let index = 0, at = 0; at < target.byteLength; index += 1, at += segmentSize) {
    const segment = target.subarray(at, at + segmentSize);
    const sum = checksum(crypto, seed, from / segmentSize + index, segment);
    if (sum !== sums.getUint32(index * checksumSize)) return false;
  }
  return true;
}
const readSome = promisify(read);
/** False: the file ends before. */
async function readAll(fd: number, target: Uint8Array, offset: number): Promise<boolean> {
  for (let at = 0; at < target.byteLength;) {
    const { bytesRead } = await readSome(fd, target, at, target.byteLength - at, offset + at);
    if (bytesRead === 0) return false;
    at += bytesRead;
  }
  return true;
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
