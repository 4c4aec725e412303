import {
  decodeRequest,
  encodeNotification,
  encodeReply,
  type FuseReply,
  type FuseRequest,
  hasFlag,
  type Negotiated,
  negotiate,
  passThrough,
  type Notification,
  type RequestFault,
  type RequestKind,
  replySizeMax,
  type RequestOf,
  Writer,
} from "@kiseki/fuse";
import type { FuseDevice, Slot } from "@kiseki/fuse-device";
import {
  errno,
  type Eventually,
  Failure,
  type FileSystem,
  type KernelCache,
  type LentBlocks,
  type NodeNumber,
} from "@kiseki/vfs";
import { Backings } from "./backings.ts";
import { QuickOpens } from "./quick-opens.ts";
import { Revoking } from "./revoking.ts";
import { QuietHandles } from "./quiet-handles.ts";
import { answer, type Answer, type AnsweredKind, type Asking, isChanging } from "./answer.ts";

export interface SessionOptions {
  readonly isReadOnly: boolean;
  /** Locks are the file system's; else the kernel keeps them for this machine. */
  readonly hasLocks: boolean;
  /** The file system's answers are good for no time. */
  readonly isAsking?: boolean;
  /** Where it is mounted. */
  readonly root?: string;
  /** Staged files may be read by the kernel itself. */
  readonly isPassing?: boolean;
  readonly readaheadMax: number;
  readonly backgroundMax: number;
  /** After an interrupt an operation goes on for so long; then its process gets EINTR. */
  readonly interruptGraceMs: number;
  readonly log: (event: string, detail: Readonly<Record<string, unknown>>) => void;
}

/** A request that waits for the file system. */
interface Pending {
  readonly request: FuseRequest;
  readonly slot: Slot;
  readonly interruption: AbortController;
  /** Its process was told EINTR; what comes of it is dropped. */
  isAbandoned: boolean;
  grace: ReturnType<typeof setTimeout> | undefined;
}

const eproto = 71;
const enoent = -2;
const enodev = -19;
const notifyAgainMs = 5;

/**
 * Serves a file system to the kernel over one device: decodes requests, asks, answers. Every request gets one answer,
 * whatever the file system does; what it throws is logged and answered EIO.
 */
export class FuseSession implements KernelCache {
  readonly #device: FuseDevice;
  readonly #fileSystem: FileSystem;
  readonly #options: SessionOptions;
  readonly #writer = new Writer(new Uint8Array(new ArrayBuffer(replySizeMax)));
  readonly #pending = new Map<number, Pending>();
  readonly #backlog: { readonly bytes: Uint8Array; readonly reader: number }[] = [];
  #notices: Notification[] = [];
  readonly #ended = Promise.withResolvers<number>();
  readonly #agreed = Promise.withResolvers<Negotiated>();
  #negotiated: Negotiated | undefined;
  #form = { hasLongSetxattr: false };
  readonly #quiet: QuietHandles;
  readonly #quick: QuickOpens;
  readonly #backings: Backings;
  readonly #revoking: Revoking;

