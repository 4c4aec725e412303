import { type Millis, millis } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import {
  type Applied,
  type Attributes,
  type BlockCache,
  type ContentStore,
  type Entry,
  type Eventually,
  fail,
  type Failure,
  failureOf,
  type FileAttributes,
  type FileNode,
  type FileOperation,
  type FileRefusal,
  type FileService,
  type KernelCache,
  NameCache,
  type NodeNumber,
  NodeTable,
  type StagedFiles,
  type StagedImage,
  type StagedView,
} from "@kiseki/vfs";
import { OpenFile } from "./open-file.ts";

export interface FileSystemOptions {
  /** How long an answer of a node is believed; 0: each question is asked, each write goes through. */
  readonly metaTtlMs: number;
  /** Bytes of blocks in RAM; 0: nothing is kept between reads. */
  readonly cacheSizeMax: number;
  /** Bytes that were written and are not stored yet; writers wait above it. */
  readonly dirtySizeMax: number;
  readonly readAheadMax: number;
  readonly isReadOnly: boolean;
  /** Images of so many bytes and more the kernel may read by itself, for as long as a handle is open. Absent: none. */
  readonly passSizeMin?: number | undefined;
}

/** What a file system stands on. `kernel`: absent where nobody caches above it. */
export interface FileSystemPorts {
  readonly service: FileService;
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly cache: BlockCache;
  readonly kernel?: KernelCache;
  /** Files that are shown as they were when they were staged, until this mount changes them. */
  readonly staged?: StagedFiles | undefined;
}

/** Names of one mount that are remembered. */
const namesMax = 500_000;
/** So long after its answer the word of a change of this client's may still be on its way. */
const echoMs = 2000;
const vouchMax = 3_600_000;

/** `next` of a value that may have to be waited for; at once where it has not. */
export function after<T, U>(
  value: Eventually<T>,
  next: (value: T) => Eventually<U>,
): Eventually<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

export function isRefused(answer: object): answer is FileRefusal {
  return "kind" in answer && answer.kind === "refused";
}

/** What an own operation came to. */
export interface Settled extends Applied {
  /** Until when its names are believed: not at all when answers of later operations in its directories came before its own. */
  readonly namesUntil: number;
}

/** Directories in which the operation changes names. */
function directoriesOf(operation: FileOperation): readonly bigint[] {
  if (operation.kind === "rename") return [operation.source.parent, operation.target.parent];
  return "parent" in operation ? [operation.parent] : [];
}

/** What all operations of one mount share: who is asked, what is known, which files are open. */
export class Mount {
  readonly service: FileService;
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly cache: BlockCache;
  readonly kernel: KernelCache | undefined;
  readonly options: FileSystemOptions;
  readonly nodes: NodeTable;
  readonly names = new NameCache(namesMax);
  /** Files with a handle, or with data on its way. */
  readonly files = new Map<NodeNumber, OpenFile>();
  readonly #staged: StagedFiles | undefined;
  /** Staged files that are not shown as such any more. */
  readonly #unstaged = new Set<NodeNumber>();
  /** Ended when the file system closes. */
  readonly closing = new AbortController();

  constructor(ports: FileSystemPorts, options: FileSystemOptions) {
    this.service = ports.service;
    this.content = ports.content;
    this.clock = ports.clock;
    this.cache = ports.cache;
    this.kernel = ports.kernel;
    this.#staged = ports.staged;
    this.options = options;
    this.nodes = new NodeTable(ports.service.root);
  }

  now(): Millis {
    return this.clock.monotonic();
  }
  /** Until when what is asked at `asked` is believed. */
  until(asked: number): number {
    return asked + this.options.metaTtlMs;
  }

  /** The node, or ESTALE for a number that the kernel ought not to have. */
  node(number: NodeNumber): FileNode | Failure {
    return this.nodes.get(number) ?? fail("ESTALE");
  }

  /** The file's state while it is open, made when it was not. */
  file(node: FileNode): OpenFile {
    const known = this.files.get(node.number);
    if (known !== undefined) return known;
    const made = new OpenFile(node, this.options.readAheadMax);
    this.files.set(node.number, made);
    node.uses += 1;
    return made;
  }
  /** Lets a file's state go that has neither handle nor data. */
  release(file: OpenFile): void {
    if (file.handles > 0 || file.isBusy || file.buffer.isDirty || file.buffer.isFlushing) return;
    if (this.files.get(file.node.number) !== file) return;
    this.#closeImage(file, true);
    file.endLending();
    this.files.delete(file.node.number);
    file.node.uses -= 1;
    this.nodes.release(file.node);
  }

