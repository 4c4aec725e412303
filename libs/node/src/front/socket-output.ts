import { assert } from "@kiseki/base";

/** What is needed of a socket to write to it. */
export interface OutputSocket {
  /** Takes what fits the kernel's buffer and answers how much that was; −1 when closed. */
  write(source: Uint8Array): number;
}

/** Sends bytes in order, waiting for the peer; keeps nothing but views of what it was given. */
export class SocketOutput {
  readonly #socket: OutputSocket;
  readonly #waitBegan: () => void;
  #rest: Uint8Array | undefined;
  #settle: ((isSent: boolean) => void) | undefined;
  #isGone = false;
  /** Bytes the kernel took since this was last read. */
  #sizeMoved = 0;

  /** `waitBegan` is called whenever bytes are left for the peer to make room for. */
  constructor(socket: OutputSocket, waitBegan: () => void) {
    this.#socket = socket;
    this.#waitBegan = waitBegan;
  }

  /** Waiting for the peer to take bytes. */
  get isWaiting(): boolean {
    return this.#rest !== undefined;
  }

  /**
   * True: the kernel has all of `source`. False: the connection is gone. A promise of either: not
   * all fit; `source` must not change until it settles.
   */
  send(source: Uint8Array): boolean | Promise<boolean> {
    assert(this.#rest === undefined, "one send at a time");
    const rest = this.#write(source);
    if (rest === undefined) return !this.#isGone;
    return this.#wait(rest);
  }

  /** What the kernel takes of `source` at once; −1 when the connection is gone. The rest is the caller's to send. */
  sendNow(source: Uint8Array): number {
    assert(this.#rest === undefined, "one send at a time");
    const rest = this.#write(source);
    if (this.#isGone) return -1;
    return source.byteLength - (rest?.byteLength ?? 0);
  }

  /** As `send`, of memory that is about to change: what does not fit is copied. */
  sendVolatile(source: Uint8Array): boolean | Promise<boolean> {
    assert(this.#rest === undefined, "one send at a time");
    const rest = this.#write(source);
    if (rest === undefined) return !this.#isGone;
    return this.#wait(rest.slice());
  }

  #wait(rest: Uint8Array): Promise<boolean> {
    this.#rest = rest;
    this.#waitBegan();
    return new Promise<boolean>((resolve) => {
      this.#settle = resolve;
    });
  }

  /** The socket has room again. */
  drained(): void {
    if (this.#rest === undefined) return;
    this.#rest = this.#write(this.#rest);
    if (this.#rest === undefined) this.#finish();
  }

  /** The socket is closed. */
  closed(): void {
    this.#isGone = true;
    this.#rest = undefined;
    this.#finish();
  }

  /** Bytes moved since the last call. */
  takeSizeMoved(): number {
    const size = this.#sizeMoved;
    this.#sizeMoved = 0;
    return size;
  }

  #finish(): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(!this.#isGone);
  }

  /** What the kernel did not take. */
  #write(source: Uint8Array): Uint8Array | undefined {
    if (this.#isGone || source.byteLength === 0) return undefined;
    const size = this.#socket.write(source);
    if (size < 0) {
      this.#isGone = true;
      return undefined;
    }
    this.#sizeMoved += size;
    return size === source.byteLength ? undefined : source.subarray(size);
  }
}
