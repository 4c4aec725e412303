import { chunkId, compareBytes, inodeId, newBytes } from "@kiseki/base";
import {
  type Answered,
  type Applied,
  type ContentStore,
  type FileAttributes,
  type FileKind,
  type FileLock,
  type FileOperation,
  type FilePage,
  type FileRef,
  type FileRefusal,
  type FileRefusalCode,
  type FileService,
  type FileServiceListener,
  type FileSystemStatistics,
  type LockAnswer,
  type NameRef,
  nameKey,
  nameOfKey,
  type PlanPiece,
  type ReadPlan,
} from "@kiseki/vfs";

/** An odd size, so that blocks, pieces and pages never agree. */
const blockSize = 5000;

interface Block {
  readonly id: number;
  readonly bytes: Uint8Array;
}
interface Inode {
  readonly number: bigint;
  readonly kind: FileKind;
  readonly home: bigint;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  size: number;
  device: number;
  target: Uint8Array;
  accessed: bigint;
  modified: bigint;
  changed: bigint;
  contentVersion: bigint;
  generation: number;
  blocks: Map<number, Block>;
  entries: Map<string, Inode>;
  xattrs: Map<string, Uint8Array>;
  parent: Inode | undefined;
  /** Sessions that hold it open. */
  readonly holders: Set<FakeSession>;
  isGone: boolean;
}

const refuse = (code: FileRefusalCode): FileRefusal => ({ kind: "refused", code });

class Refused extends Error {
  readonly code: FileRefusalCode;
  constructor(code: FileRefusalCode) {
    super(code);
    this.code = code;
  }
}

/** A node in memory: plain inodes whose content is cut into immutable blocks. Sessions see it through `open`. */
export class FakeNode {
  readonly sessions: FakeSession[] = [];
  /** Asked before each call; a code refuses it, a promise delays it. */
  meddle: (call: string) => FileRefusalCode | undefined | Promise<void> = () => undefined;
  /** How long an answer that is made takes to come. */
  delay: () => Promise<void> | undefined = () => undefined;
  readonly calls = new Map<string, number>();
  readonly locks: { session: FakeSession; inode: Inode; lock: FileLock }[] = [];
  readonly #inodes = new Map<bigint, Inode>();
  readonly root: Inode;
  #next = 100n;
  #now = 1_700_000_000_000_000_000n;
  #chunks = 0;

  constructor() {
    this.root = this.#make("directory", 0n, 0o755, 0, 0);
    this.root.links = 2;
  }

  open(): FakeSession {
    const session = new FakeSession(this);
    this.sessions.push(session);
    return session;
  }
  count(call: string): number {
    return this.calls.get(call) ?? 0;
  }
  /** Every session hears that the inode changed, by an operation of session number `by` or of none of them. */
  tell(inode: bigint, kind: "inode" | "directory", by?: number): void {
    for (const [number, { listener }] of this.sessions.entries())
      listener?.invalidated({ kind, inode: inodeId(inode), isOwn: number === by });
  }

