import { join } from "node:path/posix";
import { isTest, isTypeScript, lineOf, type Package, packageOf, parse, type Rule } from "./tree.ts";

/** Packages of this layer are for tests and no program imports them: they see what is kept for tests. */
const testLayer = 8;

/** A package imports lower layers only, and only by their public index. Type imports count too. */
export const layerRule: Rule = (tree) => {
  const faults: string[] = [];
  const byName = new Map(tree.packages.map((each) => [each.name, each]));
  for (const file of tree.files.filter(isTypeScript)) {
    const own = packageOf(tree, file.path);
    if (own === undefined) continue;
    for (const { module, start } of parse(file).imports) {
      const at = `${file.path}:${lineOf(file.text, start)}`;
      const isOutside =
        module.startsWith("..") && !join(file.path, "..", module).startsWith(`${own.directory}/`);
      if (isOutside) faults.push(`${at}: reaches into ${module}`);
      if (!module.startsWith("@kiseki/")) continue;
      const [scope, name, ...rest] = module.split("/");
      const target = byName.get(`${scope}/${name}`);
      if (!target) faults.push(`${at}: ${module} is no package of the house`);
      else if (isTest(file.path)) continue;
      else if (rest.length > 0 && own.layer !== testLayer)
        faults.push(`${at}: ${module} is for tests only`);
      else if (target.layer >= own.layer && target !== own) {
        faults.push(`${at}: layer ${own.layer} may not import ${module} of layer ${target.layer}`);
      }
    }
  }
  return faults;
};

const impureModule = /^(node:|bun:|bun$|elysia|drizzle-orm|jose|pino|prom-client|@connectrpc)/;
const impureWord =
  /\b(Date\.now|new Date\(\s*\)|performance\.|Math\.random|crypto\.(getRandomValues|randomUUID|subtle)|setTimeout|setInterval|setImmediate|queueMicrotask|(?<![.#\w])fetch\(|process\.|Bun\.|console\.|async\b|await\b)/;

/** Packages of these layers are pure, but for the libraries of C. */
const isPureByLayer = ({ layer, directory }: Package): boolean =>
  layer >= 2 && layer <= 4 && !directory.startsWith("ffi/");

/** A pure package reaches clock, chance, files and network through ports, and waits for nothing. */
export const purityRule: Rule = (tree) => {
  const pure = new Set(tree.packages.filter((each) => each.pure).map(({ name }) => name));
  const faults = tree.packages
    .filter((each) => isPureByLayer(each) && !each.pure)
    .map(({ directory, layer }) => `${directory}: layer ${layer} is pure`);
  for (const file of tree.files.filter(isTypeScript)) {
    if (!packageOf(tree, file.path)?.pure || isTest(file.path)) continue;
    const { imports, code } = parse(file);
    for (const { module, start } of imports) {
      const isImpurePackage = module.startsWith("@kiseki/") && !pure.has(module);
      if (!impureModule.test(module) && !isImpurePackage) continue;
      faults.push(`${file.path}:${lineOf(file.text, start)}: pure, yet imports ${module}`);
    }
    const word = impureWord.exec(code);
    if (word) {
      faults.push(`${file.path}:${lineOf(code, word.index)}: pure, yet says ${word[0].trim()}`);
    }
  }
  return faults;
};

/** An index is a list of names written by hand. */
export const starRule: Rule = (tree) =>
  tree.files
    .filter(isTypeScript)
    .flatMap((file) =>
      [...parse(file).code.matchAll(/\bexport\s+(type\s+)?\*/g)].map(
        ({ index }) => `${file.path}:${lineOf(file.text, index)}: name what is exported`,
      ),
    );

/** The one module whose business is memory that C sees (facts: addresses of small arrays go stale). */
export const memoryModule = "ffi/datapath/src/arena.ts";

/** `ptr()` of a typed array is a stale address in waiting. */
export const pointerRule: Rule = (tree) =>
  tree.files.filter(isTypeScript).flatMap((file) => {
    if (file.path === memoryModule) return [];
    const { imports, code } = parse(file);
    const imported = imports.filter(
      ({ module, names }) =>
        module === "bun:ffi" && names.some((name) => /^(ptr|\*|NamespaceObject)$/.test(name)),
    );
    const called = [...code.matchAll(/\bptr\s*\(/g)];
    return [...imported.map(({ start }) => start), ...called.map(({ index }) => index)].map(
      (at) => `${file.path}:${lineOf(file.text, at)}: ptr() belongs to ${memoryModule}`,
    );
  });
