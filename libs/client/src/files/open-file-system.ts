import {
  type Absent,
  type Attributes,
  type Caller,
  type Change,
  type CopyRange,
  type DirectoryEntry,
  type AllocatedRange,
  type Entry,
  type Eventually,
  fail,
  type Failure,
  failureOf,
  type FileKind,
  type FileLock,
  type FileNode,
  type FileSystem,
  type FileSystemStatistics,
  type HandleNumber,
  type Invalidation,
  isFailure,
  nameKey,
  type NewNode,
  type NodeNumber,
  type Opened,
  type OpenFlags,
  type Outcome,
  type RenameMode,
  rootNode,
  type XattrMode,
} from "@kiseki/vfs";
import { Content } from "./content.ts";
import { Directories, DirectoryHandle } from "./directories.ts";
import { Fetcher } from "./fetch.ts";
import { Holds } from "./holds.ts";
import { Locks } from "./locks.ts";
import { Metadata, nameSizeMax } from "./metadata.ts";
import { after, type FileSystemOptions, type FileSystemPorts, isRefused, Mount } from "./mount.ts";
import { FileHandle } from "./open-file.ts";
import { Reader } from "./reading.ts";
import { Writer } from "./writing.ts";
import { Xattrs } from "./xattrs.ts";

const kindByBits = new Map<number, FileKind>([
  [0, "file"],
  [0o100000, "file"],
  [0o010000, "fifo"],
  [0o140000, "socket"],
  [0o020000, "character_device"],
  [0o060000, "block_device"],
]);
function newNode(mode: number, device: number): NewNode | undefined {
  const kind = kindByBits.get(mode & 0o170000);
  if (kind === "character_device" || kind === "block_device") return { kind, device };
  if (kind === "file" || kind === "fifo" || kind === "socket") return { kind };
  return undefined;
}
/** Names of a directory that the kernel is told of one by one. */
const toldNamesMax = 1000;

/** The file system, and what its owner may do with it beside the kernel. */
export interface MountedFiles extends FileSystem {
  /** Nothing that was read before is served any more, by the kernel either. */
  wipe(): void;
}

class MountedFileSystem implements MountedFiles {
  readonly #mount: Mount;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #fetcher: Fetcher;
  readonly #holds: Holds;
  readonly #metadata: Metadata;
  readonly #directories: Directories;
  readonly #content: Content;
  readonly #locks: Locks;
  readonly #xattrs: Xattrs;
  readonly #handles = new Map<HandleNumber, FileHandle | DirectoryHandle>();
  #handleNext = 1;
  #statistics: { readonly value: FileSystemStatistics; readonly until: number } | undefined;

  constructor(mount: Mount) {
    this.#mount = mount;
    const fetcher = new Fetcher(mount.content, mount.cache, mount.options.cacheSizeMax > 0);
    this.#fetcher = fetcher;
    this.#writer = new Writer(mount);
    this.#reader = new Reader(mount, fetcher);
    this.#holds = new Holds(mount);
    this.#metadata = new Metadata(mount, this.#writer, this.#holds);
    this.#directories = new Directories(mount, this.#metadata);
    this.#content = new Content(mount, this.#writer, this.#reader);
    this.#locks = new Locks(mount, this.#writer);
    this.#xattrs = new Xattrs(mount);
    mount.service.listen({
      invalidated: (change) => {
        this.#invalidated(change);
      },
      sessionEnded: () => {
        this.#sessionEnded();
      },
    });
  }