  tick(): bigint {
    this.#now += 1_000_000n;
    return this.#now;
  }
  #make(kind: FileKind, home: bigint, mode: number, uid: number, gid: number): Inode {
    const now = this.tick();
    const inode: Inode = {
      number: this.#next,
      kind,
      home: kind === "directory" ? 0n : home,
      mode,
      uid,
      gid,
      links: kind === "directory" ? 2 : 1,
      size: 0,
      device: 0,
      target: newBytes(0),
      accessed: now,
      modified: now,
      changed: now,
      contentVersion: this.#next,
      generation: 0,
      blocks: new Map(),
      entries: new Map(),
      xattrs: new Map(),
      parent: undefined,
      holders: new Set(),
      isGone: false,
    };
    this.#next += 1n;
    this.#inodes.set(inode.number, inode);
    return inode;
  }

  inode(number: bigint): Inode {
    const inode = this.#inodes.get(number);
    if (inode === undefined || inode.isGone) throw new Refused("stale_file");
    return inode;
  }
  directory(number: bigint): Inode {
    const inode = this.inode(number);
    if (inode.kind !== "directory") throw new Refused("not_a_directory");
    return inode;
  }
  entry({ parent, name }: NameRef): Inode {
    const found = this.directory(parent).entries.get(nameKey(name));
    if (found === undefined) throw new Refused("no_such_file");
    return found;
  }

  attributes(inode: Inode): FileAttributes {
    let allocated = 0;
    for (const { bytes } of inode.blocks.values()) allocated += bytes.byteLength;
    return {
      ref: { inode: inodeId(inode.number), home: inode.home },
      kind: inode.kind,
      mode: inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      links: inode.links,
      size: inode.kind === "symlink" ? inode.target.byteLength : inode.size,
      allocated,
      device: inode.device,
      accessed: inode.accessed,
      modified: inode.modified,
      changed: inode.changed,
      born: 0n,
      contentVersion: inode.contentVersion,
      generation: inode.generation,
    };
  }

  #touch(directory: Inode): FileAttributes {
    directory.modified = directory.changed = this.tick();
    return this.attributes(directory);
  }
  #put(directory: Inode, name: Uint8Array, inode: Inode): void {
    directory.entries.set(nameKey(name), inode);
    if (inode.kind !== "directory") return;
    inode.parent = directory;
    directory.links += 1;
  }
  #take(directory: Inode, name: Uint8Array): void {
    const key = nameKey(name);
    if (directory.entries.get(key)?.kind === "directory") directory.links -= 1;
    directory.entries.delete(key);
  }
  #drop(inode: Inode): void {
    inode.changed = this.tick();
    inode.links -= inode.kind === "directory" ? 2 : 1;
    if (inode.links <= 0 && inode.holders.size === 0) inode.isGone = true;
  }
  release(session: FakeSession, inode: Inode): void {
    inode.holders.delete(session);
    if (inode.links <= 0 && inode.holders.size === 0) inode.isGone = true;
  }

  apply(session: FakeSession, operation: FileOperation): Applied {
    const done = (inode: Inode, more: Partial<Applied> = {}): Applied => ({
      kind: "applied",
      attributes: this.attributes(inode),
      directories: [],
      ...more,
    });
    switch (operation.kind) {
      case "create": {
        const directory = this.directory(operation.parent);
        const there = directory.entries.get(nameKey(operation.name));
        if (there !== undefined) {
          if (operation.isExclusive || there.kind !== "file") throw new Refused("file_exists");
          return done(there);
        }
        const { node, mode, uid, gid } = operation;
        const made = this.#make(node.kind, directory.number, mode, uid, gid);
        if (node.kind === "symlink") made.target = node.target;
        if ("device" in node) made.device = node.device;
        this.#put(directory, operation.name, made);
        return done(made, { directories: [this.#touch(directory)] });
      }
      case "link": {
        const inode = this.inode(operation.file.inode);
        const directory = this.directory(operation.parent);
        if (directory.entries.has(nameKey(operation.name))) throw new Refused("file_exists");
        this.#put(directory, operation.name, inode);
        inode.links += 1;
        inode.changed = this.tick();
        return done(inode, { directories: [this.#touch(directory)] });
      }
      case "unlink":
      case "remove_directory": {
        const inode = this.entry(operation);
        const isDirectory = inode.kind === "directory";
        if (operation.kind === "unlink" && isDirectory) throw new Refused("is_a_directory");
        if (operation.kind !== "unlink" && !isDirectory) throw new Refused("not_a_directory");
        if (inode.entries.size > 0) throw new Refused("directory_not_empty");
        const directory = this.directory(operation.parent);
        this.#take(directory, operation.name);
        this.#drop(inode);
        return done(inode, { directories: [this.#touch(directory)] });
      }
      case "rename":
        return this.#rename(operation, done);
      case "open":
        this.inode(operation.file.inode).holders.add(session);
        return done(this.inode(operation.file.inode));
      case "release": {
        const inode = this.inode(operation.file.inode);
        this.release(session, inode);
        return done(inode);
      }
      case "set_xattr":
      case "remove_xattr":
        return done(this.#xattr(operation));
      case "set_attributes": {
        const inode = this.inode(operation.file.inode);
        const { accessed, modified, ...rest } = operation.changes;
        const now = this.tick();
        Object.assign(inode, rest, { changed: now });
        if (accessed !== undefined) inode.accessed = accessed === "now" ? now : accessed;
        if (modified !== undefined) inode.modified = modified === "now" ? now : modified;
        return done(inode);
      }
      default:
        return this.#content(operation, done);
    }
  }

  #rename(
    operation: FileOperation & { readonly kind: "rename" },
    done: (inode: Inode, more?: Partial<Applied>) => Applied,
  ): Applied {
    const { source, target, mode } = operation;
    const from = this.directory(source.parent);
    const to = this.directory(target.parent);
    const moved = this.entry(source);
    const there = to.entries.get(nameKey(target.name));
    if (mode === "no_replace" && there !== undefined) throw new Refused("file_exists");
    if (mode === "exchange" && there === undefined) throw new Refused("no_such_file");
    for (let above: Inode | undefined = to; above !== undefined; above = above.parent)
      if (above === moved) throw new Refused("directory_loop");
    if (there === moved) return done(moved);
    if (mode === "replace" && there !== undefined) {
      if (moved.kind === "directory" && there.kind !== "directory")
        throw new Refused("not_a_directory");
      if (moved.kind !== "directory" && there.kind === "directory")
        throw new Refused("is_a_directory");
      if (there.entries.size > 0) throw new Refused("directory_not_empty");
    }
    if (there !== undefined) this.#take(to, target.name);
    this.#take(from, source.name);
    this.#put(to, target.name, moved);
    if (there !== undefined && mode === "exchange") this.#put(from, source.name, there);
    else if (there !== undefined) this.#drop(there);
    moved.changed = this.tick();
    if (moved.kind === "directory") moved.generation += 1;
    return done(moved, { directories: [this.#touch(from), this.#touch(to)] });
  }

  #xattr(operation: FileOperation & { readonly kind: "set_xattr" | "remove_xattr" }): Inode {
    const inode = this.inode(operation.file.inode);
    const key = nameKey(operation.name);
    const isThere = inode.xattrs.has(key);
    const mode = operation.kind === "remove_xattr" ? "replace" : operation.mode;
    if (mode === "replace" && !isThere) throw new Refused("no_such_attribute");
    if (mode === "create" && isThere) throw new Refused("attribute_exists");
    if (operation.kind === "remove_xattr") inode.xattrs.delete(key);
    else inode.xattrs.set(key, operation.value);
    inode.changed = this.tick();
    return inode;
  }

  #content(
    operation: FileOperation & {
      readonly kind: "write" | "append" | "truncate" | "allocate" | "copy_range";
    },
    done: (inode: Inode, more?: Partial<Applied>) => Applied,
  ): Applied {
    const inode = this.inode(
      operation.kind === "copy_range" ? operation.target.inode : operation.file.inode,
    );
    const more: { offset?: number; length?: number } = {};
    switch (operation.kind) {
      case "write":
        for (const { offset, content, start = 0, length = content.length } of operation.pieces) {
          const { bytes } = content.stored as { bytes: Uint8Array };
          this.put(inode, offset, bytes.subarray(start, start + length));
        }
        break;
      case "append":
        more.offset = inode.size;
        this.put(inode, inode.size, (operation.content.stored as { bytes: Uint8Array }).bytes);
        break;
      case "truncate":
        this.cut(inode, operation.size);
        break;
      case "allocate": {
        const { mode, offset, length, isSizeKept } = operation;
        const end =
          isSizeKept || mode === "punch" ? Math.min(inode.size, offset + length) : offset + length;
        if (mode !== "allocate" && end > offset) this.put(inode, offset, newBytes(end - offset));
        if (end > inode.size) inode.size = end;
        break;
      }
      case "copy_range": {
        const source = this.inode(operation.source.inode);
        const { sourceOffset, targetOffset, length } = operation;
        const count = Math.max(0, Math.min(length, source.size - sourceOffset));
        if (count > 0) this.put(inode, targetOffset, this.get(source, sourceOffset, count));
        more.length = count;
        break;
      }
      default:
    }
    inode.modified = inode.changed = this.tick();
    inode.contentVersion = this.#next;
    this.#next += 1n;
    return done(inode, more);
  }

  get(inode: Inode, start: number, length: number): Uint8Array {
    const target = newBytes(length);
    for (let at = start; at < start + length;) {
      const index = Math.floor(at / blockSize);
      const from = at - index * blockSize;
      const size = Math.min(blockSize - from, start + length - at);
      const block = inode.blocks.get(index);
      if (block !== undefined) target.set(block.bytes.subarray(from, from + size), at - start);
      at += size;
    }
    return target;
  }
  put(inode: Inode, start: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength;) {
      const at = start + done;
      const index = Math.floor(at / blockSize);
      const from = at - index * blockSize;
      const size = Math.min(blockSize - from, bytes.byteLength - done);
      const block = newBytes(blockSize);
      const old = inode.blocks.get(index);
      if (old !== undefined) block.set(old.bytes);
      block.set(bytes.subarray(done, done + size), from);
      inode.blocks.set(index, { id: ++this.#chunks, bytes: block });
      done += size;
    }
    inode.size = Math.max(inode.size, start + bytes.byteLength);
  }
  cut(inode: Inode, size: number): void {
    if (size < inode.size) {
      const last = Math.ceil(size / blockSize);
      for (const index of inode.blocks.keys()) if (index >= last) inode.blocks.delete(index);
      const rest = last * blockSize - size;
      if (rest > 0 && inode.blocks.has(last - 1)) this.put(inode, size, newBytes(rest));
    }
    inode.size = size;
  }

  plan(inode: Inode, start: number, end: number): ReadPlan {
    const pieces: PlanPiece[] = [];
    for (let at = start; at < Math.min(end, inode.size);) {
      const index = Math.floor(at / blockSize);
      const from = at - index * blockSize;
      const length = Math.min(blockSize - from, inode.size - at);
      const block = inode.blocks.get(index);
      const id = newBytes(32);
      if (block !== undefined) new DataView(id.buffer).setUint32(0, block.id);
      pieces.push(
        block === undefined
          ? { kind: "hole", offset: at, length }
          : {
              kind: "chunk",
              offset: at,
              length,
              chunkId: chunkId(id),
              chunkOffset: from,
              access: block,
            },
      );
      at += length;
      if (pieces.length >= 500) break;
    }
    const { size, contentVersion } = inode;
    return { kind: "plan", size, contentVersion, pieces, leaseMs: 60_000 };
  }
}

/** One client's view of the node: the two ports. */
export class FakeSession implements FileService, ContentStore {
  readonly #node: FakeNode;
  listener: FileServiceListener | undefined;
  readonly root: FileRef;

  constructor(node: FakeNode) {
    this.#node = node;
    this.root = { inode: inodeId(node.root.number), home: 0n };
  }

  async #call<T>(name: string, work: () => T): Promise<T | FileRefusal> {
    this.#node.calls.set(name, this.#node.count(name) + 1);
    const meddled = this.#node.meddle(name);
    if (typeof meddled === "string") return refuse(meddled);
    await meddled;
    try {
      const answer = work();
      await this.#node.delay();
      return answer;
    } catch (reason) {
      if (!(reason instanceof Refused)) throw reason;
      await this.#node.delay();
      return refuse(reason.code);
    }
  }

  /** The node forgets the session and opens another. */
  end(): void {
    const node = this.#node;
    node.locks.splice(
      0,
      node.locks.length,
      ...node.locks.filter(({ session }) => session !== this),
    );
    this.listener?.sessionEnded();
  }

  listen(listener: FileServiceListener): void {
    this.listener = listener;
  }
  apply(operation: FileOperation): Answered<Applied> {
    return this.#call(operation.kind, () => this.#node.apply(this, operation));
  }
  lookup(name: NameRef): Answered<FileAttributes> {
    return this.#call("lookup", () => this.#node.attributes(this.#node.entry(name)));
  }
  attributes(file: FileRef): Answered<FileAttributes> {
    return this.#call("attributes", () => this.#node.attributes(this.#node.inode(file.inode)));
  }
  list(inode: bigint, cookie: Uint8Array | undefined, countMax: number): Answered<FilePage> {
    return this.#call("list", () => {
      const names = [...this.#node.directory(inode).entries.entries()]
        .map(([key, each]) => ({ name: nameOfKey(key), attributes: this.#node.attributes(each) }))
        .filter(({ name }) => cookie === undefined || compareBytes(name, cookie) > 0)
        .sort((a, b) => compareBytes(a.name, b.name));
      const entries = names.slice(0, countMax).map((each) => ({ ...each, cookie: each.name }));
      const next = names.length > countMax ? entries.at(-1)!.name : undefined;
      return { kind: "page", entries, next };
    });
  }
  readlink(file: FileRef): Answered<{ kind: "target"; target: Uint8Array }> {
    return this.#call("readlink", () => {
      const { kind, target } = this.#node.inode(file.inode);
      if (kind !== "symlink") throw new Refused("wrong_type");
      return { kind: "target", target };
    });
  }
  getXattr(file: FileRef, name: Uint8Array): Answered<{ kind: "value"; value: Uint8Array }> {
    return this.#call("getXattr", () => {
      const value = this.#node.inode(file.inode).xattrs.get(nameKey(name));
      if (value === undefined) throw new Refused("no_such_attribute");
      return { kind: "value", value };
    });
  }
  listXattrs(file: FileRef): Answered<{ kind: "names"; names: readonly Uint8Array[] }> {
    return this.#call("listXattrs", () => ({
      kind: "names",
      names: [...this.#node.inode(file.inode).xattrs.keys()].map(nameOfKey),
    }));
  }
  statistics(): Answered<FileSystemStatistics> {
    return this.#call("statistics", () => ({
      kind: "statistics",
      bytesTotal: 1000,
      bytesFree: 500,
      bytesAvailable: 400,
      filesTotal: 100,
      filesFree: 50,
    }));
  }
  plan(file: FileRef, start: number, end: number): Answered<ReadPlan> {
    return this.#call("plan", () => this.#node.plan(this.#node.inode(file.inode), start, end));
  }
  seek(
    file: FileRef,
    offset: number,
    what: "data" | "hole",
  ): Answered<{ kind: "at"; offset: number }> {
    return this.#call("seek", () => {
      const inode = this.#node.inode(file.inode);
      if (offset >= inode.size) throw new Refused("no_data");
      for (let at = offset; at < inode.size; at = (Math.floor(at / blockSize) + 1) * blockSize) {
        const isData = inode.blocks.has(Math.floor(at / blockSize));
        if (isData === (what === "data")) return { kind: "at", offset: at };
      }
      if (what === "data") throw new Refused("no_data");
      return { kind: "at", offset: inode.size };
    });
  }

  lock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    return this.#call("lock", () => {
      const inode = this.#node.inode(file.inode);
      const held = this.#conflict(inode, lock);
      if (held !== undefined) return { kind: "held", by: held };
      this.#node.locks.push({ session: this, inode, lock });
      return { kind: "granted" };
    });
  }
  testLock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    return this.#call("testLock", () => {
      const held = this.#conflict(this.#node.inode(file.inode), lock);
      return held === undefined ? { kind: "granted" } : { kind: "held", by: held };
    });
  }
  #conflict(inode: unknown, lock: FileLock): FileLock | undefined {
    const isIn = (a: FileLock, b: FileLock): boolean => b.end === undefined || a.start < b.end;
    return this.#node.locks.find(
      (each) =>
        each.inode === inode &&
        each.lock.kind === lock.kind &&
        (each.session !== this || each.lock.owner !== lock.owner) &&
        (each.lock.type === "write" || lock.type === "write") &&
        isIn(each.lock, lock) &&
        isIn(lock, each.lock),
    )?.lock;
  }
  unlock(file: FileRef, lock: Omit<FileLock, "type">): Answered<{ kind: "unlocked" }> {
    return this.#call("unlock", () => {
      const { locks } = this.#node;
      const rest = locks.filter(
        (each) =>
          each.session !== this ||
          each.inode.number !== file.inode ||
          each.lock.owner !== lock.owner ||
          each.lock.kind !== lock.kind,
      );
      locks.splice(0, locks.length, ...rest);
      return { kind: "unlocked" };
    });
  }

  async write(
    _file: FileRef,
    source: Uint8Array,
  ): Promise<{ length: number; stored: object } | FileRefusal> {
    return this.#call("store", () => ({
      length: source.byteLength,
      stored: { bytes: source.slice() },
    }));
  }
  async read(
    piece: PlanPiece & { readonly kind: "chunk" },
    start: number,
    target: Uint8Array,
  ): Promise<{ kind: "read" } | FileRefusal> {
    return this.#call("fetch", () => {
      const { bytes } = piece.access as Block;
      const from = piece.chunkOffset + start;
      target.set(bytes.subarray(from, from + target.byteLength));
      return { kind: "read" };
    });
  }
}
