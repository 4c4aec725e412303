import { expect, test } from "bun:test";
import { cpSync, readFileSync, statSync, truncateSync } from "node:fs";
import { prngFromSeed } from "@kiseki/base";
import { openDatabase, scrubFile } from "./database.ts";
import {
  type Bench,
  crashImage,
  createTable,
  databaseOptions,
  fileOf,
  flipBit,
  insertRows,
  openBench,
  openSet,
  patchFile,
  readKeys,
} from "./fixture.test-helper.ts";
import { SealedSqliteError } from "./types.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const prng = prngFromSeed(seed);
console.log(`sealed-sqlite damage: KISEKI_SIM_SEED=${seed}`);

const pageSize = 4096;
const frameSize = 4120;
const walHeaderSize = 32;

/** A crash image whose main file holds `checkpointed` rows and whose WAL the rest of `count`. */
function imageOf(members: number, checkpointed: number, count: number): Bench {
  using bench = openBench(members);
  const set = openSet(bench);
  const database = createTable(set);
  insertRows(database, 0, checkpointed);
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  for (let n = checkpointed; n < count; n += 10) insertRows(database, n, n + 10);
  const image = crashImage(bench);
  database.close(true);
  set.close();
  return image;
}

interface Outcome {
  /** Rows, or the code that opening or reading was refused with. */
  readonly rows: number | string;
  readonly healedPages: number;
  readonly healedFrames: number;
  readonly healedFiles: number;
}

function readImage(image: Bench): Outcome {
  const set = openSet(image);
  let rows: number | string;
  try {
    const database = openDatabase(set, databaseOptions());
    try {
      rows = readKeys(database).length;
      const check = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
      if (check?.integrity_check !== "ok") rows = `integrity: ${check?.integrity_check}`;
    } catch (reason) {
      rows = reason instanceof Error && "code" in reason ? String(reason.code) : String(reason);
    }
    database.close();
  } catch (reason) {
    if (!(reason instanceof SealedSqliteError)) throw reason;
    rows = reason.code;
  }
  const { healedPages, healedFrames, healedFiles } = set.status();
  set.close();
  return { rows, healedPages, healedFrames, healedFiles };
}

const refusals = ["damaged", "SQLITE_IOERR_DATA", "io"];
/** Where a bit is flipped: offset in the file out of its size. */
const mainRegions = {
  "the file header": () => 3,
  "content of page 1": () => 2000,
  "a nonce": () => 2 * pageSize - 32 + prng.below(12),
  "a tag": () => 3 * pageSize - 20 + prng.below(16),
  "a generation": () => 4 * pageSize - 4 + prng.below(4),
  "content of some page": (size: number) =>
    prng.below(size / pageSize) * pageSize + prng.below(4064),
};
for (const [region, offsetIn] of Object.entries(mainRegions)) {
  for (const members of [1, 2]) {
    test(`a bit flipped in ${region} of a main file is ${members === 1 ? "refused" : "healed"}`, () => {
      using image = imageOf(members, 200, 200);
      const path = fileOf(image, 0, ".db");
      const whole = readFileSync(path);
      flipBit(path, offsetIn(statSync(path).size));
      const outcome = readImage(image);
      if (members === 1) {
        expect(refusals).toContain(outcome.rows as string);
      } else {
        expect(outcome.rows).toBe(200);
        expect(outcome.healedPages).toBe(1);
        const last = readFileSync(path); // page 1 is written anew at each opening
        expect(last.subarray(pageSize).equals(whole.subarray(pageSize))).toBe(true);
      }
    });
  }
}

