/** Calls about files and folders, each from the fields of a request to those of its answer. */
import {
  type Caller,
  type Change,
  fail,
  type Failure,
  type FileSystem,
  type HandleNumber,
  isFailure,
  type NodeAttributes,
  type NodeNumber,
  type OpenFlags,
  type RenameMode,
} from "@kiseki/vfs";
import type { CacheCounters } from "../cache-counters.ts";
import { attributesSize, putAttributes } from "./attributes.ts";
import { dataSizeMax, type FieldReader, FieldWriter, ProtocolError } from "./frame.ts";
import { PathTree } from "./path-tree.ts";

export type CallAnswer = FieldWriter | Failure;
type Call = (fields: FieldReader, client: ClientHandles) => CallAnswer | Promise<CallAnswer>;

interface OpenHandle {
  readonly handle: HandleNumber;
  readonly node: NodeNumber;
  readonly kind: "file" | "directory";
}
/** What one connection has open. */
export class ClientHandles {
  readonly #open = new Map<number, OpenHandle>();
  #next = 1;

  get count(): number {
    return this.#open.size;
  }
  add(opened: OpenHandle): number {
    const number = this.#next;
    this.#next += 1;
    this.#open.set(number, opened);
    return number;
  }
  get(number: number, kind: OpenHandle["kind"]): OpenHandle | undefined {
    const found = this.#open.get(number);
    return found?.kind === kind ? found : undefined;
  }
  take(number: number): OpenHandle | undefined {
    const found = this.#open.get(number);
    this.#open.delete(number);
    return found;
  }
  takeAll(): readonly OpenHandle[] {
    const all = [...this.#open.values()];
    this.#open.clear();
    return all;
  }
}

const handlesMax = 10_000;
/** Entries of one answer are up to so many bytes. */
const listSizeMax = 256 * 1024;
/** An entry of a folder without its name. */
const entrySizeMin = 2 + attributesSize;
const flagBits = {
  reading: 1,
  writing: 2,
  appending: 4,
  creating: 8,
  exclusive: 16,
  truncating: 32,
  synchronous: 64,
} as const;
const changeBits = { mode: 1, uid: 2, gid: 4, size: 8, accessed: 16, modified: 32 } as const;
const renameModes: readonly RenameMode[] = ["replace", "no_replace", "exchange"];

const nothing = (): FieldWriter => new FieldWriter(0);
const sizeRead: OpenFlags = {
  isReading: true,
  isWriting: false,
  isAppending: false,
  isTruncating: false,
  isSynchronous: false,
};

function flagsOf(bits: number): OpenFlags {
  const has = (bit: number): boolean => (bits & bit) !== 0;
  const isAppending = has(flagBits.appending);
  return {
    isReading: has(flagBits.reading),
    isWriting: has(flagBits.writing) || isAppending,
    isAppending,
    isTruncating: has(flagBits.truncating),
    isSynchronous: has(flagBits.synchronous),
  };
}

export class FileCalls {
  readonly #files: FileSystem;
  readonly #tree: PathTree;
  readonly #caller: Caller;
  readonly #isReadOnly: boolean;

  constructor(files: FileSystem, isReadOnly: boolean, counters: CacheCounters) {
    this.#files = files;
    this.#tree = new PathTree(files, counters);
    this.#caller = this.#tree.caller;
    this.#isReadOnly = isReadOnly;
  }

