import { compareBytes, concatBytes, sameBytes } from "@kiseki/base";
import type { DirectoryEntry, ObjectEntry } from "@kiseki/format";
import {
  decodeEntry,
  entryKey,
  entryKeyName,
  keyAfterPrefix,
  oldDirectoryPrefix,
  oldKey,
  oldStart,
  parseOldKey,
} from "@kiseki/format";
import type { InodeId } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";
import { childDirectory } from "./directories.ts";
import { isObject, resolveEntry } from "./inodes.ts";
import { isComponent, isShown } from "./key-path.ts";
import type { DirKeys } from "./operation.ts";
import { startsWith } from "./roll-up.ts";
import { afterKey, RowCursor } from "./row-cursor.ts";
import { decodeOld } from "./target.ts";

const slash = 0x2f;
const nothing = new Uint8Array(0);

/** A directory being walked: its rows in name order, with its old rows between them if asked for. */
interface Frame {
  /** From the root, ends in a slash; empty for the root. */
  readonly path: Uint8Array;
  readonly dirKey: Uint8Array;
  readonly entries: RowCursor;
  readonly olds: RowCursor | undefined;
  /** Name of the last object shown: what follows under it is not the latest. */
  lastName: Uint8Array | undefined;
}

export type WalkEvent =
  | {
      readonly kind: "object";
      readonly key: Uint8Array;
      readonly entry: ObjectEntry;
      readonly isLatest: boolean;
    }
  /** Entered unless the visitor says `skip`. */
  | { readonly kind: "directory"; readonly path: Uint8Array; readonly entry: DirectoryEntry };

/**
 * Depth-first walk over the keys of a namespace, which is their order: `name/` sorts where its keys
 * belong, so nothing is ever sorted. Only UTF-8 names are shown.
 */
export class KeyWalk {
  readonly #map: MapReader;
  readonly #dirKeys: DirKeys;
  readonly #withOld: boolean;
  readonly #stack: Frame[] = [];
  /** The directory of the last event, not entered yet. */
  #pending: { readonly path: Uint8Array; readonly entry: DirectoryEntry } | undefined;

  constructor(map: MapReader, dirKeys: DirKeys, root: InodeId, withOld: boolean) {
    this.#map = map;
    this.#dirKeys = dirKeys;
    this.#withOld = withOld;
    this.#push(nothing, root);
  }

  #push(path: Uint8Array, inode: InodeId): Frame {
    const dirKey = this.#dirKeys.dirKey(inode);
    const start = entryKey(dirKey, nothing);
    const oldFirst = oldDirectoryPrefix(dirKey);
    const frame: Frame = {
      path,
      dirKey,
      entries: new RowCursor(this.#map, start, keyAfterPrefix(start)),
      olds: this.#withOld
        ? new RowCursor(this.#map, oldFirst, keyAfterPrefix(oldFirst))
        : undefined,
      lastName: undefined,
    };
    this.#stack.push(frame);
    return frame;
  }

  /** Goes on with the first key at or above `bound`, which lies above all keys shown. One seek per directory of it. */
  seek(bound: Uint8Array, isInside = false): void {
    this.#pending = undefined;
    while (!startsWith(bound, this.#stack.at(-1)!.path)) this.#stack.pop();
    let frame = this.#stack.at(-1)!;
    for (;;) {
      const rest = bound.subarray(frame.path.byteLength);
      const at = rest.indexOf(slash);
      const rowName = rest.subarray(0, at + 1);
      // Unless it is to be inside, a bound that is a directory's own path stops at its row, the next event.
      const child =
        at > 0 && (isInside || at + 1 < rest.byteLength) && isComponent(rest, 0, at)
          ? childDirectory(this.#map, this.#dirKeys, frame.dirKey, rowName)
          : undefined;
      if (child === undefined) {
        frame.entries.seek(entryKey(frame.dirKey, rest));
        frame.olds?.seek(oldStart(frame.dirKey, rest));
        return;
      }
      frame.entries.seek(afterKey(entryKey(frame.dirKey, rowName)));
      frame.olds?.seek(oldStart(frame.dirKey, rowName));
      frame = this.#push(concatBytes(frame.path, rowName), child.inode);
    }
  }

  /** Goes on with the versions of `key` that are older than `version`. */
  seekVersion(key: Uint8Array, version: bigint): void {
    this.seek(key, true);
    const frame = this.#stack.at(-1)!;
    const name = key.slice(frame.path.byteLength);
    frame.lastName = name;
    frame.entries.seek(afterKey(entryKey(frame.dirKey, name)));
    frame.olds?.seek(afterKey(oldKey(frame.dirKey, name, version)));
  }

  /** The directory of the last event is not entered. */
  skip(): void {
    this.#pending = undefined;
  }

  next(): WalkEvent | undefined {
    if (this.#pending !== undefined) {
      this.#push(this.#pending.path, this.#pending.entry.inode);
      this.#pending = undefined;
    }
    for (let frame = this.#stack.at(-1); frame !== undefined; frame = this.#stack.at(-1)) {
      const event = this.#nextIn(frame);
      if (event !== undefined) return event;
      this.#stack.pop();
    }
    return undefined;
  }

  #nextIn(frame: Frame): WalkEvent | undefined {
    for (;;) {
      const row = frame.entries.peek();
      const old = frame.olds?.peek();
      if (row === undefined && old === undefined) return undefined;
      const name = row === undefined ? undefined : entryKeyName(row.key);
      const parsed = old === undefined ? undefined : parseOldKey(old.key);
      if (row !== undefined && name !== undefined) {
        if (parsed === undefined || compareBytes(name, parsed.name) <= 0) {
          frame.entries.advance();
          const event = isShown(name) ? this.#entryEvent(frame, name, row.value) : undefined;
          if (event === undefined) continue;
          return event;
        }
      }
      frame.olds?.advance();
      if (old === undefined || parsed === undefined) continue;
      if (parsed.version === 0n || !isShown(parsed.name)) continue; // the pointer to the null version
      const isLatest = frame.lastName === undefined || !sameBytes(frame.lastName, parsed.name);
      frame.lastName = parsed.name;
      const key = concatBytes(frame.path, parsed.name);
      return { kind: "object", key, entry: decodeOld(old.value), isLatest };
    }
  }

  #entryEvent(frame: Frame, name: Uint8Array, value: Uint8Array): WalkEvent | undefined {
    const entry = decodeEntry(value);
    const path = concatBytes(frame.path, name);
    if (entry.kind === "directory") {
      this.#pending = { path, entry };
      return { kind: "directory", path, entry };
    }
    frame.lastName = name;
    const resolved = resolveEntry(this.#map, this.#dirKeys, entry);
    // What POSIX alone can name is no object, and what lies behind it is not the latest.
    if (!isObject(resolved)) return undefined;
    return { kind: "object", key: path, entry: resolved, isLatest: true };
  }
}
