import { type InodeId, toHex } from "@kiseki/base";
import type { Change, DirKeys } from "@kiseki/composition";
import { decodeEntry, table } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { ChangedInode } from "./change-feed.ts";

const dirKeySize = 16;
const inodeSize = 8;

/** Remembers which inode a dirKey stands for, of those that a decision asked for. */
export class RecordingDirKeys implements DirKeys {
  readonly #keys: DirKeys;
  readonly #inodes = new Map<string, InodeId>();

  constructor(keys: DirKeys) {
    this.#keys = keys;
  }
  dirKey(inode: InodeId): Uint8Array {
    const key = this.#keys.dirKey(inode);
    this.#inodes.set(toHex(key), inode);
    return key;
  }
  hiddenName(dirKey: Uint8Array, name: Uint8Array): Uint8Array {
    return this.#keys.hiddenName(dirKey, name);
  }
  inodeOf(dirKey: Uint8Array): InodeId | undefined {
    return this.#inodes.get(toHex(dirKey));
  }
}

const inodeIn = (value: Uint8Array | undefined): bigint | undefined => {
  if (value === undefined) return undefined;
  const entry = decodeEntry(value);
  return entry.kind === "delete_marker" ? undefined : entry.inode;
};

/** Inodes that a change of `client` touches; `map` as it was before. */
export function changedInodes(
  map: MapReader,
  { rows }: Change,
  keys: RecordingDirKeys,
  client?: Uint8Array,
): readonly ChangedInode[] {
  const changed = new Map<bigint, ChangedInode>();
  const note = (inode: bigint | undefined, isDirectory: boolean): void => {
    if (inode === undefined || changed.get(inode)?.isDirectory === true) return;
    changed.set(inode, { inode, isDirectory, client });
  };
  for (const { key, value } of rows) {
    const directory = keys.inodeOf(key.subarray(1, 1 + dirKeySize));
    switch (key[0]) {
      case table.entry: {
        const [before, after] = [inodeIn(map.get(key)), inodeIn(value)];
        note(before, false);
        note(after, false);
        if (before !== after) note(directory, true);
        break;
      }
      case table.head:
        note(directory, false);
        break;
      case table.inode:
      case table.cold: {
        const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
        const at = 1 + dirKeySize;
        if (key.byteLength >= at + inodeSize) note(view.getBigUint64(at), false);
        break;
      }
      case table.lease:
        note(lockedInode(key), false);
        break;
      default:
    }
  }
  return [...changed.values()];
}

/** Of the index of locks by file: no client, kind 1, home, inode, client. */
function lockedInode(key: Uint8Array): bigint | undefined {
  const at = 1 + 2 + 1 + 8;
  const isIndex = key[1] === 0 && key[2] === 1 && key[3] === 1 && key.byteLength >= at + inodeSize;
  if (!isIndex) return undefined;
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(at);
}
