const lastCount = 60;

/** What was done, in order: a running hash that two runs of one seed share, and the last lines of it. */
export class SimTrace {
  readonly #linesMax = 5000;
  #lines: string[] = [];
  #a = 0xdeadbeef;
  #b = 0x41c6ce57;
  operations = 0;

  note(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > 2 * this.#linesMax) this.#lines = this.#lines.slice(-this.#linesMax);
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i);
      this.#a = Math.imul(this.#a ^ code, 2_654_435_761);
      this.#b = Math.imul(this.#b ^ code, 1_597_334_677);
    }
  }
  get hash(): string {
    return (
      (this.#a >>> 0).toString(16).padStart(8, "0") + (this.#b >>> 0).toString(16).padStart(8, "0")
    );
  }
  /** More of it, for whoever looks for a fault. */
  get all(): readonly string[] {
    return this.#lines;
  }
  get last(): readonly string[] {
    return this.#lines.slice(-lastCount);
  }
}
