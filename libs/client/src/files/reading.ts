import {
  fail,
  type Failure,
  failureOf,
  isFailure,
  type KnownPiece,
  knownPlan,
  type Outcome,
  overlayPieces,
} from "@kiseki/vfs";
import type { Fetcher } from "./fetch.ts";
import { isRefused, type Mount } from "./mount.ts";
import type { FileHandle, OpenFile } from "./open-file.ts";

/** What one question for a plan covers: most files as a whole. */
const planSpan = 1024 * 1024 * 1024;
/** A plan may be over before its pieces were read; then it is asked again. */
const attemptsMax = 3;

/** How `[start, end)` lies, as of one moment. */
interface Lay {
  readonly size: number;
  readonly pieces: readonly KnownPiece[];
}

/** Reads of files: out of memory when everything is there, else of one plan. */
export class Reader {
  readonly #mount: Mount;
  readonly #fetcher: Fetcher;

  constructor(mount: Mount, fetcher: Fetcher) {
    this.#mount = mount;
    this.#fetcher = fetcher;
  }

  read(handle: FileHandle, offset: number, target: Uint8Array): Outcome<number> {
    const { file } = handle;
    if (handle.isLost) return fail("EIO");
    if (file.image !== undefined) {
      const count = Math.max(0, Math.min(target.byteLength, file.image.size - offset));
      if (file.image.read(offset, target.subarray(0, count))) return count;
      this.#mount.unstage(file.node);
    }
    const end = offset + target.byteLength;
    if (file.buffer.covers(offset, end)) {
      file.buffer.overlay(offset, target);
      return target.byteLength;
    }
    const { plan } = file;
    if (plan.isValid(this.#mount.now()) && plan.covers(offset, end)) {
      const lay = { size: plan.size, pieces: plan.slice(offset, end) };
      const count = this.#copyNow(file, lay, offset, target);
      if (count !== undefined) {
        this.#mount.lend(file, offset, offset + count);
        this.#readAhead(handle, offset, count);
        return count;
      }
    }
    return this.#readSlowly(handle, offset, target);
  }

  /** Bytes of the answer: up to the end of the file, with what is in memory. */
  #count(file: OpenFile, { size }: Lay, offset: number, target: Uint8Array): number {
    return Math.max(0, Math.min(target.byteLength, Math.max(size, file.buffer.end) - offset));
  }

  #copyNow(file: OpenFile, lay: Lay, offset: number, target: Uint8Array): number | undefined {
    const count = this.#count(file, lay, offset, target);
    if (count === 0) return 0;
    let reached = offset;
    const end = offset + count;
    for (const piece of lay.pieces) {
      const from = Math.max(offset, piece.offset);
      const to = Math.min(end, piece.offset + piece.length);
      if (from >= to) continue;
      const part = target.subarray(from - offset, to - offset);
      if (piece.kind === "hole") part.fill(0);
      else if (!this.#fetcher.copyNow(piece, piece.chunkOffset + from - piece.offset, part))
        return undefined;
      reached = to;
    }
    if (reached < end) target.fill(0, reached - offset, count);
    file.buffer.overlay(offset, target.subarray(0, count));
    return count;
  }

