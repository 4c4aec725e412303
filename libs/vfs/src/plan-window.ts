import { toHex } from "@kiseki/base";
import type { PlanPiece, ReadPlan } from "./file-service.ts";

/** A piece with its chunk's id in hex, by which caches know it, and keys of its blocks, made when they are asked for. */
export type KnownPiece =
  | (PlanPiece & { readonly kind: "hole" })
  | (PlanPiece & {
      readonly kind: "chunk";
      readonly key: string;
      readonly blockKeys: Map<number, string>;
    });
/** A plan as caches know it. */
export interface KnownPlan extends Omit<ReadPlan, "pieces"> {
  readonly pieces: readonly KnownPiece[];
}
const known = (piece: PlanPiece): KnownPiece =>
  piece.kind === "hole" ? piece : { ...piece, key: toHex(piece.chunkId), blockKeys: new Map() };
export const knownPlan = (plan: ReadPlan): KnownPlan => ({
  ...plan,
  pieces: plan.pieces.map(known),
});

/** More pieces of one file are not kept: a heavily cut file is asked about again. */
export const planPiecesMax = 8192;

/**
 * What is known of how a file lies, from one or several plans of one content version: a contiguous range. Which moment
 * it is good for is the caller's business (`until`, in the caller's clock).
 */
export class PlanWindow {
  #pieces: KnownPiece[] = [];
  #start = 0;
  #end = 0;
  #size = 0;
  #version: bigint | undefined;
  #until = 0;

  get size(): number {
    return this.#size;
  }
  get version(): bigint | undefined {
    return this.#version;
  }
  get until(): number {
    return this.#until;
  }

  forget(): void {
    this.#pieces = [];
    this.#start = this.#end = this.#size = this.#until = 0;
    this.#version = undefined;
  }

  isValid(now: number): boolean {
    return this.#version !== undefined && now < this.#until;
  }
  /** All of `[start, end)` is known, as far as the file goes. */
  covers(start: number, end: number): boolean {
    return (
      this.#version !== undefined &&
      (start >= this.#size || (start >= this.#start && Math.min(end, this.#size) <= this.#end))
    );
  }

  /** Takes over the answer to a question for what begins at `start`. It joins what is known when it goes on from it. */
  add(plan: KnownPlan, start: number, until: number): void {
    const last = plan.pieces.at(-1);
    const end = last === undefined ? Math.max(start, plan.size) : last.offset + last.length;
    const goesOn =
      this.#version === plan.contentVersion &&
      this.#size === plan.size &&
      start === this.#end &&
      this.#pieces.length + plan.pieces.length <= planPiecesMax;
    if (goesOn) {
      this.#pieces.push(...plan.pieces);
      this.#until = Math.min(this.#until, until);
    } else {
      this.#pieces = [...plan.pieces];
      this.#start = start;
      this.#until = until;
    }
    this.#end = end;
    this.#size = plan.size;
    this.#version = plan.contentVersion;
  }

  /** Where the piece that holds `offset` is among `pieces`. It is covered. */
  indexOf(offset: number): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#pieces[middle]!.offset <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  get pieces(): readonly KnownPiece[] {
    return this.#pieces;
  }
  /** The pieces of `[start, end)`, whole. It is covered; what lies beyond the size has none. */
  slice(start: number, end: number): readonly KnownPiece[] {
    const first = this.indexOf(start);
    let last = first;
    while (last < this.#pieces.length && this.#pieces[last]!.offset < end) last += 1;
    return this.#pieces.slice(first, last);
  }
}
