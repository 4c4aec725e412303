/**
 * The rules of the house that neither the type checker nor the linter knows: layers, purity, size, words, and
 * promises that must be kept somewhere else. Each rule is a pure function over the files, and each has a canary:
 * a small tree that must make it fail. `tidy/allowed.json` holds counts that may only fall, with reasons.
 */
import { beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { serverSettings } from "../libs/node/src/config/server-settings.ts";
import allowed from "./tidy/allowed.json" with { type: "json" };
import { layerRule, pointerRule, purityRule, starRule } from "./tidy/boundaries.ts";
import {
  checkLockfile,
  deadFaults,
  differences,
  findDead,
  generate,
  readFolder,
} from "./tidy/commands.ts";
import { renderTables } from "./tidy/operations-tables.ts";
import { contractRule, goldenRule, namedFileRule, operationsRule } from "./tidy/promises.ts";
import { fileSizeRule, functionSizeRule } from "./tidy/sizes.ts";
import { readTree, type Rule, type SourceFile, type Tree } from "./tidy/tree.ts";
import { evasionRule, leftoverRule, placeRule } from "./tidy/words.ts";

const root = join(import.meta.dir, "..");
const ratchet: Readonly<Record<string, { readonly count: number; readonly reason: string }>> =
  allowed;

/** Faults beyond what the ratchet still allows; all of them are shown, since the old ones cannot be told apart. */
function beyond(rule: string, faults: readonly string[]): readonly string[] {
  return faults.length > (ratchet[rule]?.count ?? 0) ? faults : [];
}

function tree(...files: readonly (readonly [path: string, text: string])[]): Tree {
  return {
    files: files.map(([path, text]): SourceFile => ({ path, text })),
    packages: [
      { name: "@kiseki/low", directory: "libs/low", layer: 1, pure: true },
      { name: "@kiseki/high", directory: "libs/high", layer: 5, pure: false },
    ],
  };
}

const operations = operationsRule(Object.values(serverSettings));
const lines = (count: number): string => "let a = 1;\n".repeat(count);
const host = ["registry", "npmjs", "org"].join(".");
const port: readonly [string, string] = ["libs/ports/src/clock.ts", "export interface Clock {}"];

/** Name, rule, a tree that breaks it and one that is close to that and keeps it. */
const rules: readonly (readonly [string, Rule, broken: Tree, kept: Tree])[] = [
  [
    "imports go to lower layers",
    layerRule,
    tree(["libs/low/src/a.ts", 'import type { A } from "@kiseki/high";']),
    tree(["libs/high/src/a.ts", 'import type { A } from "@kiseki/low";']),
  ],
  [
    "pure packages touch nothing",
    purityRule,
    tree(["libs/low/src/a.ts", "export const a = () => Date.now();"]),
    tree(["libs/low/src/a.ts", 'export const a = "Date.now"; // Date.now()']),
  ],
  [
    "an index names its exports",
    starRule,
    tree(["libs/low/src/index.ts", 'export * from "./a.ts";']),
    tree(["libs/low/src/index.ts", 'export { a } from "./a.ts";']),
  ],
  [
    "ptr() stays in one module",
    pointerRule,
    tree(["libs/high/src/a.ts", 'import { ptr as address } from "bun:ffi"; address(a);']),
    tree(["libs/high/src/a.ts", 'import { dlopen } from "bun:ffi"; // ptr(a)']),
  ],
  [
    "files end before 600 lines",
    fileSizeRule,
    tree(["libs/low/src/a.ts", lines(601)]),
    tree(["libs/low/src/a.ts", lines(600)], ["libs/low/src/a.test.ts", lines(601)]),
  ],
  [
    "functions end before 70 lines",
    functionSizeRule,
    tree(["libs/low/src/a.ts", `function f() {\n${lines(69)}}\n`]),
    tree(["libs/low/src/a.ts", `function f() {\n${lines(68)}}\n`]),
  ],
  [
    "nothing is left for later",
    leftoverRule,
    tree(["docs/a.md", `FIX${"ME"}: later`]),
    tree(["docs/a.md", "fix me later"]),
  ],
  [
    "checks are not evaded",
    evasionRule,
    tree(["libs/low/src/a.ts", "const a = b as any;"]),
    tree(["libs/low/src/a.ts", 'const a = "b as any";']),
  ],
  [
    "no registry and no machine is named",
    placeRule,
    tree(["docs/a.md", `https://${host}/a`], ["docs/b.md", `${"/ho"}me/me/a`]),
    tree(["docs/a.md", "https://example.org/home/me"]),
  ],
  [
    "ports have contracts",
    contractRule,
    tree(port),
    tree(
      port,
      ["libs/ports/src/clock.contract.ts", "export function clockContract() {}"],
      ["libs/high/src/a.test.ts", "clockContract()"],
    ),
  ],
  [
    "stored bytes have golden samples",
    goldenRule,
    tree(["libs/format/src/a.ts", "export function encodeA() {}"]),
    tree(
      ["libs/format/src/a.ts", "export function encodeA() {}"],
      ["libs/format/src/a.golden.test.ts", "encodeA()"],
    ),
  ],
  [
    "documents name files that are there",
    namedFileRule,
    tree(["docs/a.md", "see `low/b.ts`"], ["libs/low/src/a.ts", ""]),
    tree(["docs/a.md", "see `low/a.ts`"], ["libs/low/src/a.ts", ""]),
  ],
];

let house: Tree;
beforeAll(async () => {
  house = await readTree(root);
});

for (const [name, rule, broken, kept] of rules) {
  test(`tidy: ${name}`, () => {
    expect(beyond(rule.name, rule(house))).toEqual([]);
  });
  test(`tidy: ${name} (canary)`, () => {
    expect(rule(broken)).not.toEqual([]);
    expect(rule(kept)).toEqual([]);
  });
}

test("tidy: each fault of the canary for places is found", () => {
  expect(placeRule(tree(["a.md", `${host} ${"/ho"}me/me`]))).toHaveLength(2);
});

test("tidy: functions of C and Python are measured (canary)", () => {
  const c = `static int f(int a) {\n  /* } */ char b = '}';\n${"  a++;\n".repeat(68)}}\n`;
  const python = `def f(a):\n${"    a += 1\n".repeat(70)}`;
  expect(functionSizeRule(tree(["ffi/a/native/a.c", c]))).toHaveLength(1);
  expect(functionSizeRule(tree(["tests/a.py", python]))).toHaveLength(1);
  const short = tree(["ffi/a/native/a.c", c.replace("  a++;\n", "")]);
  expect(functionSizeRule(short)).toEqual([]);
});

test("tidy: docs/operations.md names every flag, variable and metric", () => {
  expect(operations(house)).toEqual([]);
});

test("tidy: docs/operations.md names every flag, variable and metric (canary)", () => {
  const page = house.files.find(({ path }) => path === "docs/operations.md")!;
  const less = {
    ...page,
    text: page.text.replaceAll("--data-dir", "").replaceAll("KISEKI_DATA_DIR", ""),
  };
  const files = house.files.map((file) => (file === page ? less : file));
  const faults = operations({ ...house, files });
  expect(faults).toContain("docs/operations.md: lacks --data-dir");
  expect(faults).toContain("docs/operations.md: lacks KISEKI_DATA_DIR");
});

test("tidy: nothing is exported or kept that nobody uses", async () => {
  expect(beyond("deadRule", await findDead())).toEqual([]);
}, 20_000);

test("tidy: nothing is exported or kept that nobody uses (canary)", () => {
  const report = { issues: [{ file: "a.ts", exports: [{ name: "b" }] }] };
  expect(deadFaults(JSON.stringify(report))).toEqual(["a.ts: exports: b"]);
});

test("tidy: generated code is what a fresh run makes", async () => {
  expect(differences(await generate(), await readFolder(join(root, "libs/rpc/src/gen")))).toEqual(
    [],
  );
}, 20_000);

test("tidy: the tables of docs/operations.md are what a fresh run makes", () => {
  const page = house.files.find(({ path }) => path === "docs/operations.md")!.text;
  const words = (text: string) => text.replace(/-{3,}/g, "---").split(/\s+/); // `bun fmt` pads the cells
  expect(words(renderTables(page))).toEqual(words(page));
});

test("tidy: generated code is what a fresh run makes (canary)", () => {
  expect(differences(new Map([["a", "1"]]), new Map([["a", "2"]]))).toEqual(["a"]);
});

test("tidy: bun.lockb names no registry", async () => {
  expect(await checkLockfile()).toEqual([]);
});
