import {
  isGenerated,
  lineOf,
  parse,
  type Rule,
  type SourceFile,
  type SyntaxNode,
  walk,
} from "./tree.ts";

export const fileLinesMax = 600;
export const functionLinesMax = 70;

const isCode = ({ path }: SourceFile): boolean => /\.(ts|c|h|py)$/.test(path) && !isGenerated(path);

/** Tests may be long; nothing else that people write, be it beside a test. */
export const fileSizeRule: Rule = (tree) =>
  tree.files.flatMap((file) => {
    if (!isCode(file) || file.path.endsWith(".test.ts")) return [];
    const lines = file.text.replace(/\n$/, "").split("\n").length;
    return lines > fileLinesMax ? [`${file.path}: ${lines} lines; what are its two jobs?`] : [];
  });

interface Extent {
  readonly name: string;
  /** First and last line, both counted, from 1. */
  readonly first: number;
  readonly last: number;
}

const functionTypes = new Set([
  "FunctionDeclaration",
  "FunctionExpression",
  "ArrowFunctionExpression",
]);

function typeScriptFunctions(file: SourceFile): Extent[] {
  const extents: Extent[] = [];
  const starts = [0, ...[...file.text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const line = (offset: number): number => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
  walk(parse(file).program, (node) => {
    if (!functionTypes.has(node.type)) return;
    const id = node["id"] as SyntaxNode | null;
    extents.push({
      name: id ? String(id["name"]) : "function",
      first: line(node.start),
      last: line(node.end - 1),
    });
  });
  return extents;
}

/** C with comments, strings and preprocessor lines blanked, so that braces can be counted. */
export function blankC(text: string): string {
  const noText = text.replace(
    /\/\*[\s\S]*?\*\/|\/\/.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g,
    (match) => match.replace(/[^\n]/g, " "),
  );
  return noText.replace(/^[ \t]*#(?:.*\\\n)*.*/gm, (match) => match.replace(/[^\n]/g, " "));
}

/** A function is a block at the outermost level after a `)`; it starts where the last thing ended. */
export function cFunctions(text: string): Extent[] {
  const code = blankC(text);
  const extents: Extent[] = [];
  let depth = 0;
  let begin = 0;
  let open: { name: string; start: number } | undefined;
  for (let at = 0; at < code.length; at++) {
    const sign = code[at];
    if (sign === "{") {
      const before = code.slice(begin, at);
      if (depth === 0 && /\)\s*(__attribute__\s*\(\(.*\)\)\s*)?$/.test(before)) {
        const start = begin + before.search(/\S/);
        open = { name: /(\w+)\s*\(/.exec(before)?.[1] ?? "function", start };
      }
      depth++;
    } else if (sign === "}") {
      depth--;
      if (depth === 0) {
        if (open) {
          const first = lineOf(code, open.start);
          extents.push({ name: open.name, first, last: lineOf(code, at) });
        }
        open = undefined;
        begin = at + 1;
      }
    } else if (sign === ";" && depth === 0) begin = at + 1;
  }
  return extents;
}

/** A `def` lasts as long as its lines are indented deeper than itself. */
export function pythonFunctions(text: string): Extent[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const match = /^(\s*)(?:async )?def (\w+)/.exec(line);
    if (!match) return [];
    let last = index;
    for (let at = index + 1; at < lines.length; at++) {
      const other = lines[at]!;
      if (other.trim() === "") continue;
      const indent = other.length - other.trimStart().length;
      if (indent <= match[1]!.length && !other.trimStart().startsWith(")")) break;
      last = at;
    }
    return [{ name: match[2]!, first: index + 1, last: last + 1 }];
  });
}

function functionsOf(file: SourceFile): Extent[] {
  if (file.path.endsWith(".ts")) return typeScriptFunctions(file);
  return file.path.endsWith(".py") ? pythonFunctions(file.text) : cFunctions(file.text);
}

export const functionSizeRule: Rule = (tree) =>
  tree.files.filter(isCode).flatMap((file) =>
    functionsOf(file)
      .filter(({ first, last }) => last - first + 1 > functionLinesMax)
      .map(
        ({ name, first, last }) => `${file.path}:${first}: ${name} has ${last - first + 1} lines`,
      ),
  );
