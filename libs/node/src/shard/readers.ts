class ReaderPlace implements Disposable {
  readonly #readers: Readers;
  readonly #ticket: number;
  constructor(readers: Readers, ticket: number) {
    this.#readers = readers;
    this.#ticket = ticket;
  }
  [Symbol.dispose](): void {
    this.#readers.leave(this.#ticket);
  }
}

/**
 * Who may still read seals that the map no longer names. A reader enters before it looks up a seal and
 * leaves when its last byte is out; the collector deletes a dropped seal only when every reader that had
 * entered before has left (STORE §4).
 */
export class Readers {
  /** Tickets of readers inside, in the order of entry; a Map keeps it. */
  readonly #inside = new Map<number, true>();
  readonly #waiting: { readonly ticket: number; readonly resolve: () => void }[] = [];
  #next = 0;

  /** Disposing leaves; leaving twice does nothing. */
  enter(): Disposable {
    const ticket = this.#next++;
    this.#inside.set(ticket, true);
    return new ReaderPlace(this, ticket);
  }
  leave(ticket: number): void {
    if (this.#inside.delete(ticket)) this.#release();
  }
  /** Resolves when every reader that is inside now has left. */
  allLeft(): Promise<void> {
    const ticket = this.#next;
    if (this.#oldest() >= ticket) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ ticket, resolve });
    return promise;
  }
  get count(): number {
    return this.#inside.size;
  }
  #oldest(): number {
    for (const ticket of this.#inside.keys()) return ticket;
    return this.#next;
  }
  #release(): void {
    const oldest = this.#oldest();
    while (this.#waiting.length > 0 && this.#waiting[0]!.ticket <= oldest) {
      this.#waiting.shift()!.resolve();
    }
  }
}
