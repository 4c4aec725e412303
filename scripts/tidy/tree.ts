import { parseSync } from "oxc-parser";

/** One file of the house, as the rules see it. */
export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** What a package's `package.json` says of it. */
export interface Package {
  readonly name: string;
  readonly directory: string;
  readonly layer: number;
  readonly pure: boolean;
}

/** All files and packages. A rule is a function from this to faults, one line each, `path: what`. */
export interface Tree {
  readonly files: readonly SourceFile[];
  readonly packages: readonly Package[];
}

export type Rule = (tree: Tree) => readonly string[];

const skipped = /(^|\/)(node_modules|build|coverage|__pycache__)\/|(^|\/)\.git(\/|$)|\.log$/;

/** Files that people did not write: they are compared with a fresh run instead. */
export const isGenerated = (path: string): boolean => /\/gen\//.test(path);

/** Tests and what only tests import: free of layers and of purity. */
export const isTest = (path: string): boolean =>
  /\.(test|bench|contract|fixture|test-helper|fuzz)\.ts$|\/(contract|fixture[a-z-]*)\.ts$|^(tests|bench)\//.test(
    path,
  );

/** Reads every text file below `root`; a file with a zero byte is not text. */
export async function readTree(root: string): Promise<Tree> {
  const files: SourceFile[] = [];
  for await (const path of new Bun.Glob("**/*").scan({ cwd: root, dot: true })) {
    if (skipped.test(path)) continue;
    const text = await Bun.file(`${root}/${path}`).text();
    if (!text.includes("\0")) files.push({ path, text });
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, packages: files.flatMap(readPackage) };
}

function readPackage({ path, text }: SourceFile): Package[] {
  if (!/^(apps|libs|ffi)\/[^/]+\/package\.json$/.test(path)) return [];
  const { name, tidy } = JSON.parse(text) as { name: string; tidy: Omit<Package, "name"> };
  const directory = path.slice(0, -"/package.json".length);
  return [{ name, directory, layer: tidy.layer, pure: tidy.pure }];
}

/** A node of the syntax tree: `type`, a range of offsets, and children under any name. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === "object" && value !== null && "type" in value && "start" in value;

/** Visits `node` and everything below it, parents first. */
export function walk(node: SyntaxNode, visit: (node: SyntaxNode) => void): void {
  visit(node);
  for (const child of Object.values(node)) {
    if (isNode(child)) walk(child, visit);
    else if (Array.isArray(child)) {
      for (const item of child as unknown[]) if (isNode(item)) walk(item, visit);
    }
  }
}

export interface Import {
  readonly module: string;
  readonly names: readonly string[];
  readonly start: number;
}

/** One TypeScript file, parsed once. */
export interface Parsed {
  readonly program: SyntaxNode;
  readonly imports: readonly Import[];
  /** The text with comments and the insides of strings blanked; offsets and lines stand. */
  readonly code: string;
}

const parsedFiles = new WeakMap<SourceFile, Parsed>();

export function parse(file: SourceFile): Parsed {
  let parsed = parsedFiles.get(file);
  if (parsed === undefined) parsedFiles.set(file, (parsed = parseNew(file)));
  return parsed;
}

function parseNew({ path, text }: SourceFile): Parsed {
  const { program: raw, comments, module } = parseSync(path, text);
  const program = raw as unknown as SyntaxNode;
  const blanks: { start: number; end: number }[] = [...comments];
  const imports: Import[] = [];
  for (const { moduleRequest, entries, start } of module.staticImports) {
    const names = entries.map(({ importName }) => importName.name ?? importName.kind);
    imports.push({ module: moduleRequest.value, names, start });
  }
  walk(program, (node) => {
    const isText = node.type === "Literal" && typeof node["value"] === "string";
    if (isText || node.type === "TemplateElement" || node["regex"]) blanks.push(node);
    const source = node["source"];
    if (node.type !== "ImportDeclaration" && isNode(source) && source.type === "Literal") {
      imports.push({ module: String(source["value"]), names: [], start: node.start });
    }
  });
  return { program, imports, code: blank(text, blanks) };
}

function blank(text: string, ranges: readonly { start: number; end: number }[]): string {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  let code = "";
  let at = 0;
  for (const { start, end } of sorted) {
    if (start < at) continue;
    code += text.slice(at, start) + text.slice(start, end).replace(/[^\n]/g, " ");
    at = end;
  }
  return code + text.slice(at);
}

/** Number of the line on which `offset` lies, from 1. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1))
    line++;
  return line;
}

export const isTypeScript = ({ path }: SourceFile): boolean =>
  path.endsWith(".ts") && !isGenerated(path);

/** The package that `path` belongs to. */
export const packageOf = (tree: Tree, path: string): Package | undefined =>
  tree.packages.find(({ directory }) => path.startsWith(`${directory}/src/`));
