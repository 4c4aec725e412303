import { statfs } from "node:fs/promises";

/** Share of the file system from which on nothing is stored, whoever filled it (spec §7.9). */
const usedShareMax = 0.9;

/** Whether there is room on the disk beyond what this process may take. */
export class Room {
  readonly #directory: string;
  constructor(directory: string) {
    this.#directory = directory;
  }
  /** @throws when the disk does not say. */
  async has(size: number): Promise<boolean> {
    const { blocks, bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize - size >= blocks * bsize * (1 - usedShareMax);
  }
}