  readonly calls = {
    open: (fields, client) => this.#open(fields, client),
    closeHandle: (fields, client) => this.#closeHandle(fields, client),
    read: (fields, client) => this.#read(fields, client),
    write: (fields, client) => this.#write(fields, client),
    fsync: async (fields, client) => {
      const opened = client.get(fields.u64(), "file");
      const isDataOnly = fields.u16() === 1;
      fields.end();
      if (opened === undefined) return fail("EBADF");
      return (await this.#files.fsync(opened.handle, isDataOnly)) ?? nothing();
    },
    truncate: async (fields, client) => {
      const opened = client.get(fields.u64(), "file");
      const size = fields.u64();
      fields.end();
      if (opened === undefined) return fail("EBADF");
      const changed = await this.#files.setattr(opened.node, { size }, opened.handle);
      return isFailure(changed) ? changed : this.#show(changed.attributes);
    },
    attributes: async (fields, client) => {
      const opened = client.get(fields.u64(), "file");
      fields.end();
      if (opened === undefined) return fail("EBADF");
      const known = await this.#files.getattr(opened.node, opened.handle);
      return isFailure(known) ? known : this.#show(known.attributes);
    },
    openDirectory: (fields, client) => this.#openDirectory(fields, client),
    readDirectory: (fields, client) => this.#readDirectory(fields, client),
    stat: async (fields) => {
      const isFollowing = fields.u16() === 1;
      const path = fields.path();
      fields.end();
      const found = await this.#tree.find(path, isFollowing);
      if (isFailure(found)) return found;
      const known = await this.#tree.attributes(found);
      return isFailure(known) ? known : this.#show(known);
    },
    makeDirectory: async (fields) => {
      const mode = fields.u32() & 0o7777;
      const place = await this.#place(fields);
      if (isFailure(place)) return place;
      const made = await this.#files.mkdir(place.parent, place.name, mode, this.#caller);
      if (isFailure(made)) return made;
      this.#tree.hold(made.node);
      return this.#show(made.attributes);
    },
    unlink: async (fields) => {
      const place = await this.#place(fields);
      if (isFailure(place)) return place;
      return (await this.#files.unlink(place.parent, place.name)) ?? nothing();
    },
    removeDirectory: async (fields) => {
      const place = await this.#place(fields);
      if (isFailure(place)) return place;
      return (await this.#files.rmdir(place.parent, place.name)) ?? nothing();
    },
    rename: async (fields) => {
      const mode = renameModes[fields.u16()];
      const from = fields.path();
      const to = fields.path();
      fields.end();
      const source = await this.#tree.place(from);
      if (isFailure(source)) return source;
      const target = await this.#tree.place(to);
      if (isFailure(target)) return target;
      if (mode === undefined) return fail("EINVAL");
      return (await this.#files.rename(source, target, mode)) ?? nothing();
    },
    readLink: async (fields) => {
      const path = fields.path();
      fields.end();
      const found = await this.#tree.find(path, false);
      if (isFailure(found)) return found;
      if (found.kind !== "symlink") return fail("EINVAL");
      const target = await this.#files.readlink(found.node);
      return isFailure(target) ? target : new FieldWriter().path(target);
    },
    makeSymlink: async (fields) => {
      const target = fields.path();
      const place = await this.#place(fields);
      if (isFailure(place)) return place;
      const made = await this.#files.symlink(place.parent, place.name, target, this.#caller);
      if (isFailure(made)) return made;
      this.#tree.hold(made.node);
      return this.#show(made.attributes);
    },
    change: (fields) => this.#change(fields),
    fileSystem: async (fields) => {
      fields.end();
      const found = await this.#files.statfs();
      if (isFailure(found)) return found;
      const { bytesTotal, bytesFree, bytesAvailable, filesTotal, filesFree } = found;
      return new FieldWriter()
        .u64(bytesTotal)
        .u64(bytesFree)
        .u64(bytesAvailable)
        .u64(filesTotal)
        .u64(filesFree);
    },
    readFile: (fields) => this.#readFile(fields),
    writeFile: (fields) => this.#writeFile(fields),
  } satisfies Readonly<Record<string, Call>>;

  /** Closes what a connection left open. What could not be stored has nobody left to be told. */
  async closeAll(client: ClientHandles): Promise<void> {
    await Promise.all(client.takeAll().map(async (opened) => this.#close(opened)));
  }

  #close({ kind, handle }: OpenHandle): Failure | undefined | Promise<Failure | undefined> {
    if (kind === "file") return this.#files.release(handle);
    this.#files.releasedir(handle);
    return undefined;
  }
  #show(attributes: NodeAttributes): FieldWriter {
    return putAttributes(new FieldWriter(attributesSize), attributes);
  }
  #place(fields: FieldReader): ReturnType<PathTree["place"]> {
    const path = fields.path();
    fields.end();
    return this.#tree.place(path);
  }

  async #open(fields: FieldReader, client: ClientHandles): Promise<CallAnswer> {
    const bits = fields.u16();
    const mode = fields.u32() & 0o7777;
    const path = fields.path();
    fields.end();
    if (client.count >= handlesMax) return fail("ENOLCK");
    const opened = await this.#openPath(path, bits, mode);
    if (isFailure(opened)) return opened;
    const number = client.add({ ...opened, kind: "file" });
    const known = await this.#files.getattr(opened.node, opened.handle);
    if (!isFailure(known)) return putAttributes(new FieldWriter().u64(number), known.attributes);
    client.take(number);
    await this.#files.release(opened.handle);
    return known;
  }

  async #openPath(
    path: Uint8Array,
    bits: number,
    mode: number,
  ): Promise<{ readonly handle: HandleNumber; readonly node: NodeNumber } | Failure> {
    const flags = flagsOf(bits);
    const isCreating = (bits & flagBits.creating) !== 0;
    const isExclusive = (bits & flagBits.exclusive) !== 0;
    if (flags.isWriting && this.#isReadOnly) return fail("EROFS");
    const found = await this.#tree.find(path, !isExclusive);
    if (!isFailure(found)) {
      if (isCreating && isExclusive) return fail("EEXIST");
      const opened = await this.#files.open(found.node, flags);
      return isFailure(opened) ? opened : { handle: opened.handle, node: found.node };
    }
    if (found.name !== "ENOENT" || !isCreating) return found;
    // A symlink whose target is not there.
    if (!isExclusive && !isFailure(await this.#tree.find(path, false))) return found;
    const place = await this.#tree.place(path);
    if (isFailure(place)) return place;
    const options = { mode, isExclusive, flags };
    const made = await this.#files.create(place.parent, place.name, options, this.#caller);
    if (isFailure(made)) return made;
    this.#tree.hold(made.node);
    return { handle: made.handle, node: made.node };
  }

  async #closeHandle(fields: FieldReader, client: ClientHandles): Promise<CallAnswer> {
    const opened = client.take(fields.u64());
    fields.end();
    if (opened === undefined) return fail("EBADF");
    return (await this.#close(opened)) ?? nothing();
  }

  #read(fields: FieldReader, client: ClientHandles): CallAnswer | Promise<CallAnswer> {
    const opened = client.get(fields.u64(), "file");
    const offset = fields.u64();
    const size = sizeOf(fields.u32());
    fields.end();
    if (opened === undefined) return fail("EBADF");
    const answer = new FieldWriter(size);
    const read = this.#files.read(opened.handle, offset, answer.room(size));
    return read instanceof Promise
      ? read.then((count) => shortened(answer, size, count))
      : shortened(answer, size, read);
  }

  async #write(fields: FieldReader, client: ClientHandles): Promise<CallAnswer> {
    const opened = client.get(fields.u64(), "file");
    const offset = fields.u64();
    const data = fields.blob(dataSizeMax);
    fields.end();
    if (opened === undefined) return fail("EBADF");
    const count = await this.#files.write(opened.handle, offset, data);
    return isFailure(count) ? count : new FieldWriter().u32(count);
  }

  async #openDirectory(fields: FieldReader, client: ClientHandles): Promise<CallAnswer> {
    const path = fields.path();
    fields.end();
    if (client.count >= handlesMax) return fail("ENOLCK");
    const found = await this.#tree.find(path);
    if (isFailure(found)) return found;
    const opened = await this.#files.opendir(found.node);
    if (isFailure(opened)) return opened;
    const { handle } = opened;
    return new FieldWriter().u64(client.add({ handle, node: found.node, kind: "directory" }));
  }

  async #readDirectory(fields: FieldReader, client: ClientHandles): Promise<CallAnswer> {
    const opened = client.get(fields.u64(), "directory");
    const cookie = fields.u64();
    fields.end();
    if (opened === undefined) return fail("EBADF");
    const entries = new FieldWriter(4096);
    let count = 0;
    let last = cookie;
    let isEnd = true;
    const failure = await this.#files.readdir(opened.handle, cookie, true, (found) => {
      if (entries.bodySize + entrySizeMin + found.name.byteLength > listSizeMax) {
        isEnd = false;
        return false;
      }
      last = found.cookie;
      // `.` and `..`, which whoever asked knows.
      if (found.entry === undefined) return true;
      this.#tree.hold(found.entry.node);
      putAttributes(entries.path(found.name), found.entry.attributes);
      count += 1;
      return true;
    });
    if (failure !== undefined) return failure;
    const answer = new FieldWriter(entries.bodySize + 14)
      .u64(last)
      .u16(isEnd ? 1 : 0)
      .u32(count);
    return answer.bytes(entries.body());
  }

  async #change(fields: FieldReader): Promise<CallAnswer> {
    const mask = fields.u16();
    const isFollowing = fields.u16() === 1;
    const [mode, uid, gid, size] = [fields.u32(), fields.u32(), fields.u32(), fields.u64()];
    const [accessed, modified] = [fields.i64(), fields.i64()];
    const path = fields.path();
    fields.end();
    const has = (bit: number): boolean => (mask & bit) !== 0;
    const change: Change = {
      ...(has(changeBits.mode) ? { mode: mode & 0o7777 } : {}),
      ...(has(changeBits.uid) ? { uid } : {}),
      ...(has(changeBits.gid) ? { gid } : {}),
      ...(has(changeBits.size) ? { size } : {}),
      ...(has(changeBits.accessed) ? { accessed } : {}),
      ...(has(changeBits.modified) ? { modified } : {}),
    };
    const found = await this.#tree.find(path, isFollowing);
    if (isFailure(found)) return found;
    const changed = await this.#files.setattr(found.node, change);
    return isFailure(changed) ? changed : this.#show(changed.attributes);
  }

  /** Opens, reads and closes in one call: what loaders of data sets do. */
  async #readFile(fields: FieldReader): Promise<CallAnswer> {
    const offset = fields.u64();
    const size = sizeOf(fields.u32());
    const path = fields.path();
    fields.end();
    const found = await this.#tree.find(path);
    if (isFailure(found)) return found;
    const opened = await this.#files.open(found.node, sizeRead);
    if (isFailure(opened)) return opened;
    try {
      const known = await this.#files.getattr(found.node, opened.handle);
      if (isFailure(known)) return known;
      const wanted = Math.max(0, Math.min(size, known.attributes.size - offset));
      const answer = new FieldWriter(8 + wanted).u64(known.attributes.size);
      if (wanted === 0) return answer;
      const count = await this.#files.read(opened.handle, offset, answer.room(wanted));
      return shortened(answer, wanted, count);
    } finally {
      await this.#files.release(opened.handle);
    }
  }

  /** Opens, writes and closes in one call; answered when it is stored. */
  async #writeFile(fields: FieldReader): Promise<CallAnswer> {
    const bits = fields.u16() | flagBits.writing;
    const mode = fields.u32() & 0o7777;
    const offset = fields.u64();
    const path = fields.path();
    const data = fields.blob(dataSizeMax);
    fields.end();
    const opened = await this.#openPath(path, bits, mode);
    if (isFailure(opened)) return opened;
    const count = data.byteLength > 0 ? await this.#files.write(opened.handle, offset, data) : 0;
    const failure = await this.#files.release(opened.handle);
    if (isFailure(count)) return count;
    return failure ?? new FieldWriter().u32(count);
  }
}

function sizeOf(size: number): number {
  if (size > dataSizeMax) throw new ProtocolError(`A read asks for up to ${dataSizeMax} bytes`);
  return size;
}
function shortened(answer: FieldWriter, size: number, count: number | Failure): CallAnswer {
  if (isFailure(count)) return count;
  answer.shorten(size - count);
  return answer;
}
