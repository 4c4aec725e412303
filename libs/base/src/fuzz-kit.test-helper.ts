import { AssertionError } from "./assert.ts";
import { type Prng, prngFromSeed } from "./prng.ts";

/** A parser of outside bytes under fire. */
export interface FuzzTarget {
  /** Unique, lower case with hyphens. */
  readonly name: string;
  /**
   * One execution: makes an input of `prng` alone, shows it to `note` before it is parsed, and checks what the parser
   * promises. Returns in a word how it ended (`accepted`, a fault's code), for the count of outcomes.
   *
   * @throws when a promise is broken; a parser that throws where it should not does so by itself.
   */
  readonly run: (prng: Prng, note: (input: Uint8Array | string) => void) => string;
}

/** What executions of a target came to. */
export interface FuzzOutcome {
  readonly executions: number;
  /** How often each word was returned. */
  readonly words: ReadonlyMap<string, number>;
}

/** A broken promise, with all that is needed to see it again. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
  /** `prngFromSeed` of it makes the very input. */
  readonly seed: number;
  readonly input: Uint8Array;
  constructor(target: string, seed: number, input: Uint8Array, cause: unknown) {
    const hex = Array.from(input, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`${target} --seed ${seed}: ${why}\ninput in hex: ${hex}`, { cause });
    this.seed = seed;
    this.input = input;
  }
}

/**
 * Runs a target with the seeds `seed`, `seed` + 1 and so on while `goesOn` says so.
 *
 * @throws {FuzzFailure} at the first broken promise.
 */
export function fuzz(
  target: FuzzTarget,
  seed: number,
  goesOn: (executions: number) => boolean,
): FuzzOutcome {
  const words = new Map<string, number>();
  let executions = 0;
  for (; goesOn(executions); executions += 1) {
    let input: Uint8Array | string = "";
    try {
      const word = target.run(prngFromSeed(seed + executions), (made) => (input = made));
      words.set(word, (words.get(word) ?? 0) + 1);
    } catch (reason) {
      const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
      throw new FuzzFailure(target.name, seed + executions, bytes, reason);
    }
  }
  return { executions, words };
}

/** A property of a target. @throws {AssertionError} unless it holds. */
export function must(holds: boolean, property: string): asserts holds {
  if (!holds) throw new AssertionError(`Must hold: ${property}`);
}

/** One of `list`, each as likely. */
export const pick = <T>(prng: Prng, list: readonly T[]): T => list[prng.below(list.length)]!;

/** `text` after up to three edits: characters below 0x100 or `pieces` put in, a few taken out. */
export function mutateText(prng: Prng, text: string, pieces: readonly string[]): string {
  let result = text;
  for (let i = prng.below(4); i > 0; i--) {
    const at = prng.below(result.length + 1);
    const end = Math.min(result.length, at + prng.below(4));
    const insert = prng.chance(1, 2) ? pick(prng, pieces) : String.fromCharCode(prng.below(256));
    result = result.slice(0, at) + insert + result.slice(prng.chance(1, 2) ? end : at);
  }
  return result;
}

/** `source` after up to three edits: bytes changed, cut out, repeated, replaced by extremes, or `pieces` put in. */
export function mutateBytes(
  prng: Prng,
  source: Uint8Array,
  pieces: readonly Uint8Array[] = [],
): Uint8Array<ArrayBuffer> {
  let bytes = [...source];
  for (let count = prng.below(4); count > 0; count--) {
    const at = prng.below(bytes.length + 1);
    const kind = prng.below(pieces.length > 0 ? 6 : 5);
    if (kind === 0 && at < bytes.length) bytes[at] = prng.below(256);
    else if (kind === 1) bytes.splice(at, 1 + prng.below(5));
    else if (kind === 2) bytes = [...bytes.slice(0, at), ...bytes.slice(Math.max(0, at - 40))];
    else if (kind === 3 && at < bytes.length) bytes[at]! ^= 1 << prng.below(8);
    else if (kind === 4)
      bytes.splice(
        at,
        4,
        ...pick(prng, [
          [0, 0, 0, 0],
          [255, 255, 255, 255],
          [255, 255, 255, 127],
        ]),
      );
    else if (kind === 5) bytes.splice(at, 0, ...pick(prng, pieces));
  }
  return Uint8Array.from(bytes);
}
