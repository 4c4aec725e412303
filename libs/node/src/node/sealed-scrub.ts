import { millis } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { type MemberSet, scrubFile, SealedSqliteError } from "@kiseki/sealed-sqlite";
import type { Logger } from "@kiseki/telemetry";
import type { SealedFile } from "./sealed-files.ts";

/** Looked at in one go: requests wait meanwhile. */
const pagesPerStep = 16;
/** With the steps, some 6 MB a second. */
const stepPause = millis(10);

/**
 * Reads the pages that nobody reads: what one member has lost is healed while another still has it (STORE §6). Knows the
 * sealed files that are open; a closed one has no keys here.
 */
export class SealedScrub {
  readonly #members: MemberSet;
  readonly #files = new Set<SealedFile>();

  constructor(members: MemberSet) {
    this.#members = members;
  }
  /** From now until the file's keys go: `forget` it before. */
  add(file: SealedFile): void {
    this.#files.add(file);
  }
  forget(file: SealedFile): void {
    this.#files.delete(file);
  }
  /** Looks at every page of every file once. Answers how many pages no member has whole. */
  async run(
    clock: Pick<Clock, "sleep">,
    log: Pick<Logger, "error">,
    signal: AbortSignal,
  ): Promise<number> {
    let damaged = 0;
    for (const file of [...this.#files]) damaged += await this.#scrub(file, clock, log, signal);
    return damaged;
  }
  async #scrub(
    file: SealedFile,
    clock: Pick<Clock, "sleep">,
    log: Pick<Logger, "error">,
    signal: AbortSignal,
  ): Promise<number> {
    let damaged = 0;
    let pages = 1;
    for (let first = 1; first <= pages; first += pagesPerStep) {
      await clock.sleep(stepPause, signal);
      if (!this.#files.has(file)) return damaged;
      const found = this.#step(file, first);
      if (found === undefined) return damaged;
      pages = found.pages;
      damaged += found.damaged;
      if (found.damaged === 0) continue;
      const fields = { file: file.name, page: found.firstDamaged, count: found.damaged };
      log.error(fields, "pages of a sealed file are damaged, and no member has them whole");
    }
    return damaged;
  }
  /** `undefined`: the file has been replaced or deleted. */
  #step(file: SealedFile, first: number): ReturnType<typeof scrubFile> | undefined {
    try {
      return scrubFile(this.#members, file, first, pagesPerStep);
    } catch (reason) {
      if (reason instanceof SealedSqliteError && reason.code === "missing") return undefined;
      throw reason;
    }
  }
}