  /** What the node was when it was staged, if that is what it is shown as. */
  staged(node: FileNode): StagedView | undefined {
    if (this.#staged === undefined || node.kind !== "file") return undefined;
    return this.#unstaged.has(node.number) ? undefined : this.#staged.view(node.ref.inode);
  }
  /** Gives an open file its image, if it has one. */
  openImage(file: OpenFile): void {
    if (file.image !== undefined || this.staged(file.node) === undefined) return;
    file.image = this.#staged!.open(file.ref.inode);
    if (file.image === undefined) this.unstage(file.node);
  }
  /** From now on the file is what the nodes say, or what this mount makes of it. */
  unstage(node: FileNode): void {
    if (this.#staged === undefined || this.#unstaged.has(node.number)) return;
    const file = this.files.get(node.number);
    if (this.#staged.view(node.ref.inode) === undefined && file?.image === undefined) return;
    this.#unstaged.add(node.number);
    if (file !== undefined) this.#closeImage(file);
    node.doubt();
    node.pagesVersion = undefined;
    this.tellKernel((kernel) => {
      kernel.invalidateNode(node.number, 0, 0);
    });
  }
  /** What the kernel may read in place of the file, by itself. */
  passedBy({ image }: OpenFile): number | undefined {
    const { passSizeMin } = this.options;
    const isPassed = passSizeMin !== undefined && image !== undefined && image.size >= passSizeMin;
    return isPassed ? image.descriptor : undefined;
  }
  /** What the kernel reads by itself stays what it is until the last handle is closed. */
  #closeImage(file: OpenFile, isLast = false): void {
    if (this.passedBy(file) !== undefined && !isLast) {
      file.imageLost ??= file.image;
    } else {
      file.image?.close();
      file.imageLost?.close();
      file.imageLost = undefined;
    }
    file.image = undefined;
  }
  /** What the kernel reads by itself it reads no more; then the image may go. */
  async #revoke(file: OpenFile, image: StagedImage): Promise<void> {
    const isRevoked = await this.kernel?.revoke?.(file.node.number, image.paths);
    if (isRevoked !== true || file.imageLost !== image) return;
    file.imageLost = undefined;
    image.close();
  }
  /** Nothing of before is served any more, by the kernel either. */
  wipe(): void {
    for (const file of this.files.values()) file.forgetPlan();
    for (const node of this.nodes.values()) {
      if (node.pagesVersion === undefined) continue;
      node.endVouch();
      const file = this.files.get(node.number);
      if (file?.image !== undefined) this.unstage(node);
      if (file?.imageLost !== undefined) void this.#revoke(file, file.imageLost);
      node.pagesVersion = undefined;
      this.kernel?.invalidateNode(node.number, 0, 0);
    }
  }

  async apply(operation: FileOperation): Promise<Settled | Failure> {
    if (this.options.isReadOnly) return fail("EROFS");
    const doubts = new Map<FileNode, number>();
    for (const inode of directoriesOf(operation)) {
      const known = this.nodes.get(this.nodes.numberOf(inode));
      if (known !== undefined) doubts.set(known, known.doubts);
    }
    const applied = await this.service.apply(operation);
    if (isRefused(applied)) return failureOf(applied.code);
    const now = this.now();
    const until = this.until(now);
    const isOvertaken = [...doubts].some(([directory, before]) => {
      if (directory.doubts === before) return false;
      const told = applied.directories.find(({ ref }) => ref.inode === directory.ref.inode);
      return told === undefined || told.changed <= directory.attributes.changed;
    });
    for (const told of applied.directories)
      this.nodes.get(this.nodes.numberOf(told.ref.inode))?.settle(told, until, now);
    return { ...applied, namesUntil: isOvertaken ? 0 : until };
  }

  /** Takes over what an own operation left of a node. `isWrite`: it changed content, by what the kernel has in its pages too. */
  settle(node: FileNode, attributes: FileAttributes, isWrite = false): void {
    if (attributes.contentVersion !== node.attributes.contentVersion) this.unstage(node);
    const isSeen = node.pagesVersion === node.attributes.contentVersion && !node.isForeign;
    const now = this.now();
    const noted = node.settle(attributes, this.until(now), now);
    if (isWrite && isSeen) node.pagesVersion = attributes.contentVersion;
    else if (noted !== "older") this.noteForeign(node);
    if (isWrite) node.isWritten = true;
    const file = this.files.get(node.number);
    if (file !== undefined && file.plan.version !== attributes.contentVersion) file.forgetPlan();
  }

  /** Takes over what a node tells of an inode, asked at `asked` when its doubts were `doubts`. */
  note(node: FileNode, attributes: FileAttributes, asked: number, doubts?: number): void {
    const generation = node.attributes.generation;
    const noted = node.note(attributes, this.until(asked), doubts);
    if (noted === "content_changed") this.noteForeign(node);
    if (noted !== "older") node.isForeign = false;
    if (node.attributes.generation !== generation && node.place !== undefined) {
      this.names.forget(node.place.parent, node.place.name);
      node.place = undefined;
    }
  }
  /** Somebody else wrote the file, unless the kernel's pages are of this content. */
  noteForeign(node: FileNode): void {
    const { contentVersion } = node.attributes;
    const file = this.files.get(node.number);
    if (file !== undefined && file.plan.version !== contentVersion) file.forgetPlan();
    if (node.pagesVersion === undefined || node.pagesVersion === contentVersion) return;
    node.pagesVersion = contentVersion;
    this.#dropPages(node);
  }
  /**
   * Somebody else changed the node. Its version says whether content is another, but not where this client wrote, too: then the
   * version that is known may be of after both.
   */
  hearForeign(node: FileNode): void {
    node.isForeign = true;
    if (!node.isWritten) return;
    this.files.get(node.number)?.forgetPlan();
    if (node.pagesVersion !== undefined) this.#dropPages(node);
  }
  #dropPages(node: FileNode): void {
    node.endVouch();
    node.isWritten = false;
    node.isForeign = false;
    this.tellKernel((kernel) => {
      kernel.invalidateNode(node.number, 0, 0);
    });
  }
  /** While the node's attributes are good, and the kernel's pages are of its content, opens for reading need not come here. */
  vouch(node: FileNode): void {
    const { kernel } = this;
    const left = Math.min(vouchMax, Math.floor(node.until - this.now()));
    if (kernel === undefined || left <= 0) return;
    node.vouch(() => kernel.withdrawOpens(node.number));
    kernel.vouchOpens(node.number, left);
  }
  /** While the plan is good and nobody writes, reads of what this machine keeps of `[start, end)` need not come here. */
  lend(file: OpenFile, start: number, end: number): void {
    const { content } = this;
    const blocks = this.kernel?.blocks;
    const { plan, buffer, node } = file;
    if (blocks === undefined || content.lend === undefined || plan.version === undefined) return;
    const left = Math.min(vouchMax, Math.floor(plan.until - this.now()));
    if (left <= 0 || file.hasLostHandle || buffer.isDirty || buffer.isFlushing) return;
    const known = { node: node.number, version: plan.version, size: plan.size };
    for (const piece of plan.slice(start, end)) {
      if (piece.kind === "chunk") content.lend(piece, Math.max(0, start - piece.offset), known);
    }
    file.lent(() => blocks.withdrawReads(node.number));
    blocks.vouchReads(node.number, plan.version, left);
  }
  /** The kernel hears of it after the request that is being answered: see `KernelCache`. */
  tellKernel(tell: (kernel: KernelCache) => void): void {
    const { kernel } = this;
    // Where answers are good for no time the kernel asks before it uses what it has; a notice would only undo the size
    // that an answer on its way brings.
    if (kernel !== undefined && this.options.metaTtlMs > 0) tell(kernel);
  }
  /** What was settled of the node lately is newer than what is heard of an own change. */
  isEcho(node: FileNode): boolean {
    return this.now() - node.changedAt < echoMs;
  }

