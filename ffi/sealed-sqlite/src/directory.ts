import {
  closeSync,
  copyFileSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { decodeMemberList, encodeMemberList, type MemberList } from "@kiseki/format";
import { crc32c } from "./native.ts";

/** Files of a member that this library owns; everything else in the directory is left alone. */
const ownPattern = /^[a-z0-9-]{1,64}-[0-9a-f]{32}-k[1-9][0-9]{0,9}\.db(\.new)?(-wal)?$/;
const databasePattern = /\.db$/;
const unfinishedPattern = /\.db\.new(-wal)?$/;

export function syncPath(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The new bytes or the old ones, never a part. */
export function replaceFile(path: string, source: Uint8Array): void {
  const fd = openSync(`${path}.new`, "w", 0o600);
  try {
    let written = 0;
    while (written < source.byteLength) written += writeSync(fd, source, written);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  syncPath(dirname(path));
}

/** `missing` and `damaged` are no lists; neither is ever believed. */
export function readList(path: string): MemberList | "missing" | "damaged" {
  let source: Uint8Array;
  try {
    source = readFileSync(path);
  } catch (reason) {
    if (reason instanceof Error && "code" in reason && reason.code === "ENOENT") return "missing";
    throw reason;
  }
  const list = decodeMemberList(source, crc32c);
  return typeof list === "string" ? "damaged" : list;
}

export function writeList(path: string, list: MemberList): void {
  replaceFile(path, encodeMemberList(list, crc32c));
}

export function ownFiles(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => ownPattern.test(name));
}
export function databaseFiles(directory: string): readonly string[] {
  return ownFiles(directory).filter((name) => databasePattern.test(name));
}
/** Of creations that did not end. */
export function unfinishedFiles(directory: string): readonly string[] {
  return ownFiles(directory).filter((name) => unfinishedPattern.test(name));
}

/** Makes `target` hold what `source` holds, each file synced. Its list goes first: it is not believed meanwhile. */
export function copyMember(source: string, target: string): void {
  rmSync(join(target, "members"), { force: true });
  for (const name of ownFiles(target)) rmSync(join(target, name), { force: true });
  syncPath(target);
  for (const name of ownFiles(source)) {
    copyFileSync(join(source, name), join(target, name));
    syncPath(join(target, name));
  }
  syncPath(target);
}