const walRegions = {
  "the WAL's header": () => prng.below(walHeaderSize),
  "a frame's page number": (frame: number) => walHeaderSize + frame * frameSize + prng.below(4),
  "a frame's commit size": (frame: number) => walHeaderSize + frame * frameSize + 4 + prng.below(4),
  "a frame's salts": (frame: number) => walHeaderSize + frame * frameSize + 8 + prng.below(8),
  "a frame's checksum": (frame: number) => walHeaderSize + frame * frameSize + 16 + prng.below(8),
  "a frame's body": (frame: number) => walHeaderSize + frame * frameSize + 24 + prng.below(4064),
  "a frame's nonce": (frame: number) =>
    walHeaderSize + frame * frameSize + 24 + 4064 + prng.below(12),
  "a frame's tag": (frame: number) =>
    walHeaderSize + frame * frameSize + 24 + 4076 + prng.below(16),
  "a frame's generation": (frame: number) =>
    walHeaderSize + (frame + 1) * frameSize - 4 + prng.below(4),
};
for (const [region, offsetOf] of Object.entries(walRegions)) {
  for (const members of [1, 2]) {
    test(`a bit flipped in ${region} before the last transaction is ${members === 1 ? "damage" : "healed"}`, () => {
      using image = imageOf(members, 100, 200);
      const path = fileOf(image, 0, ".db-wal");
      const frames = Math.floor((statSync(path).size - walHeaderSize) / frameSize);
      flipBit(path, offsetOf(prng.below(frames - 4)));
      const outcome = readImage(image);
      if (members === 1) expect(refusals).toContain(outcome.rows as string);
      else expect(outcome.rows).toBe(200);
    });
  }
}

test("two pages of a main file that changed places are refused, and healed with a second member", () => {
  for (const members of [1, 2]) {
    using image = imageOf(members, 200, 200);
    patchFile(fileOf(image, 0, ".db"), (bytes) => {
      const third = bytes.slice(2 * pageSize, 3 * pageSize);
      bytes.copyWithin(2 * pageSize, 3 * pageSize, 4 * pageSize);
      bytes.set(third, 3 * pageSize);
      return undefined;
    });
    const outcome = readImage(image);
    if (members === 1) expect(refusals).toContain(outcome.rows as string);
    else expect([outcome.rows, outcome.healedPages]).toEqual([200, 2]);
  }
});

test("two frames of a WAL that changed places are damage, and healed with a second member", () => {
  for (const members of [1, 2]) {
    using image = imageOf(members, 100, 200);
    patchFile(fileOf(image, 0, ".db-wal"), (bytes) => {
      const at = walHeaderSize + frameSize;
      const first = bytes.slice(at, at + frameSize);
      bytes.copyWithin(at, at + frameSize, at + 2 * frameSize);
      bytes.set(first, at + frameSize);
      return undefined;
    });
    const outcome = readImage(image);
    if (members === 1) expect(refusals).toContain(outcome.rows as string);
    else expect(outcome.rows).toBe(200);
  }
});

test("an older frame of the same page in a newer one's place is refused, healed with a second member", () => {
  for (const members of [1, 2]) {
    using bench = openBench(members);
    const set = openSet(bench);
    const database = createTable(set);
    insertRows(database, 0, 3);
    insertRows(database, 3, 6); // the same leaf again
    patchFile(fileOf(bench, 0, ".db-wal"), (bytes) => {
      const last = bytes.byteLength - frameSize;
      bytes.copyWithin(last, last - frameSize, last);
      return undefined;
    });
    const reader = openDatabase(set, databaseOptions({ readOnly: true }));
    if (members === 1) expect(() => readKeys(reader)).toThrow("disk I/O error");
    else expect(readKeys(reader).length).toBe(6);
    expect(set.status().healedFrames).toBe(members - 1);
    reader.close();
    database.close();
    set.close();
  }
});

test("a WAL cut anywhere ends behind its last whole transaction on one member, and is whole on two", () => {
  for (const members of [1, 2]) {
    for (let round = 0; round < 6; round++) {
      using image = imageOf(members, 100, 200);
      const path = fileOf(image, 0, ".db-wal");
      truncateSync(path, prng.below(statSync(path).size));
      const { rows } = readImage(image);
      if (members === 2) expect(rows).toBe(200);
      else
        expect(typeof rows === "number" && rows >= 100 && rows <= 200 && rows % 10 === 0).toBe(
          true,
        );
    }
  }
});

test("a main file that was cut under its WAL is refused: what is not there is not zeros", () => {
  using bench = openBench(1);
  const set = openSet(bench);
  const database = createTable(set);
  const long = "x".repeat(20_000); // ends in overflow pages, the last of the file
  database.query("INSERT INTO t VALUES (1, ?)").run(long);
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  database.run("INSERT INTO t VALUES (2, 'in the WAL')");
  using image = crashImage(bench);
  database.close(true);
  set.close();
  const path = fileOf(image, 0, ".db");
  truncateSync(path, statSync(path).size - pageSize);
  const second = openSet(image);
  const reader = openDatabase(second, databaseOptions());
  expect(() => reader.query("SELECT count(DISTINCT v) FROM t").all()).toThrow("disk I/O error");
  reader.close();
  expect(second.status().damagedPages).toBe(1);
  second.close();
});