  #file(number: HandleNumber): FileHandle | undefined {
    const handle = this.#handles.get(number);
    return handle instanceof FileHandle ? handle : undefined;
  }
  #keep(handle: FileHandle | DirectoryHandle): HandleNumber {
    const number = this.#handleNext;
    this.#handleNext += 1;
    this.#handles.set(number, handle);
    return number;
  }

  wipe(): void {
    this.#fetcher.wipe();
    this.#mount.wipe();
  }

  #invalidated(change: Invalidation): void {
    const mount = this.#mount;
    if (change.kind === "everything") {
      for (const node of mount.nodes.values()) node.doubt();
      mount.names.clear();
      return;
    }
    const node = mount.nodes.get(mount.nodes.numberOf(change.inode));
    if (node === undefined) return;
    if (change.isOwn && mount.isEcho(node)) return;
    node.doubt();
    if (!change.isOwn) mount.hearForeign(node);
    const isDirectory = change.kind === "directory";
    // The kernel knows what went through it: it is told of what others did alone.
    const isTold = !change.isOwn;
    const names = isDirectory && isTold ? mount.names.namesOf(node.number, toldNamesMax) : [];
    if (isDirectory) mount.names.forgetDirectory(node.number);
    if (!isTold) return;
    mount.tellKernel((kernel) => {
      for (const name of names) kernel.invalidateEntry(node.number, name);
      kernel.invalidateNode(node.number, -1, 0);
    });
    // Pages of an open file go as soon as its content is known to be another.
    if (node.pagesVersion !== undefined && mount.files.has(node.number)) void mount.ask(node);
  }
  #sessionEnded(): void {
    this.#writer.loseAll();
    for (const handle of this.#handles.values()) {
      if (!(handle instanceof FileHandle) || !handle.hasLocks) continue;
      handle.isLost = true;
      handle.file.hasLostHandle = true;
      handle.file.endLending();
    }
    for (const file of this.#mount.files.values()) {
      file.lockOwners.clear();
      file.node.doubt();
    }
    this.#holds.lost(this.#mount.files.values());
  }

  lookup(parent: NodeNumber, name: Uint8Array): Outcome<Entry | Absent> {
    return this.#metadata.lookup(parent, name);
  }
  forget(node: NodeNumber, count: number): void {
    this.#mount.nodes.forget(node, count);
  }
  getattr(node: NodeNumber): Outcome<Attributes> {
    return this.#metadata.getattr(node);
  }
  setattr(node: NodeNumber, change: Change): Outcome<Attributes> {
    return this.#metadata.setattr(node, change);
  }
  async readlink(number: NodeNumber): Promise<Uint8Array | Failure> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    const answer = await this.#mount.service.readlink(node.ref);
    return isRefused(answer) ? failureOf(answer.code) : answer.target;
  }

  mknod(
    parent: NodeNumber,
    name: Uint8Array,
    { mode, device }: { readonly mode: number; readonly device: number },
    caller: Caller,
  ): Outcome<Entry> {
    const node = newNode(mode, device);
    if (node === undefined) return fail("EINVAL");
    return this.#make(parent, name, node, mode, caller);
  }
  mkdir(parent: NodeNumber, name: Uint8Array, mode: number, caller: Caller): Outcome<Entry> {
    return this.#make(parent, name, { kind: "directory" }, mode, caller);
  }
  symlink(
    parent: NodeNumber,
    name: Uint8Array,
    target: Uint8Array,
    caller: Caller,
  ): Outcome<Entry> {
    return this.#make(parent, name, { kind: "symlink", target }, 0o777, caller);
  }
  #make(
    parent: NodeNumber,
    name: Uint8Array,
    node: NewNode,
    mode: number,
    caller: Caller,
  ): Outcome<Entry> {
    if (name.byteLength > nameSizeMax) return fail("ENAMETOOLONG");
    return this.#metadata.make({ parent, name }, node, mode, caller);
  }
  link(node: NodeNumber, parent: NodeNumber, name: Uint8Array): Outcome<Entry> {
    if (name.byteLength > nameSizeMax) return fail("ENAMETOOLONG");
    return this.#metadata.link(node, { parent, name });
  }
  unlink(parent: NodeNumber, name: Uint8Array): Outcome<undefined> {
    return this.#metadata.remove({ parent, name }, "unlink");
  }
  rmdir(parent: NodeNumber, name: Uint8Array): Outcome<undefined> {
    return this.#metadata.remove({ parent, name }, "remove_directory");
  }
  rename(
    source: { readonly parent: NodeNumber; readonly name: Uint8Array },
    target: { readonly parent: NodeNumber; readonly name: Uint8Array },
    mode: RenameMode,
  ): Outcome<undefined> {
    if (target.name.byteLength > nameSizeMax) return fail("ENAMETOOLONG");
    return this.#metadata.rename(source, target, mode);
  }

  open(number: NodeNumber, flags: OpenFlags): Outcome<Opened> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    if (node.kind === "directory") return fail("EISDIR");
    if (node.kind !== "file") return fail("ENXIO");
    if (flags.isWriting && this.#mount.options.isReadOnly) return fail("EROFS");
    return after(this.#mount.refresh(node), (failure) => {
      if (failure !== undefined) return failure;
      const opened = this.#opened(number, flags);
      const held = this.#holds.opened(this.#mount.file(node));
      if (!flags.isTruncating && held === undefined) return opened;
      return this.#openSlowly(node, flags, opened, held);
    });
  }
  async #openSlowly(
    node: FileNode,
    flags: OpenFlags,
    opened: Opened,
    held: Eventually<Failure | undefined>,
  ): Promise<Opened | Failure> {
    let failure = await held;
    if (failure === undefined && flags.isTruncating) {
      const cut = await this.#metadata.setattr(node.number, { size: 0 });
      if (isFailure(cut)) failure = cut;
    }
    if (failure === undefined) return opened;
    await this.release(opened.handle);
    return failure;
  }
  #opened(number: NodeNumber, flags: OpenFlags): Opened {
    const node = this.#mount.nodes.get(number)!;
    const file = this.#mount.file(node);
    file.handles += 1;
    this.#mount.openImage(file);
    const version = node.attributes.contentVersion;
    const isCacheValid = node.pagesVersion === version;
    // Where this open makes the kernel drop its pages, others may not keep them meanwhile.
    const hasOldPages = node.pagesVersion !== undefined && !isCacheValid;
    node.pagesVersion = version;
    const handle = this.#keep(new FileHandle(file, flags));
    // What nobody here can change the kernel may read by itself; then each open is told so.
    const descriptor = this.#mount.passedBy(file);
    const isPassed = descriptor !== undefined || file.imageLost !== undefined;
    if (!hasOldPages && !isPassed) this.#mount.vouch(node);
    return { handle, isCacheValid, descriptor };
  }

  async create(
    parent: NodeNumber,
    name: Uint8Array,
    options: { readonly mode: number; readonly isExclusive: boolean; readonly flags: OpenFlags },
    caller: Caller,
  ): Promise<(Entry & Opened) | Failure> {
    if (name.byteLength > nameSizeMax) return fail("ENAMETOOLONG");
    const node = await this.#metadata.create({ parent, name }, { kind: "file" }, options, caller);
    if (isFailure(node)) return node;
    const opened = await this.open(node.number, {
      ...options.flags,
      isTruncating: options.flags.isTruncating && this.#mount.show(node).attributes.size > 0,
    });
    if (isFailure(opened)) {
      this.#mount.nodes.release(node);
      return opened;
    }
    const until = this.#mount.names.until(parent, nameKey(name));
    return { ...this.#mount.enter(node, until), ...opened };
  }

  read(handle: HandleNumber, offset: number, target: Uint8Array): Outcome<number> {
    const file = this.#file(handle);
    if (file === undefined || !file.flags.isReading) return fail("EBADF");
    return this.#reader.read(file, offset, target);
  }
  write(
    handle: HandleNumber,
    offset: number,
    source: Uint8Array,
    options?: { readonly isKillingPrivileges?: boolean },
  ): Outcome<number> {
    const file = this.#file(handle);
    if (file === undefined || !file.flags.isWriting) return fail("EBADF");
    return this.#writer.write(file, offset, source, options?.isKillingPrivileges === true);
  }
  flush(handle: HandleNumber, owner?: bigint): Outcome<undefined> {
    const file = this.#file(handle);
    if (file === undefined) return fail("EBADF");
    // Who only reads has nothing to store, and need not wait for those who write.
    const stored = file.flags.isWriting ? this.#sync(file) : undefined;
    if (owner === undefined || !file.file.lockOwners.has(owner)) return stored;
    return after(stored, (failure) =>
      after(this.#locks.release(file, owner), (unlocked) => failure ?? unlocked),
    );
  }
  #sync(handle: FileHandle): Outcome<undefined> {
    const { buffer, isBusy } = handle.file;
    if (!buffer.isDirty && !isBusy) return handle.takeError();
    return this.#writer.flush(handle.file).then(() => handle.takeError());
  }
  fsync(handle: HandleNumber): Outcome<undefined> {
    const file = this.#file(handle);
    return file === undefined ? fail("EBADF") : this.#sync(file);
  }
  release(number: HandleNumber, flockOwner?: bigint): Outcome<undefined> {
    const handle = this.#file(number);
    if (handle === undefined) return fail("EBADF");
    this.#handles.delete(number);
    const { file } = handle;
    const unlocked =
      flockOwner === undefined || !handle.hasLocks
        ? undefined
        : this.#locks.unlock(handle, {
            kind: "whole",
            start: 0n,
            end: undefined,
            owner: flockOwner,
            pid: 0,
          });
    const sync = () => (handle.flags.isWriting ? this.#sync(handle) : undefined);
    return after(unlocked, () => after(sync(), (failure) => this.#close(file, failure)));
  }
  #close(file: FileHandle["file"], failure: Failure | undefined): Outcome<undefined> {
    file.handles -= 1;
    if (file.handles > 0 || !file.isHeld) {
      this.#mount.release(file);
      return failure;
    }
    return this.#holds.release(file).then(() => {
      this.#mount.release(file);
      return failure;
    });
  }

  fallocate(handle: HandleNumber, range: AllocatedRange): Outcome<undefined> {
    const file = this.#file(handle);
    if (file === undefined || !file.flags.isWriting) return fail("EBADF");
    return this.#content.allocate(file, range);
  }
  lseek(handle: HandleNumber, offset: number, what: "data" | "hole"): Outcome<number> {
    const file = this.#file(handle);
    return file === undefined ? fail("EBADF") : this.#content.seek(file, offset, what);
  }
  copyFileRange(range: CopyRange): Outcome<number> {
    const source = this.#file(range.source);
    const target = this.#file(range.target);
    if (source === undefined || target === undefined) return fail("EBADF");
    if (!source.flags.isReading || !target.flags.isWriting || target.flags.isAppending)
      return fail("EBADF");
    return this.#content.copy(source, target, range);
  }

  opendir(number: NodeNumber): Outcome<Opened> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    if (node.kind !== "directory") return fail("ENOTDIR");
    node.uses += 1;
    const handle = this.#keep(new DirectoryHandle(node));
    return { handle, isCacheValid: false };
  }
  readdir(
    handle: HandleNumber,
    cookie: number,
    isPlus: boolean,
    take: (entry: DirectoryEntry) => boolean,
  ): Outcome<undefined> {
    const directory = this.#handles.get(handle);
    if (!(directory instanceof DirectoryHandle)) return fail("EBADF");
    return this.#directories.read(directory, cookie, isPlus, take);
  }
  releasedir(handle: HandleNumber): void {
    const directory = this.#handles.get(handle);
    if (!(directory instanceof DirectoryHandle)) return;
    this.#handles.delete(handle);
    directory.node.uses -= 1;
    this.#mount.nodes.release(directory.node);
  }
  /** Changes of names are durable when they are answered. */
  fsyncdir(): Outcome<undefined> {
    return undefined;
  }

  statfs(): Outcome<FileSystemStatistics> {
    const now = this.#mount.now();
    if (this.#statistics !== undefined && now < this.#statistics.until)
      return this.#statistics.value;
    return this.#askStatistics(now);
  }
  async #askStatistics(asked: number): Promise<FileSystemStatistics | Failure> {
    const value = await this.#mount.service.statistics();
    if (isRefused(value)) return failureOf(value.code);
    this.#statistics = { value, until: this.#mount.until(asked) };
    return value;
  }
  getxattr(node: NodeNumber, name: Uint8Array): Outcome<Uint8Array> {
    return this.#xattrs.get(node, name);
  }
  setxattr(
    node: NodeNumber,
    name: Uint8Array,
    value: Uint8Array,
    mode: XattrMode,
  ): Outcome<undefined> {
    return this.#xattrs.set(node, name, value, mode);
  }
  listxattr(node: NodeNumber): Outcome<readonly Uint8Array[]> {
    return this.#xattrs.list(node);
  }
  removexattr(node: NodeNumber, name: Uint8Array): Outcome<undefined> {
    return this.#xattrs.remove(node, name);
  }

  getlk(handle: HandleNumber, lock: FileLock): Outcome<FileLock | undefined> {
    const file = this.#file(handle);
    return file === undefined ? fail("EBADF") : this.#locks.test(file, lock);
  }
  setlk(handle: HandleNumber, lock: FileLock, wait?: AbortSignal): Outcome<undefined> {
    const file = this.#file(handle);
    return file === undefined ? fail("EBADF") : this.#locks.set(file, lock, wait);
  }
  unlock(handle: HandleNumber, lock: Omit<FileLock, "type">): Outcome<undefined> {
    const file = this.#file(handle);
    return file === undefined ? fail("EBADF") : this.#locks.unlock(file, lock);
  }

  async close(): Promise<Failure | undefined> {
    const failure = await this.#writer.flushAll();
    this.#mount.closing.abort();
    await this.#holds.releaseAll();
    this.#mount.cache.wipe();
    return failure;
  }
}

/** The files of one namespace, after the root has been seen. A refusal: the node does not serve it. */
export async function openFileSystem(
  ports: FileSystemPorts,
  options: FileSystemOptions,
): Promise<MountedFiles | Failure> {
  const mount = new Mount(ports, options);
  const asked = mount.now();
  const root = await mount.service.attributes(mount.service.root);
  if (isRefused(root)) return failureOf(root.code);
  const node = mount.nodes.getOrMake(root);
  node.lookups = 1;
  mount.note(node, root, asked);
  if (node.number !== rootNode) return fail("EIO");
  return new MountedFileSystem(mount);
}
