import type { WallTime } from "@kiseki/base";
import {
  type Failure,
  FileBuffer,
  type FileNode,
  type FileRef,
  type OpenFlags,
  PlanWindow,
  ReadAhead,
  type StagedImage,
} from "@kiseki/vfs";

/** What one inode has while it is open: data in memory, how it lies, and what became of writes in the background. */
export class OpenFile {
  readonly node: FileNode;
  readonly buffer = new FileBuffer();
  readonly plan = new PlanWindow();
  /** Grows when what was known of how the file lies is forgotten: an answer to an older question is not kept. */
  planEpoch = 0;
  /** It lies in more pieces than one answer has. */
  isFragmented = false;
  handles = 0;
  /** Of `buffer` in the mount's account of dirty bytes. */
  accounted = 0;
  /** When the oldest byte in memory was written, in the mount's clock. */
  dirtySince: number | undefined;
  /** What `st_mtime` shows while data is in memory. */
  writtenAt: WallTime | undefined;
  /** All of it on this machine, while it is shown as it was when it was staged. */
  image: StagedImage | undefined;
  /** The same, when it is not shown any more and the kernel may read it still. */
  imageLost: StagedImage | undefined;
  /** A handle of it is lost: each read has to be looked at. */
  hasLostHandle = false;
  #withdraw: (() => void) | undefined;
  /** The node keeps the inode for this session though it has no name. */
  isHeld = false;
  /** Owners of range locks, for flush. */
  readonly lockOwners = new Set<bigint>();
  readonly readAheadMax: number;
  #errors = 0;
  #error: Failure | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(node: FileNode, readAheadMax: number) {
    this.node = node;
    this.readAheadMax = readAheadMax;
  }

  get ref(): FileRef {
    return this.node.ref;
  }
  get isBusy(): boolean {
    return this.#waiting > 0;
  }
  get errors(): number {
    return this.#errors;
  }
  get error(): Failure | undefined {
    return this.#error;
  }

  /** Runs `work` when all that was to run before has ended: what changes content at a node goes one by one. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const run = this.#tail.then(work);
    this.#tail = run.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await run;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Reads of it are answered without asking here, until `withdraw`, which comes before it is anything else. */
  lent(withdraw: () => void): void {
    this.#withdraw = withdraw;
  }
  endLending(): void {
    const withdraw = this.#withdraw;
    this.#withdraw = undefined;
    withdraw?.();
  }
  /** Into memory. */
  write(offset: number, source: Uint8Array): void {
    this.endLending();
    this.buffer.write(offset, source);
  }

  forgetPlan(): void {
    this.endLending();
    this.planEpoch += 1;
    this.plan.forget();
  }
  /** Data of the file is lost: each handle is told once. */
  noteError(error: Failure): void {
    this.#errors += 1;
    this.#error = error;
  }
}

/** One open(2) of a file. */
export class FileHandle {
  readonly file: OpenFile;
  readonly flags: OpenFlags;
  readonly readAhead: ReadAhead;
  /** The session under which it took locks is over: nothing is read or written through it any more. */
  isLost = false;
  hasLocks = false;
  #errorsSeen: number;

  constructor(file: OpenFile, flags: OpenFlags) {
    this.file = file;
    this.flags = flags;
    this.readAhead = new ReadAhead(file.readAheadMax);
    this.#errorsSeen = file.errors;
  }

  /** An error of the background that this handle has not been told of yet; it is told now. */
  takeError(): Failure | undefined {
    if (this.#errorsSeen === this.file.errors) return undefined;
    this.#errorsSeen = this.file.errors;
    return this.file.error;
  }
}
