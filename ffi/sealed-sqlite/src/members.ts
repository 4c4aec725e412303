import { JSCallback, type Pointer } from "bun:ffi";
import { join, resolve } from "node:path";
import { assert, concatBytes, newBytes, sameBytes, toHex } from "@kiseki/base";
import type { MemberList } from "@kiseki/format";
import { parseFileName, unfinishedSuffix } from "./database.ts";
import {
  copyMember,
  databaseFiles,
  ownFiles,
  readList,
  unfinishedFiles,
  writeList,
} from "./directory.ts";
import { cText, native } from "./native.ts";
import {
  type MemberSet,
  type MemberSetOptions,
  type MemberState,
  SealedSqliteError,
} from "./types.ts";

/** A directory while the set is being opened. */
interface Candidate {
  readonly index: number;
  readonly directory: string;
  list: MemberList | "missing" | "damaged";
  id: Uint8Array;
  state: MemberState;
}

const errnoInUse = 11; // EAGAIN, flock's word for a lock held elsewhere
const randomId = (): Uint8Array => crypto.getRandomValues(newBytes(16));
const noId = newBytes(16);
/** Native code writes it as well, from wherever the process stands. */
const notePathOf = (options: MemberSetOptions): string => resolve(options.versionNote);

function openDirectories(number: number, options: MemberSetOptions): Candidate[] {
  return options.directories.map((directory, index) => {
    const code = native().kiseki_set_member(number, index, cText(directory));
    if (code === -errnoInUse) {
      throw new SealedSqliteError(
        "in_use",
        `Cannot open ${directory}: another process has it open`,
      );
    }
    if (code !== 0) return { index, directory, list: "missing", id: noId, state: "absent" };
    try {
      const list = readList(join(directory, "members"));
      return { index, directory, list, id: noId, state: "lost" };
    } catch {
      return { index, directory, list: "missing", id: noId, state: "absent" }; // its disk fails
    }
  });
}

/** The highest list, with those that are current under it; undefined when no member holds one. */
function winningList(candidates: readonly Candidate[]): MemberList | undefined {
  let winner: MemberList | undefined;
  for (const { list, directory } of candidates) {
    if (typeof list === "string") continue;
    if (winner && !sameBytes(winner.set, list.set)) {
      throw new SealedSqliteError("foreign", `Cannot use ${directory}: it belongs to another set`);
    }
    if (!winner || list.version > winner.version) winner = list;
  }
  return winner;
}

function isCurrent(candidate: Candidate, winner: MemberList): boolean {
  const { list } = candidate;
  if (typeof list === "string") return false;
  return list.version === winner.version && winner.members.some((id) => sameBytes(id, list.self));
}

/** Refuses what is older than the note, and a set that is gone though the note remembers it. */
function checkNote(options: MemberSetOptions, winner: MemberList | undefined): bigint {
  const note = readList(notePathOf(options));
  if (note === "missing") return 0n; // a first start, or a config directory that was lost
  if (note === "damaged") {
    if (options.acceptLoss) return 0n;
    throw new SealedSqliteError("older_list", `Cannot read ${options.versionNote}: it is damaged`);
  }
  const isSameSet = winner !== undefined && sameBytes(note.set, winner.set);
  const isOlder = !isSameSet || winner.version < note.version;
  if (isOlder && !options.acceptLoss) {
    throw new SealedSqliteError(
      "older_list",
      `Cannot open ${options.directories.join(", ")}: member list ${note.version} is noted, ` +
        `${isSameSet ? winner.version : "none of that set"} is the newest found`,
    );
  }
  return note.version;
}

function checkFresh(candidates: readonly Candidate[]): void {
  for (const { directory, state } of candidates) {
    if (state === "absent" || ownFiles(directory).length === 0) continue;
    throw new SealedSqliteError(
      "foreign",
      `Cannot use ${directory}: it holds files and no member list`,
    );
  }
}

/** Copies what is not current from the first that is; a directory that cannot be written becomes absent. */
function bringUpToDate(candidates: readonly Candidate[], winner: MemberList | undefined): void {
  const present = candidates.filter(({ state }) => state !== "absent");
  const good = winner ? present.filter((candidate) => isCurrent(candidate, winner)) : present;
  for (const candidate of good) {
    const { list } = candidate;
    candidate.state = "good";
    candidate.id = typeof list === "string" ? randomId() : list.self.slice();
    const twin = good.find((other) => other !== candidate && sameBytes(other.id, candidate.id));
    if (twin === undefined) continue;
    const both = `${twin.directory} and ${candidate.directory}`;
    throw new SealedSqliteError("foreign", `Cannot use ${both}: one is a copy of the other`);
  }
  const source = good[0];
  if (!source) throw new SealedSqliteError("no_member", "Cannot open: no directory holds its list");
  for (const candidate of present) {
    if (candidate.state === "good") continue;
    try {
      copyMember(source.directory, candidate.directory);
      candidate.id = randomId();
      candidate.state = "copied";
    } catch {
      candidate.state = "absent"; // full, read-only or failing: it is left out of the list
    }
  }
}

