/**
 * The rules of the house that neither the type checker nor the linter knows: layers, purity, size, words, and
 * promises that must be kept somewhere else. Each rule is a pure function over the files, and each has a canary:
 * small trees that must make it fail.
 */
import { beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverSettings } from "../libs/node/src/config/server-settings.ts";
import { layerRule, pointerRule, purityRule, starRule } from "./tidy/boundaries.ts";
import { checkLockfile, differences, findDead, generate, readFolder } from "./tidy/commands.ts";
import { renderTables } from "./tidy/operations-tables.ts";
import { contractRule, goldenRule, namedFileRule, operationsRule } from "./tidy/promises.ts";
import { fileSizeRule, functionSizeRule } from "./tidy/sizes.ts";
import { readTree, type Rule, type SourceFile, type Tree } from "./tidy/tree.ts";
import { evasionRule, leftoverRule, placeRule } from "./tidy/words.ts";

const root = join(import.meta.dir, "..");

const low = { name: "@kiseki/low", directory: "libs/low", layer: 1, pure: true } as const;
const high = { name: "@kiseki/high", directory: "libs/high", layer: 5, pure: false } as const;

function tree(...files: readonly (readonly [path: string, text: string])[]): Tree {
  return {
    files: files.map(([path, text]): SourceFile => ({ path, text })),
    packages: [low, high],
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
    expect(rule(house)).toEqual([]);
  });
  test(`tidy: ${name} (canary)`, () => {
    expect(rule(broken)).not.toEqual([]);
    expect(rule(kept)).toEqual([]);
  });
}

test("tidy: a package is entered by its index alone, by tests too (canary)", () => {
  const inside = 'import { a } from "../../high/src/a.ts";';
  expect(layerRule(tree(["libs/low/src/a.test.ts", inside]))).toHaveLength(1);
  expect(layerRule(tree(["libs/low/src/a.ts", 'import "@kiseki/high/deep";']))).toHaveLength(1);
  expect(layerRule(tree(["libs/low/src/a/b.ts", 'import "../c.ts";']))).toEqual([]);
});

test("tidy: layers 2 to 4 are pure, but for libraries of C, and import nothing impure (canary)", () => {
  const packages = [
    { ...low, layer: 2, pure: false },
    { ...low, directory: "ffi/low", layer: 2, pure: false },
    { ...high, layer: 4, pure: true },
  ];
  expect(purityRule({ files: [], packages })).toEqual(["libs/low: layer 2 is pure"]);
  const files = [{ path: "libs/high/src/a.ts", text: 'import "@kiseki/low";' }];
  expect(purityRule({ files, packages: packages.slice(1) })).toHaveLength(1);
});

test("tidy: every file of ports is a port with a contract that somebody runs (canary)", () => {
  const other: readonly [string, string] = ["libs/ports/src/timer.ts", "export interface Wheel {}"];
  expect(contractRule(tree(other))).toHaveLength(1);
  const unused = ["libs/ports/src/clock.contract.ts", "function clockContract() {}"] as const;
  expect(contractRule(tree(port, unused))).toHaveLength(1);
});

test("tidy: stored bytes outside of libs/format have golden samples too (canary)", () => {
  const files = ["libs/cache/src/policy.ts", "libs/policy/src/stored-acl.ts"] as const;
  for (const path of files)
    expect(goldenRule(tree([path, "export function encodeA() {}"]))).toHaveLength(1);
  expect(goldenRule(tree(["libs/http/src/a.ts", "export function encodeA() {}"]))).toEqual([]);
});

test("tidy: flags of every program and variables of every script are looked for (canary)", () => {
  const page: readonly [string, string] = ["docs/operations.md", ""];
  const faults = operations(
    tree(
      page,
      ["apps/a/src/a.ts", 'option("--unheard-of <n>")'],
      ["libs/a/src/a.ts", 'env["KISEKI_UNHEARD_OF"]'],
      ["libs/ports/src/metric-table.ts", '"kiseki_unheard_of_total"'],
    ),
  );
  expect(faults).toContain("docs/operations.md: lacks --unheard-of");
  expect(faults).toContain("docs/operations.md: lacks KISEKI_UNHEARD_OF");
  expect(faults).toContain("docs/operations.md: lacks kiseki_unheard_of_total");
});

test("tidy: each fault of the canary for places is found", () => {
  expect(placeRule(tree(["a.md", `${host} ${"/ho"}me/me`]))).toHaveLength(2);
});

test("tidy: files of C, headers, Python and helpers of tests are measured (canary)", () => {
  for (const path of ["ffi/a/native/a.c", "ffi/a/native/a.h", "bench/a.py", "tests/support/a.ts"])
    expect(fileSizeRule(tree([path, "\n".repeat(601)]))).toHaveLength(1);
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
  expect(await findDead()).toEqual([]);
}, 60_000); // it computes all the while; 8 s of two free cores

test("tidy: nothing is exported or kept that nobody uses (canary)", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-dead-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const files = {
    "package.json":
      '{"name": "a", "type": "module", "dependencies": {"nobody-imports-it": "1.0.0"}}',
    "knip.json": '{"entry": ["main.ts"]}',
    "main.ts": 'import { a } from "./a.ts";\na();\n',
    "a.ts":
      "export const a = (): void => undefined;\nexport const b = 1;\nexport type C = string;\n",
    "lonely.ts": "export {};\n",
  };
  for (const [path, text] of Object.entries(files)) await Bun.write(join(folder, path), text);
  expect((await findDead(folder)).toSorted()).toEqual([
    "a.ts: exports: b",
    "a.ts: types: C",
    "lonely.ts: files: lonely.ts",
    "package.json: dependencies: nobody-imports-it",
  ]);
}, 20_000);

test("tidy: generated code is what a fresh run makes", async () => {
  const fresh = await generate();
  const here = await readFolder(join(root, "libs/rpc/src/gen"));
  expect(differences(fresh, here)).toEqual([]);
  // The canary: an edited file and one that no run makes.
  const [[path, text] = ["", ""]] = here;
  const edited = new Map(here).set(path, `${text} `).set("stale.ts", "");
  expect(differences(fresh, edited)).toEqual([path, "stale.ts"].toSorted());
}, 20_000);

test("tidy: the tables of docs/operations.md are what a fresh run makes", () => {
  const page = house.files.find(({ path }) => path === "docs/operations.md")!.text;
  const words = (text: string) => text.replace(/-{3,}/g, "---").split(/\s+/); // `bun fmt` pads the cells
  expect(words(renderTables(page))).toEqual(words(page));
});

test("tidy: the tables of docs/operations.md are what a fresh run makes (canary)", () => {
  const page = house.files.find(({ path }) => path === "docs/operations.md")!.text;
  const edited = page.replace("`--arena-size`", "`--area-size`");
  expect(edited).not.toBe(page);
  expect(renderTables(edited)).toContain("`--arena-size`");
});

test("tidy: bun.lockb names no registry", async () => {
  expect(await checkLockfile()).toEqual([]);
});

test("tidy: bun.lockb names no registry (canary)", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-lockfile-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const path = join(folder, "bun.lockb");
  await Bun.write(path, `\0\x01https://${host}/a/-/a-1.0.0.tgz\0`);
  expect(await checkLockfile(path)).toHaveLength(1);
});
