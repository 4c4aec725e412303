/**
 * Text with `*`, `?` and variables. Matching moves forward only: what a piece has matched is never looked at
 * again, so that no pattern costs more than its length times the text's.
 */

/** What a variable is asked of: the one value of a condition key, or `undefined` when there is none or many. */
export type Resolve = (key: string) => string | undefined;

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  /** `*`: any characters, none too. */
  | { readonly kind: "many" }
  /** `?`: exactly one character. */
  | { readonly kind: "one" }
  | { readonly kind: "variable"; readonly key: string; readonly fallback: string | undefined };

export interface Template {
  readonly pieces: readonly Piece[];
  /** The text when there is nothing but text. */
  readonly plain: string | undefined;
  readonly hasVariables: boolean;
  readonly hasWildcards: boolean;
}

export interface TemplateOptions {
  readonly hasWildcards: boolean;
  readonly hasVariables: boolean;
  /** Whether `key` may stand in a variable. */
  readonly isVariable: (key: string) => boolean;
}

const variableForm = /^([^,'{}$]{1,256}?)(?:\s*,\s*'([^']{0,1024})')?$/;

/** Cuts `text` into pieces; `undefined` for a variable that is not closed or not known. */
export function parseTemplate(text: string, options: TemplateOptions): Template | undefined {
  const pieces: Piece[] = [];
  let plain = "";
  const flush = (piece: Piece): void => {
    if (plain !== "") pieces.push({ kind: "text", text: plain });
    plain = "";
    pieces.push(piece);
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (options.hasWildcards && character === "*") flush({ kind: "many" });
    else if (options.hasWildcards && character === "?") flush({ kind: "one" });
    else if (options.hasVariables && character === "$" && text[at + 1] === "{") {
      const end = text.indexOf("}", at);
      const inner = end < 0 ? "" : text.slice(at + 2, end);
      if (inner === "*" || inner === "?" || inner === "$") plain += inner;
      else {
        const [, name, fallback] = variableForm.exec(inner) ?? [];
        if (name === undefined || !options.isVariable(name)) return undefined;
        flush({ kind: "variable", key: name, fallback });
      }
      at = end;
    } else plain += character;
  }
  if (plain !== "") pieces.push({ kind: "text", text: plain });
  return toTemplate(pieces);
}

export function toTemplate(pieces: readonly Piece[]): Template {
  const isPlain = pieces.every(({ kind }) => kind === "text");
  return {
    pieces,
    plain: isPlain
      ? pieces.map((piece) => (piece.kind === "text" ? piece.text : "")).join("")
      : undefined,
    hasVariables: pieces.some(({ kind }) => kind === "variable"),
    hasWildcards: pieces.some(({ kind }) => kind === "many" || kind === "one"),
  };
}

/** The template with its variables' values as text; `undefined` when one has no value and no default. */
export function resolveTemplate(template: Template, resolve: Resolve): Template | undefined {
  if (!template.hasVariables) return template;
  const pieces: Piece[] = [];
  for (const piece of template.pieces) {
    if (piece.kind !== "variable") pieces.push(piece);
    else {
      const value = resolve(piece.key) ?? piece.fallback;
      if (value === undefined) return undefined;
      pieces.push({ kind: "text", text: value });
    }
  }
  return toTemplate(pieces);
}

/** Lower case, for what is compared without case. Variables keep their values' case. */
export function lowerTemplate(template: Template): Template {
  return toTemplate(
    template.pieces.map((piece) =>
      piece.kind === "text" ? { kind: "text", text: piece.text.toLowerCase() } : piece,
    ),
  );
}

/** Whether some text that begins with `prefix` matches; a variable may stand for anything. */
export function mayMatchBehind({ pieces }: Template, prefix: string): boolean {
  /** Pieces at which the rest may go on, each with how much of a text piece was taken. */
  let places = new Map<string, readonly [piece: number, taken: number]>([["0:0", [0, 0]]]);
  for (const unit of prefix) {
    const next = new Map<string, readonly [number, number]>();
    const reach = (piece: number, taken: number): void => {
      next.set(`${piece}:${taken}`, [piece, taken]);
    };
    for (const [start, taken] of places.values()) {
      for (let at = start; at < pieces.length; at++) {
        const piece = pieces[at]!;
        if (piece.kind === "many" || piece.kind === "variable") {
          reach(at, 0);
          continue; // none of it: the next piece may begin here
        }
        if (piece.kind === "one") reach(at + 1, 0);
        else {
          const from = at === start ? taken : 0;
          const rest = from + unit.length;
          if (piece.text.startsWith(unit, from)) {
            reach(rest === piece.text.length ? at + 1 : at, rest === piece.text.length ? 0 : rest);
          }
        }
        break;
      }
    }
    places = next;
    if (places.size === 0) return false;
  }
  return true;
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

/** Where the text goes on behind the character at `at`. */
function behindOne(text: string, at: number): number {
  const isPair =
    isHighSurrogate(text.charCodeAt(at)) &&
    at + 1 < text.length &&
    isLowSurrogate(text.charCodeAt(at + 1));
  return isPair ? at + 2 : at + 1;
}

/** Whether the whole of `text` matches; `template` has no variables left. */
export function matchTemplate(template: Template, text: string): boolean {
  if (template.plain !== undefined) return template.plain === text;
  const { pieces } = template;
  let at = 0;
  let next = 0;
  /** Where to go on when a piece does not fit: behind the last `*`, one character further. */
  let retryPiece = -1;
  let retryAt = 0;
  for (;;) {
    const piece = pieces[next];
    let isFitting: boolean;
    if (piece === undefined) isFitting = at === text.length;
    else if (piece.kind === "many") {
      retryPiece = ++next;
      retryAt = at;
      continue;
    } else if (piece.kind === "one") {
      isFitting = at < text.length;
      if (isFitting) at = behindOne(text, at);
    } else {
      isFitting = piece.kind === "text" && text.startsWith(piece.text, at);
      if (isFitting && piece.kind === "text") at += piece.text.length;
    }
    if (isFitting && piece === undefined) return true;
    if (isFitting) next += 1;
    else {
      if (retryPiece < 0 || retryAt >= text.length) return false;
      next = retryPiece;
      at = ++retryAt;
    }
  }
}
