import { type FuseRequest, openModes } from "@kiseki/fuse";
import type { FuseDevice, QuickHandle } from "@kiseki/fuse-device";
import {
  type Eventually,
  Failure,
  type FileSystem,
  type HandleNumber,
  type Opened,
} from "@kiseki/vfs";
import type { AnsweredKind } from "./answer.ts";
import { toOpenFlags } from "./convert.ts";

type Asked = Extract<FuseRequest, { readonly kind: AnsweredKind }>;
type Device = Pick<FuseDevice, "isQuick" | "take" | "takeAll">;

interface Taken {
  readonly node: number;
  readonly flags: number;
  /** The file system's handle; absent until it is asked for, and again when it could not be had. */
  opened: Eventually<HandleNumber | Failure> | undefined;
}

/** A handle that is open for so long is made one of the file system's, which may have to keep the file. */
const takeAfterMs = 250;

/**
 * Handles that the device gave out by itself. The file system hears of one when something is asked with it, when names go that
 * it may hang on, when somebody locks, and when it has been open for a while; short opens it never hears of.
 */
export class QuickOpens {
  readonly #device: Device;
  readonly #fileSystem: FileSystem;
  readonly #onTaken: (handle: QuickHandle) => void;
  readonly #onThrown: (reason: unknown) => void;
  readonly #taken = new Map<HandleNumber, Taken>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onTaken`: from now on requests of the handle come here. `onThrown`: the file system broke its promise, unasked. */
  constructor(
    device: Device,
    fileSystem: FileSystem,
    onTaken: (handle: QuickHandle) => void,
    onThrown: (reason: unknown) => void,
  ) {
    this.#device = device;
    this.#fileSystem = fileSystem;
    this.#onTaken = onTaken;
    this.#onThrown = onThrown;
  }

  /** The device has given handles out. */
  opening(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#takeAll()?.catch(this.#onThrown);
      } catch (reason) {
        this.#onThrown(reason);
      }
    }, takeAfterMs);
  }
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** The request with handles that the file system knows; `undefined`: it never heard of what ends here. */
  prepare(request: Asked): Eventually<Asked | Failure | undefined> {
    const before = settles.has(request.kind) ? this.#takeAll() : undefined;
    if (before !== undefined) return before.then(() => this.#translate(request));
    return this.#translate(request);
  }
  #translate(request: Asked): Eventually<Asked | Failure | undefined> {
    // The target of a copy is open for writing, so that it is none of these.
    const handle = "handle" in request ? request.handle : undefined;
    if (handle === undefined || !this.#device.isQuick(handle)) return request;
    const own = this.#handle(handle);
    if (request.kind === "release") this.#taken.delete(handle);
    const finish = (opened: HandleNumber | Failure): Asked | Failure | undefined => {
      if (!(opened instanceof Failure)) return { ...request, handle: opened } as Asked;
      return request.kind === "release" ? undefined : opened;
    };
    return own instanceof Promise ? own.then(finish) : finish(own);
  }

  #handle(number: HandleNumber): Eventually<HandleNumber | Failure> {
    let taken = this.#taken.get(number);
    if (taken === undefined) {
      const quick = this.#device.take(number);
      if (quick === undefined) return number; // nobody's: the file system says so
      taken = this.#keep(quick);
    }
    return this.#open(taken);
  }
  #keep(quick: QuickHandle): Taken {
    const { number, node, flags } = quick;
    const taken: Taken = { node, flags, opened: undefined };
    this.#taken.set(number, taken);
    this.#onTaken(quick);
    return taken;
  }
  #open(taken: Taken): Eventually<HandleNumber | Failure> {
    if (taken.opened !== undefined) return taken.opened;
    const flags = toOpenFlags(taken.flags & ~openModes.truncate);
    const settle = (answer: Opened | Failure): HandleNumber | Failure => {
      // What failed is tried again by whoever asks next: the node may have been away.
      taken.opened = answer instanceof Failure ? undefined : answer.handle;
      return answer instanceof Failure ? answer : answer.handle;
    };
    const answer = this.#fileSystem.open(taken.node, flags);
    return answer instanceof Promise ? (taken.opened = answer.then(settle)) : settle(answer);
  }
  /** All that are open; waits for those that had to be asked for. */
  #takeAll(): Promise<unknown> | undefined {
    const waits: Promise<unknown>[] = [];
    for (const quick of this.#device.takeAll()) {
      const opened = this.#open(this.#keep(quick));
      if (opened instanceof Promise) waits.push(opened);
    }
    return waits.length === 0 ? undefined : Promise.all(waits);
  }
}

/** Before these the file system has to know who has what open. */
const settles: ReadonlySet<AnsweredKind> = new Set<AnsweredKind>([
  ...(["unlink", "rename", "setlk", "setlkw"] as const),
]);
