import { expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openDatabase } from "./database.ts";
import {
  type Bench,
  crashImage,
  createTable,
  databaseOptions,
  insertRows,
  openBench,
  openSet,
  openVolume,
  readKeys,
} from "./fixture.test-helper.ts";
import { SealedSqliteError } from "./types.ts";

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (reason) {
    return reason instanceof SealedSqliteError ? reason.code : String(reason);
  }
  return "nothing thrown";
}
const states = (set: { status(): { members: readonly { state: string }[] } }) =>
  set.status().members.map(({ state }) => state);

/** A bench whose set was opened, filled with `count` rows and closed. */
function filled(members: number, count: number): Bench {
  const bench = openBench(members);
  const set = openSet(bench);
  const database = createTable(set);
  insertRows(database, 0, count);
  database.close(true);
  set.close();
  return bench;
}
function rowsOf(bench: Bench): number {
  const set = openSet(bench);
  const database = openDatabase(set, databaseOptions());
  const rows = readKeys(database).length;
  database.close(true);
  set.close();
  return rows;
}
function sameFiles(bench: Bench): boolean {
  const [first, ...rest] = bench.directories.map((directory) =>
    readdirSync(directory)
      .filter((name) => name !== "members")
      .toSorted()
      .map((name) => [name, readFileSync(join(directory, name)).toString("base64")]),
  );
  return rest.every((files) => Bun.deepEquals(files, first));
}

test("openMembers() writes a new list version at each start, and repeats it nowhere else", () => {
  using bench = openBench(2);
  for (const version of [1n, 2n, 3n]) {
    const set = openSet(bench);
    expect(set.status().version).toBe(version);
    expect(states(set)).toEqual(["good", "good"]);
    set.close();
  }
});

test("a new directory is copied anew and then holds everything alone", () => {
  using bench = filled(1, 100);
  const mirror = join(bench.root, "mirror");
  mkdirSync(mirror);
  const directories = [...bench.directories, mirror];
  const set = openSet(bench, { directories });
  expect(states(set)).toEqual(["good", "copied"]);
  const database = openDatabase(set, databaseOptions());
  insertRows(database, 100, 200);
  database.close(true);
  set.close();
  rmSync(bench.directories[0]!, { recursive: true });
  const alone = openSet(bench, { directories });
  expect(states(alone)).toEqual(["absent", "good"]);
  const again = openDatabase(alone, databaseOptions());
  expect(readKeys(again).length).toBe(200);
  again.close(true);
  alone.close();
});

test("a member that was away comes back as a copy, whatever it holds", () => {
  using bench = filled(2, 50);
  const away = join(bench.root, "away");
  renameSync(bench.directories[1]!, away);
  const set = openSet(bench);
  expect(states(set)).toEqual(["good", "absent"]);
  const database = openDatabase(set, databaseOptions());
  insertRows(database, 50, 100);
  database.close(true);
  set.close();
  renameSync(away, bench.directories[1]!);
  const whole = openSet(bench);
  expect(states(whole)).toEqual(["good", "copied"]);
  whole.close();
  expect(sameFiles(bench)).toBe(true);
  rmSync(bench.directories[0]!, { recursive: true });
  expect(rowsOf(bench)).toBe(100);
});

test("older lists alone are refused, and opened with acceptLoss", () => {
  using bench = filled(2, 50);
  using old = crashImage(bench);
  const set = openSet(bench);
  const database = openDatabase(set, databaseOptions());
  insertRows(database, 50, 100);
  database.close(true);
  set.close();
  const stale = { directories: old.directories, versionNote: bench.note };
  expect(codeOf(() => openSet(bench, stale))).toBe("older_list");
  // One that is current is enough: the old one is copied anew.
  const mixed = openSet(bench, { directories: [old.directories[0]!, bench.directories[1]!] });
  expect(states(mixed)).toEqual(["copied", "good"]);
  mixed.close();
  const lossy = openSet(bench, {
    directories: [old.directories[1]!],
    versionNote: bench.note,
    acceptLoss: true,
  });
  const rest = openDatabase(lossy, databaseOptions());
  expect(readKeys(rest).length).toBe(50);
  rest.close(true);
  lossy.close();
});

test("openMembers() refuses what is gone, foreign, a twin, or open elsewhere", () => {
  using bench = filled(2, 10);
  using other = filled(1, 10);
  const gone = { directories: [join(bench.root, "nowhere")] };
  expect(codeOf(() => openSet(bench, gone))).toBe("no_member");
  const empty = mkdtempSync(join(bench.root, "empty-"));
  expect(codeOf(() => openSet(bench, { directories: [empty] }))).toBe("older_list");
  const foreign = { directories: [bench.directories[0]!, other.directories[0]!] };
  expect(codeOf(() => openSet(bench, foreign))).toBe("foreign");
  rmSync(join(other.directories[0]!, "members"));
  const unlisted = {
    directories: other.directories,
    versionNote: join(other.root, "config", "none"),
  };
  expect(codeOf(() => openSet(other, unlisted))).toBe("foreign");
  const twin = join(bench.root, "twin");
  cpSync(bench.directories[0]!, twin, { recursive: true });
  expect(codeOf(() => openSet(bench, { directories: [bench.directories[0]!, twin] }))).toBe(
    "foreign",
  );
  const set = openSet(bench);
  expect(codeOf(() => openSet(bench))).toBe("in_use");
  set.close();
  expect(rowsOf(bench)).toBe(10);
});

