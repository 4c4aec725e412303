/** What a node's open handles have in common: the kernel reads one file for all of them, or none. */
interface Backing {
  /** 0: its handles are read by requests. */
  readonly id: number;
  readonly handles: Set<number>;
}

/**
 * Which nodes the kernel reads by itself out of files of this machine (FUSE passthrough). A node is opened so from its first
 * handle to its last or not at all: the kernel takes no mixture.
 */
export class Backings {
  readonly #open: (descriptor: number) => number;
  readonly #close: (id: number) => void;
  readonly #byNode = new Map<number, Backing>();
  #isOff = false;

  /** `open` answers a number above 0 by which the kernel knows the file, or a negative errno. */
  constructor(open: (descriptor: number) => number, close: (id: number) => void) {
    this.#open = open;
    this.#close = close;
  }

  /**
   * By what the kernel reads a handle that was just opened; 0: by requests. `descriptor`: a file with all the bytes, if there
   * is one. `undefined`: other handles are still read out of a file that is no more, so that the open has to fail.
   */
  opened(node: number, handle: number, descriptor: number | undefined): number | undefined {
    const known = this.#byNode.get(node);
    if (known !== undefined) {
      if (known.id !== 0 && descriptor === undefined) return undefined;
      known.handles.add(handle);
      return known.id;
    }
    if (descriptor === undefined) return 0;
    const id = this.#isOff ? 0 : this.#open(descriptor);
    // This process may not, or the file lies where the kernel cannot: it will not be able to next time.
    if (id < 0) this.#isOff = true;
    this.#byNode.set(node, { id: Math.max(0, id), handles: new Set([handle]) });
    return Math.max(0, id);
  }
  /** Whether the kernel reads the node by itself now. */
  isPassing(node: number): boolean {
    return (this.#byNode.get(node)?.id ?? 0) !== 0;
  }
  /** Its handles fail from now on: those that are opened later have nothing to do with them. */
  revoked(node: number): void {
    const known = this.#byNode.get(node);
    this.#byNode.delete(node);
    if (known !== undefined && known.id !== 0) this.#close(known.id);
  }
  released(node: number, handle: number): void {
    const known = this.#byNode.get(node);
    if (known === undefined || !known.handles.delete(handle) || known.handles.size > 0) return;
    this.#byNode.delete(node);
    if (known.id !== 0) this.#close(known.id);
  }
}
