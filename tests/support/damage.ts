import { cp, open, readdir, rm, stat, truncate } from "node:fs/promises";
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

/** Two blocks of `size` bytes change places. */
export async function swapBlocks(
  path: string,
  first: number,
  second: number,
  size = 4096,
): Promise<void> {
  await using file = await open(path, "r+");
  const [one, other] = [Buffer.alloc(size), Buffer.alloc(size)];
  await file.read(one, 0, size, first);
  await file.read(other, 0, size, second);
  await file.write(other, 0, size, first);
  await file.write(one, 0, size, second);
  await file.sync();
}

/** Cuts off the last bytes: `keep` is the part that stays, in [0, 1). */
export async function cutTail(path: string, keep: number): Promise<void> {
  await truncate(path, Math.floor((await stat(path)).size * keep));
}

/** What stands in these folders now, to be put back whole as often as a test likes. */
export async function snapshot(
  folders: readonly string[],
): Promise<{ readonly putBack: () => Promise<void> }> {
  for (const folder of folders) await cp(folder, `${folder}.kept`, { recursive: true });
  return {
    async putBack() {
      for (const folder of folders) {
        await rm(folder, { recursive: true, force: true });
        await cp(`${folder}.kept`, folder, { recursive: true });
      }
    },
  };
}
