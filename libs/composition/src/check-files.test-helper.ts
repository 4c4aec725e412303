import { assert, compareBytes, fromHex, namespaceId, sameBytes, toHex } from "@kiseki/base";
import type { HeadRow, InodeRow, ObjectEntry, UsageRow } from "@kiseki/format";
import {
  coldKey,
  decodeCold,
  decodeEntry,
  decodeFileLocks,
  decodeInode,
  decodeLease,
  parseOldKey,
  table,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { DirKeys } from "./operation.ts";
import { isHeldOpen } from "./posix/holders.ts";
import { lookupUsage } from "./step.ts";

interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}
export function rowsOf(map: MapReader, number: number): Row[] {
  const rows: Row[] = [];
  map.scan({ start: Uint8Array.of(number), end: Uint8Array.of(number + 1) }, (key, value) => {
    rows.push({ key, value });
    return true;
  });
  return rows;
}

/** What rows of files add up to, and which cold rows they need. */
interface Found {
  readonly map: MapReader;
  readonly dirKeys: DirKeys;
  readonly heads: ReadonlyMap<string, HeadRow>;
  /** Keys of cold rows that are named, in hex. */
  readonly colds: Set<string>;
  /** Names of each inode row, in hex of the row's key. */
  readonly names: Map<string, { readonly dirKey: Uint8Array; readonly name: Uint8Array }[]>;
  readonly usages: Map<string, UsageRow>;
}
const nothing: UsageRow = { objects: 0, bytes: 0, oldVersions: 0, oldBytes: 0 };

function addUsage(found: Found, namespace: Uint8Array, by: Partial<UsageRow>): void {
  const at = toHex(namespace);
  const sum = found.usages.get(at) ?? nothing;
  const { objects = 0, bytes = 0, oldVersions = 0, oldBytes = 0 } = by;
  found.usages.set(at, {
    objects: sum.objects + objects,
    bytes: sum.bytes + bytes,
    oldVersions: sum.oldVersions + oldVersions,
    oldBytes: sum.oldBytes + oldBytes,
  });
}
function noteCold(found: Found, homeDirKey: Uint8Array, entry: ObjectEntry): void {
  const key = coldKey(homeDirKey, entry.inode, entry.version);
  assert(found.map.get(key) !== undefined, "a version has its cold row");
  assert(!found.colds.has(toHex(key)), "a cold row is of one version");
  found.colds.add(toHex(key));
}
function headAt(found: Found, dirKey: Uint8Array): HeadRow {
  const head = found.heads.get(toHex(dirKey));
  assert(head !== undefined, "a name lies in a directory that is there");
  return head;
}

function checkEntry(found: Found, { key, value }: Row): void {
  const dirKey = key.slice(1, 17);
  const name = key.slice(17);
  const entry = decodeEntry(value);
  if (entry.kind === "directory") return;
  if (entry.home !== undefined) {
    const row = toHex(inodeRowKey(found.dirKeys, entry.home, entry.inode));
    const names = found.names.get(row) ?? [];
    found.names.set(row, [...names, { dirKey, name }]);
    return;
  }
  noteCold(found, dirKey, entry);
  const cold = found.map.get(coldKey(dirKey, entry.inode, entry.version));
  const kept = cold === undefined ? undefined : decodeCold(cold).name;
  assert(kept === undefined || compareBytes(kept, name) === 0, "a cold row starts with the name");
  addUsage(found, headAt(found, dirKey).namespace, { objects: 1, bytes: entry.size });
}
function inodeRowKey(dirKeys: DirKeys, home: bigint, inode: bigint): Uint8Array {
  const key = new Uint8Array(25);
  key[0] = table.inode;
  key.set(dirKeys.dirKey(home as HeadRow["inode"]), 1);
  new DataView(key.buffer).setBigUint64(17, inode);
  return key;
}