  constructor(device: FuseDevice, fileSystem: FileSystem, options: SessionOptions) {
    this.#device = device;
    this.#options = options;
    this.#fileSystem = fileSystem;
    this.#quiet = new QuietHandles((handle, isQuiet) => device.setQuiet(handle, isQuiet));
    this.#quick = new QuickOpens(
      device,
      fileSystem,
      ({ node, number, flags }) => this.#quiet.opened(node, number, flags),
      (reason) => options.log("operation threw", { kind: "open", reason: String(reason) }),
    );
    this.#backings = new Backings(
      (descriptor) => device.openBacking(descriptor),
      (id) => device.closeBacking(id),
    );
    this.#revoking = new Revoking(options.root ?? "/", (node) =>
      this.#notify({ kind: "inode", node, offset: -1, size: 0 }),
    );
    this.#agreed.promise.catch(() => undefined); // whoever asks gets it
    device.serve(
      (slot) => this.#receive(slot),
      (reason) => this.#end(reason),
      () => this.#quick.opening(),
    );
  }
  /** The errno that the device ended with: 19 (ENODEV) after an unmount. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }
  /** What was settled with the kernel, once it was. @rejects when it cannot be served. */
  get agreed(): Promise<Negotiated> {
    return this.#agreed.promise;
  }
  #end(reason: number): void {
    this.#quick.stop();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.grace);
      pending.interruption.abort();
    }
    this.#agreed.reject(new Error(`The kernel ended the session: errno ${reason}`));
    this.#ended.resolve(reason);
  }

  #receive(slot: Slot): void {
    let request: FuseRequest | RequestFault;
    try {
      request = decodeRequest(slot.bytes, this.#form);
      if (request.kind === "fault") {
        if (request.code !== "too_long")
          this.#options.log("request not understood", { ...request });
        if (request.unique !== 0)
          this.#send(slot, request.unique, { kind: "error", errno: request.errno });
        this.#device.release(slot);
        return;
      }
    } catch (reason) {
      // Nobody can be answered: the head itself made the decoder fail, which is our bug.
      this.#options.log("request lost", { reason: String(reason) });
      this.#device.release(slot);
      return;
    }
    if (!this.#receiveUnasked(request, slot)) this.#ask(request as Asked, slot);
  }
  /** What is no question to the file system. */
  #receiveUnasked(request: FuseRequest, slot: Slot): boolean {
    switch (request.kind) {
      case "init":
        this.#init(request, slot);
        break;
      case "forget":
        this.#forget(request.node, request.lookups);
        break;
      case "batch_forget":
        for (const { node, lookups } of request.forgotten) this.#forget(node, lookups);
        break;
      case "interrupt":
        this.#interrupt(request, slot);
        break;
      default:
        return false;
    }
    this.#device.release(slot);
    return true;
  }
  #init(request: RequestOf<"init">, slot: Slot): void {
    const settled = negotiate(request.init, this.#options);
    if (settled === undefined) {
      const { major, minor } = request.init;
      this.#send(slot, request.unique, { kind: "error", errno: eproto });
      this.#agreed.reject(new Error(`Cannot serve FUSE ${major}.${minor}: 7.31 is the oldest`));
      return;
    }
    this.#send(slot, request.unique, { kind: "init", negotiated: settled });
    if (settled === "again") return;
    this.#negotiated = settled;
    this.#form = { hasLongSetxattr: hasFlag(settled.flags, "SETXATTR_EXT") };
    this.#agreed.resolve(settled);
  }
  #forget(node: number, lookups: bigint): void {
    try {
      this.#fileSystem.forget(node, Number(lookups));
    } catch (reason) {
      this.#options.log("operation threw", { kind: "forget", reason: String(reason) });
    }
  }
  #interrupt(request: RequestOf<"interrupt">, slot: Slot): void {
    const pending = this.#pending.get(request.target);
    if (pending === undefined) {
      // Answered already, or not here yet: then the kernel says it again.
      this.#send(slot, request.unique, { kind: "error", errno: errno.EAGAIN });
      return;
    }
    pending.interruption.abort();
    pending.grace ??= setTimeout(() => this.#abandon(pending), this.#options.interruptGraceMs);
  }
  #abandon(pending: Pending): void {
    pending.isAbandoned = true;
    const { unique, kind } = pending.request;
    this.#options.log("operation abandoned", { kind });
    this.#send(pending.slot, unique, { kind: "error", errno: errno.EINTR });
  }

  #ask(request: Asked, slot: Slot): void {
    if (this.#negotiated === undefined || (this.#options.isReadOnly && isChanging(request.kind))) {
      const refusal = this.#negotiated === undefined ? errno.EIO : errno.EROFS;
      this.#send(slot, request.unique, { kind: "error", errno: refusal });
      this.#device.release(slot);
      return;
    }
    // Names are copied, so that only content needs the memory: a lock may be waited for without it.
    const owned = own(request);
    if (!needsMemory.has(request.kind)) this.#device.release(slot);
    const interruption = new AbortController();
    const asking = {
      fileSystem: this.#fileSystem,
      memory: this.#device.memoryOf(slot),
      signal: interruption.signal,
    };
    try {
      const prepared = this.#quick.prepare(owned);
      this.#asked(request);
      const answered =
        prepared instanceof Promise
          ? prepared.then((known) => answerPrepared(known, asking))
          : answerPrepared(prepared, asking);
      if (!(answered instanceof Promise)) return this.#finish(request, slot, answered);
      const pending: Pending = {
        request,
        slot,
        interruption,
        isAbandoned: false,
        grace: undefined,
      };
      this.#pending.set(request.unique, pending);
      answered.then(
        (reply) => this.#finishLater(pending, reply),
        (reason: unknown) => this.#finishLater(pending, this.#thrown(request, reason)),
      );
    } catch (reason) {
      this.#finish(request, slot, this.#thrown(request, reason));
    }
  }
  /** Before it is acted on, and after the handles that the device gave out were taken over, where it has to be. */
  #asked(request: Asked): void {
    this.#quiet.asked(request);
    if (request.kind === "release") this.#backings.released(request.node, request.handle);
    if (request.kind === "setlk" || request.kind === "setlkw") this.withdrawOpens(request.node);
  }
  #thrown(request: FuseRequest, reason: unknown): FuseReply {
    const detail = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    this.#options.log("operation threw", { kind: request.kind, reason: detail });
    return { kind: "error", errno: errno.EIO };
  }
  #finishLater(pending: Pending, reply: Answer): void {
    const { request, slot } = pending;
    clearTimeout(pending.grace);
    this.#pending.delete(request.unique);
    if (!pending.isAbandoned) return this.#finish(request, slot, reply);
    this.#dropUnseen(request, reply);
    this.#releaseHeld(request, slot);
  }
  /** Lets the kernel read by itself what it may. */
  #backed(request: FuseRequest, reply: Answer): Answer {
    if (request.kind !== "open" || reply.kind !== "opened" || !this.#isPassing) return reply;
    const { handle, descriptor } = reply;
    const backing = this.#backings.opened(request.node, handle, descriptor);
    if (backing !== 0) this.withdrawOpens(request.node); // each open has to be told
    if (backing !== undefined)
      return backing === 0 ? reply : { kind: "opened", handle, flags: passThrough, backing };
    this.#dropUnseen(request, reply);
    return { kind: "error", errno: errno.EIO };
  }
  async revoke(node: NodeNumber, paths: readonly string[]): Promise<boolean> {
    const isRevoked = !this.#backings.isPassing(node) || (await this.#revoking.revoke(node, paths));
    if (isRevoked) this.#backings.revoked(node);
    return isRevoked;
  }
  get #isPassing(): boolean {
    return this.#negotiated !== undefined && hasFlag(this.#negotiated.flags, "PASSTHROUGH");
  }
  #releaseHeld(request: FuseRequest, slot: Slot): void {
    if (needsMemory.has(request.kind)) this.#device.release(slot);
  }
  #finish(request: FuseRequest, slot: Slot, answered: Answer): void {
    if (isGranted(request, answered)) return this.#grant(request, slot);
    const reply = this.#revoking.answered(request, this.#backed(request, answered));
    this.#quiet.answered(request, reply);
    const isSent = this.#send(slot, request.unique, reply);
    if (!isSent) this.#dropUnseen(request, reply);
    this.#releaseHeld(request, slot);
  }
  /** Who gets a lock reads what others wrote before: the kernel's pages go before it hears of the lock. */
  #grant(request: FuseRequest, slot: Slot): void {
    this.#notify({ kind: "inode", node: request.node, offset: 0, size: 0 });
    const reply = encodeReply(this.#writer, request.unique, { kind: "done" });
    this.#tell(reply.slice(), slot.reader);
  }
  /** The kernel never saw this answer: what it would hold by it is given back. */
  #dropUnseen(request: FuseRequest, reply: Answer): void {
    if (reply.kind === "entry" && reply.entry.node !== 0) this.#forget(reply.entry.node, 1n);
    if (reply.kind === "created") this.#forget(reply.entry.node, 1n);
    if (reply.kind !== "created" && reply.kind !== "opened") return;
    const node = reply.kind === "created" ? reply.entry.node : request.node;
    this.#quiet.gone(node, reply.handle);
    this.#backings.released(node, reply.handle);
    try {
      if (request.kind === "opendir") this.#fileSystem.releasedir(reply.handle);
      else void this.#fileSystem.release(reply.handle);
    } catch (reason) {
      this.#options.log("operation threw", { kind: "release", reason: String(reason) });
    }
  }

  /** 0, or the negative errno by which the device refused it. */
  #write(slot: Slot, unique: number, reply: Answer): number {
    if (reply.kind !== "memory") {
      const head = encodeReply(this.#writer, unique, reply);
      const data = reply.kind === "bytes" ? reply.bytes : undefined;
      return this.#device.reply(slot.reader, head, data);
    }
    const bytes = this.#device.memoryOf(slot).subarray(0, reply.size);
    const head = encodeReply(this.#writer, unique, { kind: "bytes", bytes });
    return this.#device.replySlot(slot, head, reply.size);
  }
  /** False: the kernel did not take it, for the request or the mount is gone. */
  #send(slot: Slot, unique: number, reply: Answer): boolean {
    try {
      const result = this.#write(slot, unique, reply);
      if (result === 0) return true;
      if (result === enoent || result === enodev) return false;
      this.#options.log("answer refused", { kind: reply.kind, errno: -result });
    } catch (reason) {
      this.#options.log("answer not written", { kind: reply.kind, reason: String(reason) });
    }
    // Refused before the request was found, so that it still waits.
    const error = encodeReply(this.#writer, unique, { kind: "error", errno: errno.EIO });
    this.#device.reply(slot.reader, error);
    return false;
  }

  get blocks(): LentBlocks {
    return this.#device;
  }
  vouchOpens(node: NodeNumber, milliseconds: number): void {
    // Each close of a file with locks has to come here.
    if (!this.#quiet.isLocked(node)) this.#device.vouch(node, milliseconds);
  }
  withdrawOpens(node: NodeNumber): void {
    this.#device.withdraw(node);
  }
  invalidateNode(node: NodeNumber, offset: number, length: number): void {
    this.#notifyLater({ kind: "inode", node, offset, size: length });
  }
  invalidateEntry(parent: NodeNumber, name: Uint8Array): void {
    this.#notifyLater({ kind: "entry", parent, name, isExpiry: false });
  }
  /** By a timer, for that ends every wait of the event loop: an immediate may come only when something else does. */
  #notifyLater(notification: Notification): void {
    if (this.#notices.push(notification) > 1) return;
    setTimeout(() => {
      const notices = this.#notices;
      this.#notices = [];
      for (const notice of notices) this.#notify(notice);
    }, 0);
  }
  #notify(notification: Notification): void {
    this.#tell(encodeNotification(notification), 0);
  }
  #tell(bytes: Uint8Array, reader: number): void {
    if (this.#backlog.length === 0 && this.#device.notify(bytes, reader)) return;
    if (this.#backlog.push({ bytes, reader }) === 1)
      setTimeout(() => this.#notifyAgain(), notifyAgainMs);
  }
  #notifyAgain(): void {
    let sent = 0;
    for (const { bytes, reader } of this.#backlog) {
      if (!this.#device.notify(bytes, reader)) break;
      sent += 1;
    }
    this.#backlog.splice(0, sent);
    if (this.#backlog.length > 0) setTimeout(() => this.#notifyAgain(), notifyAgainMs);
  }
}

function isGranted(request: FuseRequest, reply: Answer): boolean {
  if (request.kind !== "setlk" && request.kind !== "setlkw") return false;
  return reply.kind === "done" && request.lock.type !== "unlock";
}

/** Content is read into the slot's memory, or taken from it. */
const needsMemory: ReadonlySet<RequestKind> = new Set<RequestKind>([
  ...(["read", "readdir", "readdirplus", "write"] as const),
]);

function answerPrepared(known: Asked | Failure | undefined, asking: Asking): Eventually<Answer> {
  if (known === undefined) return { kind: "done" };
  return known instanceof Failure ? { kind: "error", errno: known.errno } : answer(known, asking);
}

type Asked = Extract<FuseRequest, { readonly kind: AnsweredKind }>;

/** The request with names of its own: the file system keeps them, and the slot's memory is used again. */
function own(request: Asked): Asked {
  switch (request.kind) {
    case "rename":
      return { ...request, name: request.name.slice(), newName: request.newName.slice() };
    case "symlink":
      return { ...request, name: request.name.slice(), target: request.target.slice() };
    case "setxattr":
      return { ...request, name: request.name.slice(), value: request.value.slice() };
    default:
      return "name" in request ? { ...request, name: request.name.slice() } : request;
  }
}
