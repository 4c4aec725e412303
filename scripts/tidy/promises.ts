import { isTest, type Rule, type SourceFile, type Tree } from "./tree.ts";

const camel = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);

/** Files of `libs/ports` without a port of their own: lists, and the map whose contract is that of ShardStore. */
const portless = new Set(["index", "contract", "metric-table", "ordered-map"]);

/** Interfaces that others drive: each `libs/ports/src/<name>.ts` is one that carries its name, and so is Prng. */
function portsOf(tree: Tree): { readonly name: string; readonly file: string }[] {
  return tree.files.flatMap(({ path }) => {
    const file = /^libs\/(?:ports\/src\/([a-z-]+)|base\/src\/(prng))\.ts$/.exec(path);
    const stem = file?.[1] ?? file?.[2];
    if (stem === undefined || portless.has(stem)) return [];
    const name = stem.replace(/(^|-)([a-z])/g, (_match, _dash, letter: string) =>
      letter.toUpperCase(),
    );
    return [{ name, file: stem }];
  });
}

/** A port has a contract that at least one driver's own test runs. */
export const contractRule: Rule = (tree) =>
  portsOf(tree).flatMap(({ name, file }) => {
    const contract = `${camel(name)}Contract`;
    const path = `libs/ports/src/${file}.contract.ts`;
    const written = tree.files.find((each) => each.path === path);
    if (!written?.text.includes(`function ${contract}(`))
      return [`${path}: ${name} has no ${contract}()`];
    const isRun = tree.files.some(
      (each) => each.path.endsWith(".test.ts") && each.text.includes(`${contract}(`),
    );
    return isRun ? [] : [`${path}: no test runs ${contract}()`];
  });

/** Modules with bytes that outlive a process, apart from all of `libs/format`. */
const storedElsewhere = new RegExp(
  `^libs/(${[
    "cache/src/(manifest|policy)",
    "node/src/lifecycle/progress",
    "policy/src/stored-[a-z-]+",
    "s3/src/(list-token|settings/ownership)",
    "shard-store/src/shard-state",
  ].join("|")})\\.ts$`,
);

const isStored = ({ path }: SourceFile): boolean =>
  (/^libs\/format\/src\/(?!index\.ts)[\w/-]+\.ts$/.test(path) || storedElsewhere.test(path)) &&
  !isTest(path);

/** A header that another encoder of the same file puts first is in that one's golden bytes. */
function isPartOfGolden(text: string, name: string, golden: ReadonlySet<string>): boolean {
  const functions = text.split(/^export (?=function|const)/m);
  return functions.some((each) => {
    const own = /^(?:function|const) (\w+)/.exec(each)?.[1] ?? "";
    return own !== name && golden.has(own) && each.includes(`${name}(`);
  });
}

/** Whatever encodes stored bytes is named in a golden test. */
export const goldenRule: Rule = (tree) => {
  const golden = tree.files.filter(({ path }) => path.endsWith(".golden.test.ts"));
  const names = new Set(golden.flatMap(({ text }) => text.match(/\bencode[A-Z]\w*/g) ?? []));
  return tree.files.filter(isStored).flatMap(({ path, text }) =>
    [...text.matchAll(/export (?:function|const) (encode[A-Z]\w*)/g)]
      .map((match) => match[1]!)
      .filter((name) => !names.has(name) && !isPartOfGolden(text, name, names))
      .map((name) => `${path}: ${name} has no golden bytes`),
  );
};

/** Names that only look like variables: guards of C headers and constants of C. */
const isVariable = (name: string): boolean => !/_(H|ABI|SIZE|MAX|MIN)$/.test(name);

/** Flags, variables and metrics that an operator can meet, from a table of settings and from the tree. */
export function operatorNames(tree: Tree): Set<string> {
  const names = new Set<string>();
  const header = tree.files.find(({ path }) => path === "apps/fuse-client/c/kiseki.h");
  const statuses = new Set(
    header?.text.match(/^ +KISEKI_[A-Z_]+(?= = \d)/gm)?.map((name) => name.trim()),
  );
  const programs = tree.files.filter(
    ({ path }) =>
      /\.(ts|c|py|service)$|^scripts\/[a-z]+$|^\.ci\/run$/.test(path) &&
      !path.startsWith("scripts/tidy"),
  );
  for (const { path, text } of programs) {
    // A test may make names up; those that it reads are meant.
    const pattern = isTest(path)
      ? /(?<=\benv\[")KISEKI_[A-Z0-9_]+/g
      : /\bKISEKI_[A-Z][A-Z0-9_]*[A-Z0-9]\b/g;
    for (const [name] of text.matchAll(pattern))
      if (isVariable(name) && !statuses.has(name)) names.add(name);
    if (isTest(path)) continue;
    const flags = /^apps\//.test(path)
      ? /["'](--[a-z][a-z0-9-]+)/g
      : path === "scripts/starting/plan.ts" && /^ +(--[a-z][a-z0-9-]+) /gm;
    if (flags) for (const [, flag] of text.matchAll(flags)) names.add(flag!);
  }
  const metrics = tree.files.find(({ path }) => path === "libs/ports/src/metric-table.ts");
  for (const [name] of metrics?.text.matchAll(/\bkiseki_[a-z_]+/g) ?? []) names.add(name);
  return names;
}

/** `docs/operations.md` names every flag, variable and metric. */
export const operationsRule =
  (settings: readonly { readonly flag: string; readonly variable: string }[]): Rule =>
  (tree) => {
    const page = tree.files.find(({ path }) => path === "docs/operations.md")?.text ?? "";
    const known = new Set(page.match(/--[a-z][a-z0-9-]+|\bKISEKI_[A-Z0-9_]+|\bkiseki_[a-z_]+/g));
    const wanted = operatorNames(tree);
    for (const { flag, variable } of settings) wanted.add(`--${flag}`).add(variable);
    return [...wanted]
      .filter((name) => !known.has(name))
      .sort()
      .map((name) => `docs/operations.md: lacks ${name}`);
  };

/** What the top pages and the guides name must be there: they are read by people who then look for it. */
export const namedFileRule: Rule = (tree) => {
  const known = tree.files.map(({ path }) => `/${path.replace("/src/", "/")}`);
  const pages = tree.files.filter(({ path }) =>
    /^([A-Z]+|docs\/[\w-]+|docs\/formats\/[\w-]+)\.md$/.test(path),
  );
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(/`([\w-][\w./-]*\.(?:ts|c|h|py|proto|service))`/g)]
      .map((match) => match[1]!)
      .filter((name) => !known.some((each) => each.endsWith(`/${name}`.replace("/src/", "/"))))
      .map((name) => `${path}: ${name} is not there`),
  );
};
