/** LIST over trees of several shapes, each beside a tree of the same shape with a hundredth of the objects. */
import { xmlValues } from "../tests/support/s3-client.ts";
import { type Case, readCounters, runCase } from "./loader.ts";
import type { Server } from "./servers.ts";

interface Tree {
  readonly prefix: string;
  readonly objects: number;
  readonly tree?: NonNullable<Case["tree"]>;
}

/** What is asked of a tree: pages of `pageSize` under `prefix`. */
interface Question {
  readonly prefix: string;
  readonly delimiter: string;
  readonly pageSize: number;
}

/** The same question to the full tree and to one with about a hundredth of its objects, whose pages are as long. */
interface Shape {
  readonly what: string;
  readonly full: Question;
  readonly small: Question;
  /** Keys and common prefixes that a walk over the full tree must find. */
  readonly expected: number;
}

/** Pages of one walk after another, in ms each. */
interface Walk {
  readonly found: number;
  readonly pages: readonly number[];
  readonly p50: number;
  readonly p99: number;
  /** Median of the last tenth of the pages of a walk over that of the first tenth. */
  readonly lastOverFirst: number;
  readonly cpuMsPerPage: number;
}

export interface ShapeResult {
  readonly what: string;
  readonly full: Walk;
  readonly small: Walk;
  /** Median time of a page in the full tree over that in the small one. */
  readonly ratio: number;
}

/** Pages that a figure is of, at least: short walks are repeated. */
const pagesMin = 60;
const bucket = "bench";

/** `objects` in all: eight tenths flat, a tenth in 1,000 directories, a tenth six levels deep; and the small trees. */
function treesOf(objects: number): Readonly<Record<string, Tree>> {
  const tenth = Math.floor(objects / 10);
  const hundredth = (count: number): number => Math.max(1, Math.floor(count / 100));
  return {
    flat: { prefix: "flat/", objects: 8 * tenth },
    flatSmall: { prefix: "flat-small/", objects: hundredth(8 * tenth) },
    wide: { prefix: "wide/", objects: tenth, tree: { depth: 1, fan: 1000 } },
    // As many objects a directory, and as many directories.
    wideFew: { prefix: "wide-few/", objects: hundredth(tenth), tree: { depth: 1, fan: 10 } },
    wideThin: { prefix: "wide-thin/", objects: 1000, tree: { depth: 1, fan: 1000 } },
    deep: { prefix: "deep/", objects: tenth, tree: { depth: 6, fan: 4 } },
    deepSmall: { prefix: "deep-small/", objects: hundredth(tenth), tree: { depth: 6, fan: 2 } },
  };
}

function shapesOf(objects: number): readonly Shape[] {
  const trees = treesOf(objects);
  const ask = (name: string, pageSize: number, delimiter = "", below = ""): Question => ({
    ...{ prefix: `${trees[name]!.prefix}${below}`, delimiter, pageSize },
  });
  const inOne = Math.floor(trees["wide"]!.objects / 1000);
  const page = (name: string): number => Math.min(1000, trees[name]!.objects);
  const deepest = "0000/0000/0000/0000/0000/";
  return [
    {
      what: "flat",
      full: ask("flat", page("flatSmall")),
      small: ask("flatSmall", page("flatSmall")),
      expected: trees["flat"]!.objects,
    },
    {
      what: "1,000 directories, delimiter",
      full: ask("wide", 1000, "/"),
      small: ask("wideThin", 1000, "/"),
      expected: 1000,
    },
    {
      what: "one of 1,000 directories, delimiter",
      full: ask("wide", 1000, "/", "0007/"),
      small: ask("wideFew", 1000, "/", "0007/"),
      expected: inOne,
    },
    {
      what: "1,000 directories, no delimiter",
      full: ask("wide", page("wideFew")),
      small: ask("wideFew", page("wideFew")),
      expected: trees["wide"]!.objects,
    },
    {
      what: "six levels deep, no delimiter",
      full: ask("deep", page("deepSmall")),
      small: ask("deepSmall", page("deepSmall")),
      expected: trees["deep"]!.objects,
    },
    {
      what: "six levels deep, delimiter at the top",
      full: ask("deep", 2, "/"),
      small: ask("deepSmall", 2, "/"),
      expected: 4,
    },
    {
      what: "six levels deep, delimiter at the sixth",
      full: ask("deep", 2, "/", deepest),
      small: ask("deepSmall", 2, "/", deepest),
      expected: 4,
    },
  ];
}

/** Puts all trees; answers how many objects there are. */
export async function loadTrees(server: Server, objects: number): Promise<number> {
  let count = 0;
  for (const [name, tree] of Object.entries(treesOf(objects))) {
    const load: Case = {
      ...{ ...tree, name, operation: "put", size: 100, connections: 64, seed: 3 },
    };
    const { operations, errors, wrong } = await runCase(server, load, 3600);
    if (operations !== tree.objects || errors + wrong > 0) {
      throw new Error(`Cannot bench: of ${tree.objects} objects ${operations} were put`);
    }
    count += operations;
  }
  return count;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** One walk from the first page to the last; answers what it found and how long each page took. */
async function walkOnce(
  server: Server,
  { prefix, delimiter, pageSize }: Question,
): Promise<{ readonly found: number; readonly pages: readonly number[] }> {
  using client = server.client();
  const pages: number[] = [];
  let found = 0;
  for (let token: string | undefined = ""; token !== undefined;) {
    const query = {
      ...{ "list-type": "2", "max-keys": String(pageSize), prefix },
      ...(delimiter === "" ? {} : { delimiter }),
      ...(token === "" ? {} : { "continuation-token": token }),
    };
    const started = performance.now();
    const { body } = await client.expect("GET", bucket, "", { query });
    pages.push(performance.now() - started);
    const text = Buffer.from(body).toString("utf8");
    found += Number(xmlValues(text, "KeyCount")[0]);
    token = xmlValues(text, "NextContinuationToken")[0];
  }
  return { found, pages };
}

async function walk(server: Server, question: Question): Promise<Walk> {
  await walkOnce(server, { ...question, prefix: `${question.prefix}none` });
  const before = await readCounters(server.pid);
  const walks = [await walkOnce(server, question)];
  while (walks.length * walks[0]!.pages.length < pagesMin) {
    walks.push(await walkOnce(server, question));
  }
  const after = await readCounters(server.pid);
  const pages = walks.flatMap((one) => one.pages);
  const tenth = Math.max(1, Math.floor(walks[0]!.pages.length / 10));
  const first = quantile(
    walks.flatMap((one) => one.pages.slice(0, tenth)),
    0.5,
  );
  const last = quantile(
    walks.flatMap((one) => one.pages.slice(-tenth)),
    0.5,
  );
  return {
    found: walks[0]!.found,
    pages,
    p50: quantile(pages, 0.5),
    p99: quantile(pages, 0.99),
    lastOverFirst: last / first,
    cpuMsPerPage: ((after.cpuSeconds - before.cpuSeconds) * 1000) / pages.length,
  };
}

/** Asks each question of the full tree and of the small one. @throws {Error} when a walk misses keys. */
export async function measureShapes(
  server: Server,
  objects: number,
): Promise<readonly ShapeResult[]> {
  const results: ShapeResult[] = [];
  for (const { what, full, small, expected } of shapesOf(objects)) {
    const few = await walk(server, small);
    const many = await walk(server, full);
    if (many.found !== expected) {
      throw new Error(`Cannot bench: LIST found ${many.found} of ${expected}, ${what}`);
    }
    results.push({ what, full: many, small: few, ratio: many.p50 / few.p50 });
  }
  return results;
}
