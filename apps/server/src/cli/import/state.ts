/** How far an import has come, in a file of its own: what it names is copied and checked. */
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { CommandError, exitCode } from "@kiseki/cli";
import { messageOf, objectsOf, parseObject, textOf } from "./export-files.ts";

export interface BucketState {
  /** Every key up to this one is done. */
  readonly after: string;
  readonly isDone: boolean;
}

const version = 1;
const sizeMax = 64 * 1024 * 1024;

/** Rewritten whole and synced at each step; a crash leaves the old one or the new one. */
export class ImportState {
  readonly #path: string | undefined;
  readonly #source: string;
  readonly #buckets = new Map<string, BucketState>();

  private constructor(path: string | undefined, source: string) {
    this.#path = path;
    this.#source = source;
  }

  /** `path` undefined: kept in memory. @throws {CommandError} for a file that is another's. */
  static async open(path: string | undefined, source: string): Promise<ImportState> {
    const state = new ImportState(path, source);
    if (path === undefined) return state;
    const text = await readIfThere(path);
    if (text === undefined) return state;
    const kept = text.length > sizeMax ? undefined : parseObject(text);
    if (kept?.["version"] !== version || kept["source"] !== source) {
      const message = `${path} is not the state of an import from ${source}`;
      throw new CommandError(exitCode.arguments, message, "Name another file with --state.");
    }
    for (const [name, row] of objectsOf(kept["buckets"])) {
      state.#buckets.set(name, { after: textOf(row["after"]), isDone: row["isDone"] === true });
    }
    return state;
  }

  bucket(name: string): BucketState {
    return this.#buckets.get(name) ?? { after: "", isDone: false };
  }

  async set(name: string, bucket: BucketState): Promise<void> {
    this.#buckets.set(name, bucket);
    if (this.#path === undefined) return;
    const buckets = Object.fromEntries(this.#buckets);
    const text = `${JSON.stringify({ version, source: this.#source, buckets }, undefined, 1)}\n`;
    const beside = `${this.#path}.new`;
    {
      await using file = await open(beside, "w", 0o600);
      await file.writeFile(text);
      await file.sync();
    }
    await rename(beside, this.#path);
    await using folder = await open(dirname(this.#path), "r");
    await folder.sync();
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (reason) {
    if (reason instanceof Error && "code" in reason && reason.code === "ENOENT") return undefined;
    throw new CommandError(exitCode.arguments, `Cannot use ${path}: ${messageOf(reason)}`);
  }
}
