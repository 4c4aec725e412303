/** A file system in memory for tests of what lies between it and the kernel: correct, small, and of one process. */
import {
  type AllocatedRange,
  type Attributes,
  type Caller,
  type Change,
  type CopyRange,
  type DirectoryEntry,
  type Entry,
  fail,
  type Failure,
  type FileKind,
  type FileLock,
  type FileSystem,
  type FileSystemStatistics,
  type KernelCache,
  type Opened,
  type OpenFlags,
  type Outcome,
  type RenameMode,
  rootNode,
  type XattrMode,
} from "@kiseki/vfs";
import { MemoryContent } from "./memory-content.test-helper.ts";
import { MemoryLocks } from "./memory-locks.test-helper.ts";

interface Node {
  readonly number: number;
  readonly kind: FileKind;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  lookups: number;
  handles: number;
  accessed: bigint;
  modified: bigint;
  changed: bigint;
  readonly device: number;
  readonly target: Uint8Array;
  readonly content: MemoryContent;
  readonly names: Map<string, Node>;
  /** Cookies of entries, which no change moves. */
  readonly order: Map<string, number>;
  parent: number;
  readonly xattrs: Map<string, Uint8Array>;
  readonly locks: MemoryLocks;
}
interface Handle {
  readonly node: Node;
  readonly isAppending: boolean;
  /** Of a directory: its entries as they were when it was opened. */
  readonly entries: readonly (readonly [cookie: number, name: string, node: Node])[];
}

export interface MemoryOptions {
  readonly ttlMs: number;
  /** Each operation is answered after a turn of the event loop. */
  readonly isLate: boolean;
}

const kinds = new Map<number, FileKind>([
  [0o010000, "fifo"],
  [0o020000, "character_device"],
  [0o060000, "block_device"],
  [0o100000, "file"],
  [0, "file"],
  [0o140000, "socket"],
]);
const capacity = 1 << 30;
const text = (name: Uint8Array): string => Buffer.from(name).toString("latin1");
const bytes = (name: string): Uint8Array => Buffer.from(name, "latin1");
const now = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));

export class MemoryFileSystem implements FileSystem {
  readonly #nodes = new Map<number, Node>();
  readonly #handles = new Map<number, Handle>();
  readonly #options: MemoryOptions;
  flushes = 0;
  opens = 0;
  /** Told that files may be opened unasked, where answers are good for a time. */
  kernel: KernelCache | undefined;
  #next = 1;
  #nextCookie = 3;