/** Writes the new list, old members first: a copy counts only when those who vouch for it are synced. */
function writeLists(
  candidates: readonly Candidate[],
  set: Uint8Array,
  first: bigint,
): { version: bigint; live: Candidate[] } {
  for (let version = first; ; version += 1n) {
    const live = candidates.filter(({ state }) => state === "good" || state === "copied");
    if (live.length === 0) throw new SealedSqliteError("no_member", "Cannot write any member list");
    const members = live.map(({ id }) => id);
    const ordered = live.toSorted(
      (a, b) => Number(a.state === "copied") - Number(b.state === "copied"),
    );
    const failed = ordered.find((candidate) => {
      try {
        writeList(join(candidate.directory, "members"), {
          version,
          set,
          self: candidate.id,
          members,
        });
        return false;
      } catch {
        return true; // written out by the next version
      }
    });
    if (!failed) return { version, live };
    failed.state = "absent";
  }
}

function startUp(number: number, options: MemberSetOptions) {
  const candidates = openDirectories(number, options);
  if (candidates.every(({ state }) => state === "absent")) {
    throw new SealedSqliteError(
      "no_member",
      `Cannot open any of ${options.directories.join(", ")}`,
    );
  }
  const winner = winningList(candidates);
  const noted = checkNote(options, winner);
  if (!winner) checkFresh(candidates);
  bringUpToDate(candidates, winner);
  const set = winner ? winner.set.slice() : randomId();
  const highest = winner && winner.version > noted ? winner.version : noted;
  const { version, live } = writeLists(candidates, set, highest + 1n);
  const members = live.map(({ id }) => id);
  writeList(notePathOf(options), { version, set, self: noId, members });
  return { candidates, set, version, live };
}

function statusOf(number: number, candidates: readonly Candidate[]) {
  const numbers = new BigUint64Array(new ArrayBuffer(64));
  const code = native().kiseki_set_status(number, numbers);
  assert(code === 0, "the set is open");
  const live = Number(numbers[1]);
  return {
    version: numbers[0]!,
    members: candidates.map(({ directory, id, state, index }) => ({
      directory,
      id: state === "absent" ? "" : toHex(id),
      state: state === "absent" || ((live >> index) & 1) === 1 ? state : ("lost" as const),
    })),
    healedPages: Number(numbers[2]),
    healedFrames: Number(numbers[3]),
    healedFiles: Number(numbers[4]),
    damagedPages: Number(numbers[5]),
    seals: Number(numbers[6]),
  };
}

/** What `list` finds on any good member: a crash may have left a file on some of them only. */
function filesOf(
  number: number,
  candidates: readonly Candidate[],
  list: (directory: string) => readonly string[],
): readonly string[] {
  const good = statusOf(number, candidates).members.filter(
    ({ state }) => state === "good" || state === "copied",
  );
  const names = good.flatMap(({ directory }) => {
    try {
      return list(directory);
    } catch {
      return []; // its disk fails: the next act on it writes it out of the list
    }
  });
  return [...new Set(names)];
}

function lostCallback(options: MemberSetOptions): JSCallback {
  return new JSCallback(
    (member: number, isSilent: number, left: number) => {
      const directory = options.directories[member];
      assert(directory !== undefined, "a lost member has a directory");
      options.onLost?.({ directory, reason: isSilent ? "silent" : "error", left });
    },
    { args: ["i32", "i32", "i32"], returns: "void", threadsafe: true },
  );
}

/**
 * Opens the directories for this process alone, by the rules of STORE §1: the highest member list wins;
 * a list older than the note is refused; what the winning list does not name is copied anew; a new
 * version of the list is written, so that a directory put back later is known as old.
 * @throws {SealedSqliteError} `older_list`, `no_member`, `foreign`, `in_use`.
 */
export function openMembers(options: MemberSetOptions): MemberSet {
  const count = options.directories.length;
  assert(count >= 1 && count <= 8, "a set has 1 to 8 directories");
  assert(options.silentMax >= 1, "a member may be silent for a millisecond");
  const number = native().kiseki_set_new(count);
  if (number < 0) throw new SealedSqliteError("io", "Cannot open another set: 64 are open");
  try {
    const { candidates, set, version, live } = startUp(number, options);
    const callback = lostCallback(options);
    const mask = live.reduce((bits, { index }) => bits | (1 << index), 0);
    const code = native().kiseki_set_start(
      number,
      mask,
      concatBytes(set, ...candidates.map(({ id }) => id)),
      version,
      cText(notePathOf(options)),
      BigInt(options.silentMax),
      callback.ptr as Pointer,
    );
    if (code !== 0) throw new SealedSqliteError("io", `Cannot start the set: errno ${-code}`);
    return {
      number,
      status: () => statusOf(number, candidates),
      listFiles: () => filesOf(number, candidates, databaseFiles),
      deleteFile(file) {
        for (const name of [`${file}-wal`, file]) {
          const code = native().kiseki_file_delete(number, cText(name));
          if (code !== 0) throw new SealedSqliteError("io", `Cannot delete ${name}`);
        }
      },
      deleteUnfinished(name) {
        for (const file of filesOf(number, candidates, unfinishedFiles)) {
          const made = file.slice(0, file.lastIndexOf(unfinishedSuffix));
          if (parseFileName(made)?.name !== name) continue;
          native().kiseki_file_delete(number, cText(file));
        }
      },
      close() {
        const closed = native().kiseki_set_close(number);
        assert(closed === 0, "all databases of a set are closed before it");
        callback.close();
      },
    };
  } catch (reason) {
    native().kiseki_set_close(number);
    throw reason;
  }
}