  /** The node's attributes, asked for unless they are fresh. */
  refresh(node: FileNode): Eventually<Failure | undefined> {
    return node.isFresh(this.now()) ? undefined : this.ask(node);
  }
  async ask(node: FileNode): Promise<Failure | undefined> {
    const asked = this.now();
    const { doubts } = node;
    const attributes = await this.service.attributes(node.ref);
    if (isRefused(attributes)) {
      if (attributes.code === "stale" || attributes.code === "stale_file") node.doubt();
      return failureOf(attributes.code);
    }
    this.note(node, attributes, asked, doubts);
    return undefined;
  }

  /** As stat(2) shows the node: with what was written and is still in memory. */
  show(node: FileNode): Attributes {
    const known = node.attributes;
    const file = this.files.get(node.number);
    const end = file?.buffer.end ?? 0;
    const writtenAt = end > 0 ? file?.writtenAt : undefined;
    // What is in memory changed the file later than the node knows; a time that somebody set says nothing of that.
    const written = writtenAt === undefined ? undefined : BigInt(writtenAt) * 1_000_000n;
    const staged = this.staged(node);
    const size = staged?.size ?? Math.max(known.size, end);
    const allocated = staged?.size ?? known.allocated + (file?.buffer.byteCount ?? 0);
    return {
      attributes: {
        inode: Number(known.ref.inode),
        kind: known.kind,
        mode: known.mode,
        uid: known.uid,
        gid: known.gid,
        links: known.links,
        size,
        blocks: Math.ceil(allocated / 512),
        device: known.device,
        accessed: known.accessed,
        modified: written ?? staged?.modified ?? known.modified,
        changed: written !== undefined && written > known.changed ? written : known.changed,
      },
      // Provisional times are not for the kernel to keep: the node stamps the write when it comes.
      ttlMs: written === undefined ? Math.max(0, node.until - this.now()) : 0,
    };
  }
  /** An entry for the kernel, which has the node once more. `until`: of the name. */
  enter(node: FileNode, until: number): Entry {
    node.lookups += 1;
    const shown = this.show(node);
    return { ...shown, node: node.number, entryTtlMs: Math.max(0, until - this.now()) };
  }

  sleep(duration: number, signal: AbortSignal = this.closing.signal): Promise<void> {
    return this.clock.sleep(millis(duration), signal);
  }
}