  async #readSlowly(
    handle: FileHandle,
    offset: number,
    target: Uint8Array,
  ): Promise<number | Failure> {
    const { file } = handle;
    const before = file.buffer.snapshot(offset, offset + target.byteLength);
    let failure: Failure | undefined;
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const lay = await this.lay(file, offset, offset + target.byteLength, attempt > 0);
      if (isFailure(lay)) return lay;
      const count = this.#count(file, lay, offset, target);
      const last = before.at(-1);
      const countBefore = last === undefined ? 0 : last.offset + last.data.byteLength - offset;
      const size = Math.max(count, countBefore);
      const part = target.subarray(0, size);
      failure = await this.#fill(handle, lay, offset, part);
      if (failure !== undefined) {
        file.forgetPlan();
        continue;
      }
      overlayPieces(before, offset, part);
      file.buffer.overlay(offset, part);
      this.#readAhead(handle, offset, size);
      return size;
    }
    return failure ?? fail("EIO");
  }

  async #fill(
    handle: FileHandle,
    lay: Lay,
    offset: number,
    target: Uint8Array,
  ): Promise<Failure | undefined> {
    const isStream = handle.readAhead.window > 0 || target.byteLength >= 256 * 1024;
    const waits: Promise<Failure | undefined>[] = [];
    const end = offset + target.byteLength;
    let reached = offset;
    for (const piece of lay.pieces) {
      const from = Math.max(offset, piece.offset);
      const to = Math.min(end, piece.offset + piece.length);
      if (from >= to) continue;
      reached = to;
      const part = target.subarray(from - offset, to - offset);
      if (piece.kind === "hole") part.fill(0);
      else {
        const position = piece.chunkOffset + from - piece.offset;
        waits.push(this.#fetcher.copy(piece, position, part, isStream));
      }
    }
    if (reached < end) target.fill(0, reached - offset);
    const failures = await Promise.all(waits);
    return failures.find((failure) => failure !== undefined);
  }

  /** Size and pieces of `[start, end)` out of one plan, known or asked for now. */
  async lay(file: OpenFile, start: number, end: number, isFresh: boolean): Promise<Lay | Failure> {
    const { plan } = file;
    if (!isFresh && plan.isValid(this.#mount.now()) && plan.covers(start, end)) {
      return { size: plan.size, pieces: plan.slice(start, end) };
    }
    if (!file.isFragmented) {
      const region = Math.floor(start / planSpan) * planSpan;
      const whole = await this.#ask(file, region, Math.max(end, region + planSpan));
      if (isFailure(whole)) return whole;
      const last = whole.pieces.at(-1);
      const reached = last === undefined ? region : last.offset + last.length;
      if (reached >= Math.min(end, whole.size)) return whole;
      file.isFragmented = true;
    }
    return this.#askInParts(file, start, end);
  }

  /**
   * A file in many pieces: from `start` on, in as many questions as it takes, all of one version. Where others change it all the
   * time, each is of its own moment, as with a read for each.
   */
  async #askInParts(file: OpenFile, start: number, end: number): Promise<Lay | Failure> {
    const pieces: KnownPiece[] = [];
    let at = start;
    let version: bigint | undefined;
    let attempts = 1;
    for (;;) {
      const lay = await this.#ask(file, at, Math.max(end, at + planSpan));
      if (isFailure(lay)) return lay;
      const isOther = version !== undefined && version !== lay.version;
      version = lay.version;
      if (isOther && attempts < attemptsMax) {
        attempts += 1;
        pieces.length = 0;
        at = start;
        continue;
      }
      pieces.push(...lay.pieces);
      const last = lay.pieces.at(-1);
      at = last === undefined ? end : last.offset + last.length;
      if (at >= Math.min(end, lay.size)) return { size: lay.size, pieces };
    }
  }

  async #ask(
    file: OpenFile,
    start: number,
    end: number,
  ): Promise<(Lay & { readonly version: bigint }) | Failure> {
    const mount = this.#mount;
    const asked = mount.now();
    const { planEpoch } = file;
    const plan = await mount.service.plan(file.ref, start, end);
    if (isRefused(plan)) return failureOf(plan.code);
    const answer = knownPlan(plan);
    const known = file.node.attributes;
    const isNews = answer.contentVersion !== known.contentVersion;
    if (planEpoch === file.planEpoch) {
      const until = Math.min(mount.until(asked), asked + answer.leaseMs / 2);
      if (answer.contentVersion !== file.plan.version) file.endLending();
      file.plan.add(answer, start, until);
      if (isNews) file.node.doubt();
    }
    return { size: answer.size, pieces: answer.pieces, version: answer.contentVersion };
  }

  #readAhead(handle: FileHandle, offset: number, count: number): void {
    if (count === 0) return;
    const range = handle.readAhead.read(offset, count);
    if (range === undefined) return;
    const { plan } = handle.file;
    const end = Math.min(range.end, plan.size);
    if (range.start >= end || !plan.covers(range.start, range.start + 1)) return;
    for (const piece of plan.slice(range.start, end)) {
      if (piece.kind === "hole") continue;
      const from = Math.max(range.start, piece.offset) - piece.offset + piece.chunkOffset;
      const to = Math.min(end, piece.offset + piece.length) - piece.offset + piece.chunkOffset;
      if (!this.#fetcher.ahead(piece, from, to)) return;
    }
  }
}
