/** MinIO's export files: what `mc admin cluster iam export` and `mc admin cluster bucket export` write. */
import { readFile, stat } from "node:fs/promises";
import { MiB } from "@kiseki/base";
import { unzipSync } from "fflate";
import { CommandError, exitCode } from "@kiseki/cli";

const zipSizeMax = 256 * MiB;
const fileSizeMax = 64 * MiB;
const totalSizeMax = 512 * MiB;
const fileCountMax = 100_000;

/** Files of an export by their path. */
export type ExportFiles = ReadonlyMap<string, string>;

const cannotUse = (path: string, why: string): CommandError =>
  new CommandError(exitCode.arguments, `Cannot use ${path}: ${why}`);

/** Sizes are looked at before anything is unpacked, and nothing is unpacked beyond the size that was looked at. @throws {CommandError} */
export async function readExport(path: string): Promise<ExportFiles> {
  const bytes = await readBounded(path);
  let total = 0;
  let count = 0;
  const isWanted = (file: { readonly name: string; readonly originalSize: number }): boolean => {
    count += 1;
    total += file.originalSize;
    if (count > fileCountMax) throw cannotUse(path, `it holds more than ${fileCountMax} files`);
    if (file.originalSize > fileSizeMax || total > totalSizeMax) {
      throw cannotUse(path, `${file.name.slice(0, 200)} is too large for an export`);
    }
    return !file.name.endsWith("/");
  };
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    const files = Object.entries(unzipSync(bytes, { filter: isWanted }));
    return new Map(files.map(([name, content]) => [name, decoder.decode(content)]));
  } catch (reason) {
    if (reason instanceof CommandError) throw reason;
    throw cannotUse(path, `it is not a zip file of MinIO's export (${messageOf(reason)})`);
  }
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > zipSizeMax) throw cannotUse(path, `it is larger than ${zipSizeMax / MiB} MiB`);
    return new Uint8Array(await readFile(path));
  } catch (reason) {
    if (reason instanceof CommandError) throw reason;
    throw cannotUse(path, messageOf(reason));
  }
}

export const messageOf = (reason: unknown): string =>
  reason instanceof Error ? reason.message : "unknown";

export type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The object of a JSON text; undefined when it is not one. */
export function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined;
    throw reason;
  }
}

/** The objects in an object of objects, by their names. */
export function objectsOf(value: unknown): readonly (readonly [name: string, value: Json])[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, item]) => (isObject(item) ? [[name, item]] : []));
}

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
