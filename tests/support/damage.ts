import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Flips one bit at each of these offsets. */
export async function flipBits(path: string, offsets: readonly number[]): Promise<void> {
  await using file = await open(path, "r+");
  const byte = new Uint8Array(new ArrayBuffer(1));
  for (const offset of offsets) {
    if ((await file.read(byte, 0, 1, offset)).bytesRead === 0) continue;
    byte[0]! ^= 1 << (offset & 7);
    await file.write(byte, 0, 1, offset);
  }
  await file.sync();
}

/** Offsets `step` apart from `first` to `end`, not on any block's border. */
export function everyNth(step: number, first: number, end: number): readonly number[] {
  const offsets: number[] = [];
  for (let offset = first; offset < end; offset += step) offsets.push(offset);
  return offsets;
}

/** Overwrites a file with zeros and keeps its size. */
export async function zeroFile(path: string): Promise<void> {
  const { size } = await stat(path);
  await using file = await open(path, "r+");
  await file.truncate(0);
  await file.truncate(size);
}

/** Paths of the files in a folder whose names contain `part`. */
export async function filesWith(folder: string, part: string): Promise<readonly string[]> {
  const names = await readdir(folder);
  return names.filter((name) => name.includes(part)).map((name) => join(folder, name));
}