test("a torn last transaction ends the log, and rows written after it survive", () => {
  using image = imageOf(1, 100, 200);
  const path = fileOf(image, 0, ".db-wal");
  flipBit(path, statSync(path).size - 100);
  const set = openSet(image);
  const database = openDatabase(set, databaseOptions());
  expect(readKeys(database).length).toBe(190);
  insertRows(database, 1000, 1010);
  using second = crashImage(image);
  database.close(true);
  set.close();
  expect(readImage(second).rows).toBe(200);
});

test("all of a page bad on both members is refused, each bad on one of them is healed", () => {
  using image = imageOf(2, 200, 200);
  flipBit(fileOf(image, 0, ".db"), 2 * pageSize + 5);
  flipBit(fileOf(image, 1, ".db"), 3 * pageSize + 5);
  expect(readImage(image)).toMatchObject({ rows: 200, healedPages: 1 }); // member 1 was not read
  using worse = imageOf(2, 200, 200);
  for (const member of [0, 1]) flipBit(fileOf(worse, member, ".db"), 2 * pageSize + 5);
  expect(refusals).toContain(readImage(worse).rows as string);
});

for (const member of [0, 1]) {
  test(`an old copy of the files put back on member ${member} is replaced from the other`, () => {
    using bench = openBench(2);
    let set = openSet(bench);
    createTable(set).close(true);
    set.close();
    using old = crashImage(bench);
    set = openSet(bench);
    const database = openDatabase(set, databaseOptions());
    insertRows(database, 0, 300);
    database.close(true);
    set.close();
    cpSync(fileOf(old, member, ".db"), fileOf(bench, member, ".db"));
    expect(readImage(bench)).toMatchObject({ rows: 300, healedFiles: 1 });
    expect(
      readFileSync(fileOf(bench, 0, ".db")).equals(readFileSync(fileOf(bench, 1, ".db"))),
    ).toBe(true);
  });
}

test("a main file that is gone or cut on one member is made whole from the other", () => {
  for (const size of [0, pageSize, 5 * pageSize + 17]) {
    using image = imageOf(2, 200, 200);
    truncateSync(fileOf(image, 0, ".db"), size);
    expect(readImage(image).rows).toBe(200);
    expect(
      readFileSync(fileOf(image, 0, ".db")).equals(readFileSync(fileOf(image, 1, ".db"))),
    ).toBe(true);
  }
});

test("scrubFile() heals what no read has met, and names what no member has", () => {
  using image = imageOf(2, 200, 200);
  flipBit(fileOf(image, 0, ".db"), 2 * pageSize + 5);
  flipBit(fileOf(image, 1, ".db"), 3 * pageSize + 5);
  for (const member of [0, 1]) flipBit(fileOf(image, member, ".db"), 4 * pageSize + 5);
  const set = openSet(image);
  const options = databaseOptions();
  const first = scrubFile(set, options, 1, 4);
  expect(first).toEqual({
    pages: statSync(fileOf(image, 0, ".db")).size / pageSize,
    damaged: 0,
    firstDamaged: 0,
  });
  expect(set.status().healedPages).toBe(2);
  expect(scrubFile(set, options, 1, 1000)).toMatchObject({ damaged: 1, firstDamaged: 5 });
  expect(() => scrubFile(set, { ...options, name: "none" }, 1, 1)).toThrow("it is not there");
  set.close();
});

test("page 1 torn by a power cut in a checkpoint comes out of the WAL", () => {
  for (const members of [1, 2]) {
    using image = imageOf(members, 0, 200);
    for (let member = 0; member < members; member++) {
      patchFile(fileOf(image, member, ".db"), (bytes) => bytes.fill(0xaa, 512, 1024));
    }
    expect(readImage(image)).toMatchObject({ rows: 200, healedPages: 1 });
  }
});
