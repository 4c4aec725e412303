/** JSON in which no object names a member twice: two readers of such a document could differ. */

export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** The document, or `undefined` when it is not JSON or names a member twice. The caller bounds `text`. */
export function parseStrictJson(text: string): JsonValue | undefined {
  try {
    const value = JSON.parse(text) as JsonValue;
    return hasRepeatedName(text) ? undefined : value;
  } catch (reason) {
    if (reason instanceof SyntaxError || reason instanceof RangeError) return undefined;
    throw reason;
  }
}

/** `text` is JSON. A string is a member's name when a colon follows it. */
function hasRepeatedName(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(undefined);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const start = at;
      for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
      let next = at + 1;
      while (/\s/.test(text[next] ?? "")) next++;
      if (text[next] !== ":") continue;
      const name = JSON.parse(text.slice(start, at + 1)) as string;
      const names = open.at(-1);
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
}