test("a list that is damaged on one member costs that member its place, not the set", () => {
  using bench = filled(2, 30);
  writeFileSync(join(bench.directories[0]!, "members"), "not a list");
  const set = openSet(bench);
  expect(states(set)).toEqual(["copied", "good"]);
  set.close();
  expect(rowsOf(bench)).toBe(30);
});

test("a damaged note is refused like an older list, a missing one is a new config directory", () => {
  using bench = filled(2, 30);
  writeFileSync(bench.note, "not a list");
  expect(codeOf(() => openSet(bench))).toBe("older_list");
  rmSync(bench.note);
  expect(rowsOf(bench)).toBe(30);
});

test("a member whose list cannot be read is left out", () => {
  using bench = filled(2, 30);
  const list = join(bench.directories[0]!, "members");
  rmSync(list);
  mkdirSync(list); // reading it is EISDIR
  const set = openSet(bench);
  expect(states(set)).toEqual(["absent", "good"]);
  set.close();
});

for (const gone of [0, 1]) {
  test(`member ${gone} removed under a running writer is written out, and work goes on`, async () => {
    using bench = openBench(2);
    const set = openSet(bench);
    const database = createTable(set);
    insertRows(database, 0, 20);
    rmSync(bench.directories[gone]!, { recursive: true });
    for (let n = 20; n < 200; n += 20) insertRows(database, n, n + 20);
    expect(states(set)[gone]).toBe("lost");
    expect(set.status().version).toBe(2n);
    expect(readKeys(database).length).toBe(200);
    const reader = openDatabase(set, databaseOptions({ readOnly: true })); // same locks, same index
    expect(readKeys(reader).length).toBe(200);
    await Bun.sleep(0); // the callback comes by the event loop
    expect(bench.lost).toEqual([{ directory: bench.directories[gone]!, reason: "error", left: 1 }]);
    using image = openBench(2);
    cpSync(bench.directories[1 - gone]!, image.directories[1 - gone]!, { recursive: true });
    cpSync(bench.note, image.note);
    reader.close(true);
    database.close(true);
    set.close();
    expect(rowsOf(image)).toBe(200);
    expect(sameFiles(image)).toBe(true);
  });
}

test("with the last member gone every call fails and says so", async () => {
  using bench = openBench(2);
  const set = openSet(bench);
  const database = createTable(set);
  insertRows(database, 0, 20);
  for (const directory of bench.directories) rmSync(directory, { recursive: true });
  expect(() => insertRows(database, 20, 40)).toThrow();
  expect(() => readKeys(database)).toThrow();
  await Bun.sleep(0);
  expect(bench.lost.map(({ left }) => left)).toEqual([0, 0]);
  expect(codeOf(() => openDatabase(set, databaseOptions()))).toBe("no_member");
  database.close();
  set.close();
});

const hasVolumes = (() => {
  using volume = openVolume("ext4", 16);
  return volume !== undefined;
})();
if (!hasVolumes) console.log("sealed-sqlite members: skipped, no volume can be mounted here");

test.skipIf(!hasVolumes)("a member on a full file system is written out", () => {
  using volume = openVolume("tmpfs", 1);
  using bench = openBench(1);
  const set = openSet(bench, { directories: [bench.directories[0]!, volume!.path] });
  const database = createTable(set);
  for (let n = 0; n < 20_000; n += 1000) insertRows(database, n, n + 1000);
  expect(states(set)).toEqual(["good", "lost"]);
  expect(readKeys(database).length).toBe(20_000);
  database.close(true);
  set.close();
});

test.skipIf(!hasVolumes)("a full disk under all members is SQLITE_FULL, and nobody is lost", () => {
  using volume = openVolume("tmpfs", 1);
  using bench = openBench(1);
  const set = openSet(bench, { directories: [volume!.path] });
  const database = createTable(set);
  let count = 0;
  expect(() => {
    for (; count < 20_000; count += 500) insertRows(database, count, count + 500);
  }).toThrow("full");
  if (database.inTransaction) database.run("ROLLBACK");
  expect(states(set)).toEqual(["good"]);
  expect(readKeys(database).length).toBe(count);
  database.close();
  set.close();
});

for (const member of [0, 1]) {
  test.skipIf(!hasVolumes)(
    `member ${member} whose file system dies under it is written out`,
    () => {
      using volume = openVolume("ext4", 16);
      using bench = openBench(1);
      const directories = [bench.directories[0]!];
      directories.splice(member, 0, volume!.path);
      const set = openSet(bench, { directories });
      const database = createTable(set);
      insertRows(database, 0, 20);
      volume!.cut();
      for (let n = 20; n < 200; n += 20) insertRows(database, n, n + 20);
      expect(states(set)[member]).toBe("lost");
      expect(readKeys(database).length).toBe(200);
      database.close(true);
      set.close();
    },
  );

  test.skipIf(!hasVolumes)(
    `member ${member} that falls silent is written out after silentMax`,
    async () => {
      using volume = openVolume("ext4", 16);
      using bench = openBench(1);
      const directories = [bench.directories[0]!];
      directories.splice(member, 0, volume!.path);
      const set = openSet(bench, { directories, silentMax: 700 });
      const database = createTable(set);
      insertRows(database, 0, 20);
      volume!.freeze();
      try {
        for (let n = 20; n < 200; n += 20) insertRows(database, n, n + 20);
        expect(readKeys(database).length).toBe(200);
        expect(states(set)[member]).toBe("lost");
        await Bun.sleep(0);
        expect(bench.lost).toEqual([{ directory: volume!.path, reason: "silent", left: 1 }]);
      } finally {
        volume!.thaw();
      }
      database.close(true);
      set.close();
    },
  );
}
