import { type FuseRequest, openModes } from "@kiseki/fuse";
import type { Answer } from "./answer.ts";

/**
 * Which handles have nothing to say at a close(2): opened for reading, of files without range locks, which end when their owner
 * closes any handle of the file. A file that was locked is left alone until its last handle is gone.
 */
export class QuietHandles {
  readonly #set: (handle: number, isQuiet: boolean) => void;
  /** Of each node its handles, and whether they only read. */
  readonly #byNode = new Map<number, Map<number, boolean>>();
  readonly #locked = new Set<number>();

  /** `set`: from now on somebody else may answer FLUSH of the handle, or not any more. */
  constructor(set: (handle: number, isQuiet: boolean) => void) {
    this.#set = set;
  }
  /** Before the request is acted on. */
  asked(request: FuseRequest): void {
    if (request.kind === "release") this.gone(request.node, request.handle);
    if (request.kind !== "setlk" && request.kind !== "setlkw") return;
    if (request.isFlock || this.#locked.has(request.node)) return;
    this.#locked.add(request.node);
    for (const handle of this.#byNode.get(request.node)?.keys() ?? []) this.#set(handle, false);
  }
  /** Before the answer goes out. */
  answered(request: FuseRequest, reply: Answer): void {
    if (request.kind === "create" && reply.kind === "created")
      this.opened(reply.entry.node, reply.handle, request.flags);
    if (request.kind === "open" && reply.kind === "opened")
      this.opened(request.node, reply.handle, request.flags);
  }
  /** Requests of the handle come here from now on. */
  opened(node: number, handle: number, flags: number): void {
    const isReading = (flags & openModes.accessMask) === openModes.readOnly;
    const handles = this.#byNode.get(node) ?? new Map<number, boolean>();
    this.#byNode.set(node, handles.set(handle, isReading));
    if (isReading && !this.#locked.has(node)) this.#set(handle, true);
  }
  /** Somebody has, or had, range locks on it. */
  isLocked(node: number): boolean {
    return this.#locked.has(node);
  }
  /** The handle is closed for good. */
  gone(node: number, handle: number): void {
    const handles = this.#byNode.get(node);
    const isReading = handles?.get(handle);
    if (handles === undefined || isReading === undefined) return;
    handles.delete(handle);
    if (isReading) this.#set(handle, false);
    if (handles.size > 0) return;
    this.#byNode.delete(node);
    this.#locked.delete(node);
  }
}
