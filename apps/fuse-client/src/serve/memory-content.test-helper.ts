/** Bytes of a file in memory, in blocks; what was never written is a hole. */
const blockSize = 65_536;

export class MemoryContent {
  size = 0;
  readonly #blocks = new Map<number, Uint8Array>();

  get blocks(): number {
    return this.#blocks.size * (blockSize / 512);
  }
  /** Bytes put at the start of `target`. */
  read(offset: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.byteLength, this.size - offset));
    for (let done = 0; done < count;) {
      const at = offset + done;
      const start = at % blockSize;
      const size = Math.min(blockSize - start, count - done);
      const block = this.#blocks.get(Math.floor(at / blockSize));
      if (block) target.set(block.subarray(start, start + size), done);
      else target.fill(0, done, done + size);
      done += size;
    }
    return count;
  }
  write(offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.byteLength;) {
      const at = offset + done;
      const index = Math.floor(at / blockSize);
      const start = at % blockSize;
      const size = Math.min(blockSize - start, source.byteLength - done);
      let block = this.#blocks.get(index);
      if (block === undefined) this.#blocks.set(index, (block = new Uint8Array(blockSize)));
      block.set(source.subarray(done, done + size), start);
      done += size;
    }
    this.size = Math.max(this.size, offset + source.byteLength);
  }
  /** A hole, whole blocks given back. */
  punch(offset: number, length: number): void {
    const end = Math.min(this.size, offset + length);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / blockSize);
      const start = at % blockSize;
      const size = Math.min(blockSize - start, end - at);
      if (size === blockSize) this.#blocks.delete(index);
      else this.#blocks.get(index)?.fill(0, start, start + size);
      at += size;
    }
  }
  truncate(size: number): void {
    if (size < this.size) {
      const old = this.size;
      this.punch(size, old - size);
      for (const index of this.#blocks.keys())
        if (index * blockSize >= size) this.#blocks.delete(index);
    }
    this.size = size;
  }
  /** First byte from `offset` on that is data or hole; `undefined`: none. */
  seek(offset: number, what: "data" | "hole"): number | undefined {
    if (offset >= this.size) return undefined;
    for (let at = offset; at < this.size; at = (Math.floor(at / blockSize) + 1) * blockSize) {
      const isData = this.#blocks.has(Math.floor(at / blockSize));
      if (isData === (what === "data")) return at;
    }
    return what === "hole" ? this.size : undefined;
  }
}