  constructor(options: MemoryOptions) {
    this.#options = options;
    const root = this.#make("directory", 0o755, { uid: 0, gid: 0 });
    root.links = 2;
    root.lookups = 1;
  }
  #make(
    kind: FileKind,
    mode: number,
    owner: { uid: number; gid: number },
    rest: { device?: number; target?: Uint8Array } = {},
  ): Node {
    const at = now();
    const node: Node = {
      number: this.#next++,
      kind,
      mode,
      uid: owner.uid,
      gid: owner.gid,
      links: 0,
      lookups: 0,
      handles: 0,
      accessed: at,
      modified: at,
      changed: at,
      device: rest.device ?? 0,
      target: rest.target ?? new Uint8Array(),
      content: new MemoryContent(),
      names: new Map(),
      order: new Map(),
      parent: rootNode,
      xattrs: new Map(),
      locks: new MemoryLocks(),
    };
    this.#nodes.set(node.number, node);
    return node;
  }
  #node(number: number): Node {
    const node = this.#nodes.get(number);
    if (node === undefined) throw new Error(`No node ${number}`);
    return node;
  }
  #handle(number: number): Handle {
    const handle = this.#handles.get(number);
    if (handle === undefined) throw new Error(`No handle ${number}`);
    return handle;
  }
  #late<T>(value: T): Outcome<T> {
    if (!this.#options.isLate) return value;
    return new Promise((resolve) => setImmediate(() => resolve(value)));
  }
  /** Nodes whose kernel users are all gone. */
  get nodesHeld(): number {
    return [...this.#nodes.values()].filter(({ lookups }) => lookups > 0).length;
  }
  get handlesHeld(): number {
    return this.#handles.size;
  }

  /** Content that comes behind the kernel's back. */
  put(number: number, source: Uint8Array): void {
    const node = this.#node(number);
    node.content.write(0, source);
    this.#touch(node);
  }

  #attributes(node: Node): Attributes {
    const { kind, mode, uid, gid, device, accessed, modified, changed } = node;
    const size = kind === "symlink" ? node.target.byteLength : node.content.size;
    const attributes = { inode: node.number, kind, mode, uid, gid, links: node.links, device };
    return {
      attributes: { ...attributes, size, blocks: node.content.blocks, accessed, modified, changed },
      ttlMs: this.#options.ttlMs,
    };
  }
  #entry(node: Node): Entry {
    node.lookups += 1;
    return { ...this.#attributes(node), node: node.number, entryTtlMs: this.#options.ttlMs };
  }
  #touch(...nodes: readonly Node[]): void {
    for (const node of nodes) node.modified = node.changed = now();
  }
  #drop(node: Node): void {
    if (node.lookups === 0 && node.handles === 0 && node.links === 0)
      this.#nodes.delete(node.number);
  }

  lookup(parent: number, name: Uint8Array): Outcome<Entry | { node: 0; entryTtlMs: number }> {
    const found = this.#node(parent).names.get(text(name));
    const absent = { node: 0, entryTtlMs: this.#options.ttlMs } as const;
    return this.#late(found === undefined ? absent : this.#entry(found));
  }
  forget(number: number, count: number): void {
    const node = this.#node(number);
    node.lookups -= count;
    if (node.lookups < 0) throw new Error(`${number} forgotten too often`);
    this.#drop(node);
  }
  getattr(number: number): Outcome<Attributes> {
    return this.#late(this.#attributes(this.#node(number)));
  }
  setattr(number: number, change: Change): Outcome<Attributes> {
    const node = this.#node(number);
    const at = now();
    if (change.size !== undefined) {
      if (node.kind !== "file") return fail("EINVAL");
      node.content.truncate(change.size);
      node.modified = at;
    }
    if (change.mode !== undefined) node.mode = change.mode;
    if (change.isKillingPrivileges || change.uid !== undefined || change.gid !== undefined)
      if (node.kind === "file" && change.mode === undefined) this.#killPrivileges(node);
    if (change.uid !== undefined) node.uid = change.uid;
    if (change.gid !== undefined) node.gid = change.gid;
    if (change.accessed !== undefined)
      node.accessed = change.accessed === "now" ? at : change.accessed;
    if (change.modified !== undefined)
      node.modified = change.modified === "now" ? at : change.modified;
    node.changed = at;
    return this.#late(this.#attributes(node));
  }
  #killPrivileges(node: Node): void {
    node.mode &= (node.mode & 0o010) !== 0 ? 0o1777 : 0o3777;
  }
  readlink(number: number): Outcome<Uint8Array> {
    return this.#late(this.#node(number).target);
  }

  #add(parent: number, name: Uint8Array, make: (folder: Node) => Node): Outcome<Entry> {
    const folder = this.#node(parent);
    const key = text(name);
    if (folder.names.has(key)) return fail("EEXIST");
    if (folder.links === 0) return fail("ENOENT");
    const node = make(folder);
    this.#put(folder, key, node);
    if (node.kind === "directory") {
      node.links += 1;
      folder.links += 1;
      node.parent = parent;
    }
    return this.#late(this.#entry(node));
  }
  #put(folder: Node, key: string, node: Node): void {
    folder.names.set(key, node);
    folder.order.set(key, this.#nextCookie++);
    node.links += 1;
    node.changed = now();
    this.#touch(folder);
  }
  #owner(folder: Node, caller: Caller): { uid: number; gid: number } {
    return { uid: caller.uid, gid: (folder.mode & 0o2000) !== 0 ? folder.gid : caller.gid };
  }
  mknod(
    parent: number,
    name: Uint8Array,
    { mode, device }: { readonly mode: number; readonly device: number },
    caller: Caller,
  ): Outcome<Entry> {
    const kind = kinds.get(mode & 0o170000);
    if (kind === undefined) return fail("EINVAL");
    return this.#add(parent, name, (folder) =>
      this.#make(kind, mode & 0o7777, this.#owner(folder, caller), { device }),
    );
  }
  mkdir(parent: number, name: Uint8Array, mode: number, caller: Caller): Outcome<Entry> {
    return this.#add(parent, name, (folder) =>
      this.#make("directory", mode | (folder.mode & 0o2000), this.#owner(folder, caller)),
    );
  }
  symlink(parent: number, name: Uint8Array, target: Uint8Array, caller: Caller): Outcome<Entry> {
    return this.#add(parent, name, (folder) =>
      this.#make("symlink", 0o777, this.#owner(folder, caller), { target }),
    );
  }
  link(number: number, parent: number, name: Uint8Array): Outcome<Entry> {
    return this.#add(parent, name, () => this.#node(number));
  }
  #remove(folder: Node, key: string, node: Node): void {
    folder.names.delete(key);
    folder.order.delete(key);
    node.links -= 1;
    if (node.kind === "directory") {
      node.links -= 1;
      folder.links -= 1;
    }
    node.changed = now();
    this.#touch(folder);
    this.#drop(node);
  }
  unlink(parent: number, name: Uint8Array): Outcome<undefined> {
    const folder = this.#node(parent);
    const node = folder.names.get(text(name));
    if (node === undefined) return fail("ENOENT");
    if (node.kind === "directory") return fail("EISDIR");
    this.#remove(folder, text(name), node);
    return this.#late(undefined);
  }
  rmdir(parent: number, name: Uint8Array): Outcome<undefined> {
    const folder = this.#node(parent);
    const node = folder.names.get(text(name));
    if (node === undefined) return fail("ENOENT");
    if (node.kind !== "directory") return fail("ENOTDIR");
    if (node.names.size > 0) return fail("ENOTEMPTY");
    this.#remove(folder, text(name), node);
    return this.#late(undefined);
  }
  rename(
    source: { readonly parent: number; readonly name: Uint8Array },
    target: { readonly parent: number; readonly name: Uint8Array },
    mode: RenameMode,
  ): Outcome<undefined> {
    const [from, to] = [this.#node(source.parent), this.#node(target.parent)];
    const [oldKey, newKey] = [text(source.name), text(target.name)];
    const node = from.names.get(oldKey);
    const other = to.names.get(newKey);
    if (node === undefined) return fail("ENOENT");
    if (node === other) return undefined;
    if (mode === "no_replace" && other !== undefined) return fail("EEXIST");
    if (mode === "exchange" && other === undefined) return fail("ENOENT");
    if (mode === "replace" && other !== undefined) {
      const refusal = this.#replaceable(node, other);
      if (refusal !== undefined) return refusal;
    }
    this.#move(from, oldKey, undefined, node);
    if (other !== undefined) this.#move(to, newKey, undefined, other);
    this.#move(to, newKey, node, node);
    if (mode === "exchange") this.#move(from, oldKey, other!, other!);
    else if (other !== undefined) this.#drop(other);
    return this.#late(undefined);
  }
  #replaceable(node: Node, other: Node): Failure | undefined {
    if (node.kind === "directory" && other.kind !== "directory") return fail("ENOTDIR");
    if (node.kind !== "directory" && other.kind === "directory") return fail("EISDIR");
    return other.names.size > 0 ? fail("ENOTEMPTY") : undefined;
  }
  /** Puts `put` at a name, or takes `node` off it. */
  #move(folder: Node, key: string, put: Node | undefined, node: Node): void {
    const by = node.kind === "directory" ? 1 : 0;
    if (put === undefined) {
      folder.names.delete(key);
      folder.order.delete(key);
      node.links -= 1 + by;
      folder.links -= by;
      this.#touch(folder);
      node.changed = now();
      return;
    }
    this.#put(folder, key, node);
    node.links += by;
    folder.links += by;
    node.parent = folder.number;
  }

  #open(node: Node, isAppending: boolean): Opened {
    const number = this.#next++;
    const list = [...node.names].map(
      ([name, child]) => [node.order.get(name)!, name, child] as const,
    );
    const entries =
      node.kind === "directory"
        ? ([[1, ".", node], [2, "..", this.#node(node.parent)], ...list] as const)
        : [];
    this.#handles.set(number, { node, isAppending, entries });
    node.handles += 1;
    return { handle: number, isCacheValid: true };
  }
  open(number: number, flags: OpenFlags): Outcome<Opened> {
    const node = this.#node(number);
    this.opens += 1;
    if (this.#options.ttlMs > 0) this.kernel?.vouchOpens(number, this.#options.ttlMs);
    if (flags.isTruncating) {
      node.content.truncate(0);
      this.#touch(node);
    }
    return this.#late(this.#open(node, flags.isAppending));
  }
  create(
    parent: number,
    name: Uint8Array,
    options: { readonly mode: number; readonly isExclusive: boolean; readonly flags: OpenFlags },
    caller: Caller,
  ): Outcome<Entry & Opened> {
    const folder = this.#node(parent);
    let node = folder.names.get(text(name));
    if (node !== undefined && options.isExclusive) return fail("EEXIST");
    if (node === undefined) {
      node = this.#make("file", options.mode, this.#owner(folder, caller));
      this.#put(folder, text(name), node);
    } else if (options.flags.isTruncating) node.content.truncate(0);
    return this.#late({ ...this.#entry(node), ...this.#open(node, options.flags.isAppending) });
  }
  read(number: number, offset: number, target: Uint8Array): Outcome<number> {
    return this.#late(this.#handle(number).node.content.read(offset, target));
  }
  write(
    number: number,
    offset: number,
    source: Uint8Array,
    options?: { readonly isKillingPrivileges?: boolean },
  ): Outcome<number> {
    const { node, isAppending } = this.#handle(number);
    if (offset + source.byteLength > capacity) return fail("EFBIG");
    node.content.write(isAppending ? node.content.size : offset, source);
    if (options?.isKillingPrivileges) this.#killPrivileges(node);
    this.#touch(node);
    return this.#late(source.byteLength);
  }
  flush(number: number, owner?: bigint): Outcome<undefined> {
    this.flushes += 1;
    if (owner !== undefined) this.#handle(number).node.locks.end("range", owner);
    return this.#late(undefined);
  }
  release(number: number, flockOwner?: bigint): Outcome<undefined> {
    const { node } = this.#handle(number);
    if (flockOwner !== undefined) node.locks.end("whole", flockOwner);
    this.#handles.delete(number);
    node.handles -= 1;
    this.#drop(node);
    return undefined;
  }
  fsync(): Outcome<undefined> {
    return this.#late(undefined);
  }
  fallocate(number: number, range: AllocatedRange): Outcome<undefined> {
    const { node } = this.#handle(number);
    const end = range.offset + range.length;
    if (end > capacity) return fail("ENOSPC");
    if (!range.isSizeKept && end > node.content.size) node.content.truncate(end);
    if (range.mode !== "allocate") node.content.punch(range.offset, range.length);
    this.#touch(node);
    return this.#late(undefined);
  }
  lseek(number: number, offset: number, what: "data" | "hole"): Outcome<number> {
    return this.#handle(number).node.content.seek(offset, what) ?? fail("ENXIO");
  }
  copyFileRange(range: CopyRange): Outcome<number> {
    const piece = new Uint8Array(Math.min(range.length, 1 << 20));
    const count = this.#handle(range.source).node.content.read(range.sourceOffset, piece);
    const { node } = this.#handle(range.target);
    node.content.write(range.targetOffset, piece.subarray(0, count));
    this.#touch(node);
    return this.#late(count);
  }

  opendir(number: number): Outcome<Opened> {
    return this.#late({ ...this.#open(this.#node(number), false), isCacheValid: false });
  }
  readdir(
    number: number,
    cookie: number,
    isPlus: boolean,
    take: (entry: DirectoryEntry) => boolean,
  ): Outcome<undefined> {
    for (const [at, name, node] of this.#handle(number).entries) {
      if (at <= cookie) continue;
      const isSelf = name === "." || name === "..";
      const entry = isPlus && !isSelf ? this.#entry(node) : undefined;
      const { kind, number: inode } = node;
      if (take({ name: bytes(name), kind, inode, entry, cookie: at })) continue;
      if (entry !== undefined) node.lookups -= 1;
      break;
    }
    return this.#late(undefined);
  }
  releasedir(number: number): void {
    void this.release(number);
  }
  fsyncdir(): Outcome<undefined> {
    return undefined;
  }
  statfs(): Outcome<FileSystemStatistics> {
    return this.#late({
      kind: "statistics",
      bytesTotal: capacity,
      bytesFree: capacity / 2,
      bytesAvailable: capacity / 4,
      filesTotal: 1_000_000,
      filesFree: 1_000_000 - this.#nodes.size,
    } as const);
  }

  getxattr(number: number, name: Uint8Array): Outcome<Uint8Array> {
    return this.#late(this.#node(number).xattrs.get(text(name)) ?? fail("ENODATA"));
  }
  setxattr(
    number: number,
    name: Uint8Array,
    value: Uint8Array,
    mode: XattrMode,
  ): Outcome<undefined> {
    const { xattrs } = this.#node(number);
    if (mode === "create" && xattrs.has(text(name))) return fail("EEXIST");
    if (mode === "replace" && !xattrs.has(text(name))) return fail("ENODATA");
    xattrs.set(text(name), value);
    return this.#late(undefined);
  }
  listxattr(number: number): Outcome<readonly Uint8Array[]> {
    return this.#late([...this.#node(number).xattrs.keys()].map(bytes));
  }
  removexattr(number: number, name: Uint8Array): Outcome<undefined> {
    return this.#node(number).xattrs.delete(text(name)) ? undefined : fail("ENODATA");
  }
  getlk(number: number, lock: FileLock): Outcome<FileLock | undefined> {
    return this.#late(this.#handle(number).node.locks.conflict(lock));
  }
  setlk(number: number, lock: FileLock, wait?: AbortSignal): Outcome<undefined> {
    return this.#handle(number).node.locks.set(lock, wait);
  }
  unlock(number: number, lock: Omit<FileLock, "type">): Outcome<undefined> {
    this.#handle(number).node.locks.unlock(lock);
    return undefined;
  }
  close(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}
