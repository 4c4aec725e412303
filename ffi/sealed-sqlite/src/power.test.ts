import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { prngFromSeed } from "@kiseki/base";
import { openDatabase } from "./database.ts";
import {
  databaseOptions,
  openBench,
  openSet,
  openVolume,
  readKeys,
} from "./fixture.test-helper.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const prng = prngFromSeed(seed);
console.log(`sealed-sqlite power: KISEKI_SIM_SEED=${seed}`);
const hasVolumes = (() => {
  using volume = openVolume("ext4", 16);
  return volume !== undefined;
})();
if (!hasVolumes) console.log("sealed-sqlite power: skipped, no ext4 volume can be mounted here");

for (const members of [1, 2]) {
  test.skipIf(!hasVolumes)(
    `a power cut under ${members} members keeps all that was acknowledged`,
    async () => {
      using volume = openVolume("ext4", 64);
      const root = join(volume!.path, "bench");
      mkdirSync(root);
      let rows = 0;
      for (let round = 0; round < 2; round++) {
        const child = Bun.spawn({
          cmd: [
            process.execPath,
            join(import.meta.dir, "writer.test-helper.ts"),
            root,
            `${members}`,
            `${rows}`,
          ],
          stdout: "pipe",
          stderr: "ignore",
        });
        const cutAt = rows + 8 + prng.below(300);
        let acknowledged = rows;
        let last = rows;
        let rest = "";
        let isCut = false;
        const decoder = new TextDecoder();
        for await (const chunk of child.stdout) {
          const lines = (rest + decoder.decode(chunk)).split("\n");
          rest = lines.pop()!;
          if (lines.length > 0) last = Number(lines.at(-1));
          if (isCut || last < cutAt) continue;
          // What is told later does not count: an fdatasync that is under way when the ioctl aborts
          // ext4's journal may answer 0. After a real power cut nobody is left to be told.
          acknowledged = last;
          volume!.cut();
          isCut = true;
        }
        await child.exited; // its COMMIT failed
        expect(isCut).toBe(true);
        volume!.remount();
        const bench = openBench(members, root);
        const set = openSet(bench);
        const database = openDatabase(set, databaseOptions());
        rows = readKeys(database).length;
        expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
        database.close(true);
        set.close();
        expect(rows).toBeGreaterThanOrEqual(acknowledged);
        expect(rows).toBeLessThanOrEqual(last + 4);
      }
    },
    20_000,
  );
}
