import { closeSync, constants, openSync, type Stats, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { MiB, newBytes } from "@kiseki/base";
import type { StagedFile } from "@kiseki/cache";
import type { Crypto } from "@kiseki/ports";

const pieceSize = MiB;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** What was written of an image; its bytes come in order. */
export interface WrittenImage {
  readonly size: number;
  /** CRC-32C. */
  readonly checksum: number;
}

/**
 * Makes the file of a small image, never over another. All of it goes to the kernel's memory, and is cheaper here than by turns
 * of a thread; that a new name waits for the disk's journal now and then costs less.
 */
export async function writeImage(
  crypto: Crypto,
  path: string,
  bytes: Uint8Array,
): Promise<WrittenImage> {
  const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    for (let at = 0; at < bytes.byteLength;)
      at += writeSync(file, bytes, at, bytes.byteLength - at, at);
  } finally {
    closeSync(file);
  }
  return { size: bytes.byteLength, checksum: crypto.crc32c(0, bytes) };
}

/** An image on its way to the disk. */
export class ImageFile {
  readonly #file: FileHandle;
  readonly #crypto: Crypto;
  #size = 0;
  #checksum = 0;

  private constructor(file: FileHandle, crypto: Crypto) {
    this.#file = file;
    this.#crypto = crypto;
  }
  /** Makes the file, never over another. */
  static async create(crypto: Crypto, path: string): Promise<ImageFile> {
    return new ImageFile(await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), crypto);
  }

  /** Writes what comes after all that was written; the bytes are borrowed until it settles. */
  async append(bytes: Uint8Array): Promise<void> {
    const start = this.#size;
    this.#size += bytes.byteLength;
    this.#checksum = this.#crypto.crc32c(this.#checksum, bytes);
    for (let at = 0; at < bytes.byteLength;)
      at += (await this.#file.write(bytes, at, bytes.byteLength - at, start + at)).bytesWritten;
  }
  /** @throws when the disk has not got it all. */
  async end(): Promise<WrittenImage> {
    try {
      const { size } = await this.#file.stat();
      if (size !== this.#size)
        throw Object.assign(new Error("The image is short"), { code: "EIO" });
    } finally {
      await this.#file.close();
    }
    return { size: this.#size, checksum: this.#checksum };
  }
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}

/** What tells that nobody has written to an image since. */
export type Mark = Pick<Stats, "ino" | "dev" | "size" | "ctimeMs">;

/** Its mark, if the image has the bytes of its file, and nobody else can change it. @throws where it cannot be read. */
export async function verifyImage(
  crypto: Crypto,
  path: string,
  { size, checksum }: Pick<StagedFile, "size" | "checksum">,
): Promise<Mark | undefined> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const status = await file.stat();
    const isPrivate = (status.mode & 0o077) === 0 && status.uid === process.getuid?.();
    if (!status.isFile() || !isPrivate || status.size !== size) return undefined;
    return (await checksumOf(crypto, file, size)) === checksum ? status : undefined;
  } finally {
    await file.close();
  }
}

async function checksumOf(
  crypto: Crypto,
  file: FileHandle,
  size: number,
): Promise<number | undefined> {
  const piece = newBytes(Math.min(size, pieceSize));
  let checksum = 0;
  for (let at = 0; at < size;) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.byteLength, size - at), at);
    if (bytesRead === 0) return undefined;
    checksum = crypto.crc32c(checksum, piece.subarray(0, bytesRead));
    at += bytesRead;
  }
  piece.fill(0);
  return checksum;
}
