import { isGenerated, isTypeScript, lineOf, parse, type Rule, type SourceFile } from "./tree.ts";

function findAll(file: SourceFile, text: string, pattern: RegExp, why: string): string[] {
  return [...text.matchAll(pattern)].map(
    (match) => `${file.path}:${lineOf(text, match.index)}: ${match[0].trim()}: ${why}`,
  );
}

/** Written in parts, so that this file keeps its own rule. */
const leftover = new RegExp(
  `\\b(${["TO", "FIX"].map((head) => `${head}${head === "TO" ? "DO" : "ME"}`).join("|")}|X{3})\\b`,
  "g",
);

/** What was left for later is finished, or an issue. */
export const leftoverRule: Rule = (tree) =>
  tree.files
    .filter(({ path }) => !isGenerated(path))
    .flatMap((file) => findAll(file, file.text, leftover, "finish it"));

const forbidden: readonly (readonly [RegExp, string])[] = [
  [/\b(test|describe|it)\.only\(/g, "run every test"],
  [/\bcatch\s*\{\s*\}/g, "say why the error is safe to drop"],
  [/\bas any\b/g, "narrow it"],
];

/** Ways around the type checker and the tests. */
export const evasionRule: Rule = (tree) =>
  tree.files
    .filter(isTypeScript)
    .flatMap((file) => [
      ...forbidden.flatMap(([pattern, why]) => findAll(file, parse(file).code, pattern, why)),
      ...findAll(file, file.text, /@ts-(ignore|nocheck)\b/g, "expect an error, with a reason"),
    ]);

/** Hosts of package registries by their own names, and any address that looks like a mirror's. */
const registry = new RegExp(
  [
    "registry\\.(npmjs|yarnpkg)\\.(org|com)",
    "npmmirror\\.com",
    "(files\\.)?python" + "hosted\\.org",
    "pypi\\.(org|python\\.org)",
    "(static\\.|index\\.)?crates\\.io",
    "proxy\\.golang\\.org",
    "(deb|security|ftp)\\.([a-z]{2}\\.)?debian\\.org",
    "https?://[^\\s/\"']*(registry|artifactory|nexus|mirror|pypi|proxy)[^\\s/\"']*\\.[a-z]+",
  ].join("|"),
  "g",
);

/** Paths of one machine: home directories and this project's own checkout. */
const machinePath = new RegExp(
  `(?<![\\w./$}-])/(${["work", "root", "home", "Users"].join("|")})/[\\w.-]+`,
  "g",
);

/** What is checked out must work behind any registry and in any folder. */
export const placeRule: Rule = (tree) =>
  tree.files.flatMap((file) => [
    ...findAll(file, file.text, registry, "the registry is the user's to configure"),
    ...findAll(file, file.text, machinePath, "a path of one machine"),
  ]);
