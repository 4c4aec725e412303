import { statfs } from "node:fs/promises";
import { bytes } from "@kiseki/base";
import { type Admission, admitBatches } from "@kiseki/log";

/**
 * Free space of the data directory and its mirrors, asked once in a while: the scarcest decides. A
 * directory that does not answer is left out; losing it is the member set's business.
 */
export class SpaceWatch {
  readonly #directories: readonly string[];
  #admission: Admission = "none";

  private constructor(directories: readonly string[]) {
    this.#directories = directories;
  }
  static async open(directories: readonly string[]): Promise<SpaceWatch> {
    const watch = new SpaceWatch(directories);
    await watch.refresh();
    return watch;
  }
  get admission(): Admission {
    return this.#admission;
  }
  async refresh(): Promise<void> {
    const order: readonly Admission[] = ["none", "deletes", "all"];
    const answers = await Promise.allSettled(this.#directories.map((path) => statfs(path)));
    let worst: Admission | undefined;
    for (const answer of answers) {
      if (answer.status === "rejected") continue;
      const { bavail, blocks, bsize } = answer.value;
      const found = admitBatches({ free: bytes(bavail * bsize), total: bytes(blocks * bsize) });
      if (worst === undefined || order.indexOf(found) < order.indexOf(worst)) worst = found;
    }
    this.#admission = worst ?? "none";
  }
}
