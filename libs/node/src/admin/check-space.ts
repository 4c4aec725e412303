import { statfs } from "node:fs/promises";
import { bytes } from "@kiseki/base";
import { type Admission, admitBatches } from "@kiseki/log";

const meaning: Readonly<Record<Admission, string>> = {
  all: "",
  deletes: ": only deletes are taken",
  none: ": nothing is written",
};

/** What each of `directories` has left, and what the node takes with that; one that does not answer is left out. */
export async function checkSpace(
  directories: readonly string[],
): Promise<{ readonly taken: Admission; readonly detail: string }[]> {
  const answers = await Promise.all(
    directories.map(async (directory) => {
      const answer = await statfs(directory).catch(() => undefined);
      if (answer === undefined) return []; // the member check says it
      const free = bytes(answer.bavail * answer.bsize);
      const taken = admitBatches({ free, total: bytes(answer.blocks * answer.bsize) });
      const left = `${directory} has ${Math.floor(free / 1024 ** 2)} MiB left`;
      return [{ taken, detail: `${left}${meaning[taken]}` }];
    }),
  );
  return answers.flat();
}
