/** A child process that commits rows and says each one that was acknowledged, until it is killed. */
import {
  createTable,
  databaseOptions,
  insertRows,
  openBench,
  openSet,
} from "./fixture.test-helper.ts";
import { openDatabase } from "./database.ts";

const [root, members, from, mode] = process.argv.slice(2);
const bench = openBench(Number(members), root!);
const set = openSet(bench);
const first = Number(from);
const database = first === 0 ? createTable(set) : openDatabase(set, databaseOptions());
database.run("PRAGMA wal_autocheckpoint = 40");
for (let n = first; n < first + 4000; n += 4) {
  insertRows(database, n, n + 4);
  process.stdout.write(`${n + 4}\n`);
  if (mode === "lose" && n === first + 80) Bun.spawnSync(["rm", "-rf", bench.directories[1]!]);
}
database.close(true);
set.close();
