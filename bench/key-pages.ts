/** Pages of LIST over trees of many keys, each beside the same page among a hundredth of them. */
import { readFile } from "node:fs/promises";
import { xmlValues } from "../tests/support/s3-client.ts";
import { readCounters } from "./loader.ts";
import type { Server } from "./servers.ts";

/** Objects whose keys follow each other: `leaf` in a directory, or all in one. */
interface KeyTree {
  readonly prefix: string;
  readonly objects: number;
  readonly leaf: number;
}
type TreeName = "oneFew" | "manyFew" | "one" | "many";
/** How many objects of each tree are there. */
export type Progress = Readonly<Record<string, number>>;

/** At `many` of ten million: a directory of a million, a million directories of ten, and a hundredth of each. */
export function keyTrees(many: number): Readonly<Record<TreeName, KeyTree>> {
  const part = (divisor: number): number => Math.max(10, Math.floor(many / divisor / 10) * 10);
  return {
    oneFew: { prefix: "few/one/", objects: part(1000), leaf: 0 },
    manyFew: { prefix: "few/many/", objects: part(100), leaf: 10 },
    one: { prefix: "all/one/", objects: part(10), leaf: 0 },
    many: { prefix: "all/many/", objects: part(1), leaf: 10 },
  };
}

/** One page; `starts` are several places to ask it from, so that not all of them are of what was just read. */
interface Question {
  readonly prefix: string;
  readonly delimiter: string;
  readonly starts: readonly string[];
  /** Keys and common prefixes of each page. */
  readonly items: number;
}
interface Pair {
  readonly what: string;
  readonly full: Question;
  readonly few: Question;
}

const placesMax = 20;
const pageMax = 1000;

/** As the loader names them. */
export const keyOf = ({ prefix, leaf }: KeyTree, number: number): string => {
  const directory = leaf === 0 ? "" : `${String(Math.floor(number / leaf)).padStart(7, "0")}/`;
  return `${prefix}${directory}${String(number).padStart(8, "0")}`;
};

/** Object numbers spread over the tree, each with at least `room` behind it. */
function spread(count: number, room: number): readonly number[] {
  const last = Math.max(0, count - room - 10);
  const places = Math.min(placesMax, last + 1);
  return Array.from(
    { length: places },
    (_, at) => Math.floor((last * at) / Math.max(1, places - 1) / 10) * 10,
  );
}

/** What is asked; `progress`: how much of each tree is there. */
export function keyQuestions(
  trees: Readonly<Record<TreeName, KeyTree>>,
  progress: Progress,
): readonly Pair[] {
  const there = (name: TreeName): number => progress[name] ?? 0;
  const page = (name: TreeName): number => Math.min(pageMax, Math.ceil(there(name) / 2));
  const top = (prefix: string): Question => ({ prefix, delimiter: "/", starts: [""], items: 2 });
  const keysFrom = (name: TreeName, prefix = trees[name].prefix): Question => ({
    ...{ prefix, delimiter: "", items: page(name) },
    starts: spread(there(name), page(name)).map((number) => keyOf(trees[name], number)),
  });
  const directories = (name: TreeName): Question => {
    const items = Math.min(pageMax, Math.ceil(there(name) / 20));
    const starts = spread(there(name), items * 10).map((number) => keyOf(trees[name], number));
    return { prefix: trees[name].prefix, delimiter: "/", starts, items };
  };
  const inDirectory = (name: TreeName): Question => {
    const number = Math.floor(there(name) / 20) * 10;
    const key = keyOf(trees[name], number);
    const prefix = key.slice(0, key.lastIndexOf("/") + 1);
    return { prefix, delimiter: "/", starts: [""], items: 10 };
  };
  const noSlash = (name: TreeName): Question => {
    const { starts, ...rest } = keysFrom(name);
    return { ...rest, delimiter: "/", starts };
  };
  const pair = (what: string, full: Question, few: Question): Pair => ({ what, full, few });
  return [
    pair("all keys under one prefix, delimiter", top("all/"), top("few/")),
    pair("the bucket's root, delimiter", top(""), top("few/")),
    pair("one directory, from 20 places", keysFrom("one"), keysFrom("oneFew")),
    pair("one directory, delimiter, from 20 places", noSlash("one"), noSlash("oneFew")),
    pair(
      "directories of ten, delimiter, from 20 places",
      directories("many"),
      directories("manyFew"),
    ),
    pair("directories of ten, no delimiter, from 20 places", keysFrom("many"), keysFrom("manyFew")),
    pair("one of the directories of ten, delimiter", inDirectory("many"), inDirectory("manyFew")),
    pair(
      "no delimiter, no prefix, from 20 places",
      keysFrom("many", ""),
      keysFrom("manyFew", "few/many/"),
    ),
  ];
}

export interface PageCost {
  readonly items: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** User and system time of the server, a page. */
  readonly cpu_ms: number;
  /** That the server read from its files for a page when the place was asked for the first time; the median. */
  readonly cold_kilobytes: number;
}

async function readBytes(pid: number): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
}

const median = (values: readonly number[], part = 0.5): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
};

const roundsMin = 60;

/** Asks for the page from each of its places, and again. @throws {Error} when it has not the items that it must have. */
export async function timePages(server: Server, question: Question): Promise<PageCost> {
  using client = server.client();
  const { prefix, delimiter, starts, items } = question;
  const ask = async (start: string): Promise<number> => {
    const query = {
      ...{ "list-type": "2", "max-keys": String(starts.length === 1 ? pageMax : items), prefix },
      ...(delimiter === "" ? {} : { delimiter }),
      ...(start === "" ? {} : { "start-after": start }),
    };
    const began = performance.now();
    const { body } = await client.expect("GET", "bench", "", { query });
    const took = performance.now() - began;
    const found = Number(xmlValues(Buffer.from(body).toString("utf8"), "KeyCount")[0]);
    if (found !== items) {
      throw new Error(`Cannot bench: a page of ${prefix} from ${start} has ${found} of ${items}`);
    }
    return took;
  };
  const cold: number[] = [];
  for (const start of starts) {
    const before = await readBytes(server.pid);
    await ask(start);
    cold.push((await readBytes(server.pid)) - before);
  }
  const times: number[] = [];
  const before = await readCounters(server.pid);
  while (times.length < roundsMin) for (const start of starts) times.push(await ask(start));
  const after = await readCounters(server.pid);
  return {
    items,
    p50_ms: median(times),
    p99_ms: median(times, 0.99),
    cpu_ms: ((after.cpuSeconds - before.cpuSeconds) * 1000) / times.length,
    cold_kilobytes: median(cold) / 1000,
  };
}