function checkInode(found: Found, { key, value }: Row): void {
  const row: InodeRow = decodeInode(value);
  const names = found.names.get(toHex(key)) ?? [];
  const { entry, links, isOpen, namespace, place } = row;
  assert(entry.home !== undefined, "a moved inode knows its home");
  assert(toHex(inodeRowKey(found.dirKeys, entry.home, entry.inode)) === toHex(key), "lies at home");
  assert(links === names.length, "links are the names that are there");
  assert(isOpen === (links === 0), "a file without a name is open");
  const isHeld = isHeldOpen(found.map, entry.home, entry.inode);
  assert(links > 0 || isHeld, "a file without a name is held");
  noteCold(found, key.slice(1, 17), entry);
  assert(namespace !== undefined, "a moved inode knows its namespace");
  if (links > 0) addUsage(found, namespace, { objects: 1, bytes: entry.size });
  for (const { dirKey, name } of names) {
    assert(sameBytes(headAt(found, dirKey).namespace, namespace), "names are of one namespace");
    if (place === undefined) continue;
    assert(links === 1 && compareBytes(place.name, name) === 0, "a file knows its only name");
    assert(toHex(found.dirKeys.dirKey(place.directory)) === toHex(dirKey), "and where that lies");
  }
  found.names.delete(toHex(key));
}

function checkOld(found: Found, { key, value }: Row): void {
  if (parseOldKey(key).version === 0n) return;
  const entry = decodeEntry(value);
  assert(entry.kind !== "directory", "a noncurrent version is no directory");
  const dirKey = key.slice(1, 17);
  assert(entry.home === undefined, "a noncurrent version lies with its name");
  if (entry.kind === "object") noteCold(found, dirKey, entry);
  const { namespace } = headAt(found, dirKey);
  addUsage(found, namespace, { oldVersions: 1, oldBytes: entry.size });
}

/** Leases by client and by file come in pairs. */
function checkLeases(map: MapReader): void {
  const marks = { client: new Set<string>(), file: new Set<string>() };
  for (const { key, value } of rowsOf(map, table.lease)) {
    const isByFile = key[1] === 0 && key[2] === 1;
    let end = 1;
    while (!(key[end] === 0 && key[end + 1] === 1)) end += key[end] === 0 ? 2 : 1;
    const name = fromHex(
      toHex(key.slice(1, end))
        .replaceAll(/(..)/g, "$1 ")
        .replaceAll("00 ff ", "00 ")
        .replaceAll(" ", ""),
    );
    end += 2;
    const kind = key[end]!;
    const targetEnd = kind === 3 ? end + 1 : end + 17;
    const target = toHex(key.slice(end + 1, targetEnd));
    const client = toHex(isByFile ? key.slice(targetEnd) : name);
    marks[isByFile ? "file" : "client"].add(`${client} ${kind} ${target}`);
    const { payload } = decodeLease(value);
    if (isByFile && kind === 1) assert(decodeFileLocks(payload).length > 0, "a lock is one");
  }
  assert(marks.client.size === marks.file.size, "leases come in pairs");
  assert(
    [...marks.client].every((mark) => marks.file.has(mark)),
    "leases come in pairs",
  );
}

/** Recomputes what the machine keeps of files: cold rows, links, whereabouts, usage, leases. */
export function checkFiles(
  map: MapReader,
  dirKeys: DirKeys,
  heads: ReadonlyMap<string, HeadRow>,
): void {
  const found: Found = {
    map,
    dirKeys,
    heads,
    colds: new Set(),
    names: new Map(),
    usages: new Map(),
  };
  for (const row of rowsOf(map, table.entry)) checkEntry(found, row);
  for (const row of rowsOf(map, table.inode)) checkInode(found, row);
  assert(found.names.size === 0, "an inode that is named has a row");
  for (const row of rowsOf(map, table.old)) checkOld(found, row);
  for (const { key, value } of rowsOf(map, table.cold)) {
    if (found.colds.has(toHex(key))) continue;
    assert(heads.has(toHex(key.slice(1, 17))), "a cold row has a version or a directory");
    assert((decodeCold(value).xattrs?.length ?? 0) > 0, "a directory's cold row has attributes");
  }
  for (const { key } of rowsOf(map, table.namespace)) {
    if (key[1] !== 0) continue;
    const id = namespaceId(key.slice(2));
    const usage = lookupUsage(map, id);
    const sum = found.usages.get(toHex(id)) ?? nothing;
    assert(usage.objects === sum.objects, "a namespace's objects are counted");
    assert(usage.bytes === sum.bytes, "a namespace's bytes are counted");
    assert(usage.oldVersions === sum.oldVersions, "a namespace's old versions are counted");
    assert(usage.oldBytes === sum.oldBytes, "bytes of a namespace's old versions are counted");
  }
  checkLeases(map);
}
