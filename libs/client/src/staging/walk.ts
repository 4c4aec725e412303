import { fromUtf8, type InodeId, toUtf8 } from "@kiseki/base";
import type { FileAttributes, FileRefusal, FileRefusalCode, FileService } from "@kiseki/vfs";

/** Spec §7.7. */
export const walkFilesMax = 100_000;
export const walkDepthMax = 10;
const listCountMax = 1024;
const listingMax = 8;

/** A regular file of a dataset. */
export interface WalkedFile {
  /** Below the dataset, `/` between names; what is no UTF-8 stands as `%XX`. Of a dataset that is a file: its name. */
  readonly path: string;
  readonly attributes: FileAttributes;
}
export interface Walked {
  readonly kind: "walked";
  readonly files: readonly WalkedFile[];
  /** What is no regular file and no directory: not staged. */
  readonly othersCount: number;
}
export type WalkFault =
  | { readonly kind: "refused"; readonly code: FileRefusalCode; readonly path: string }
  | { readonly kind: "too_many_files"; readonly count: number }
  | { readonly kind: "too_deep"; readonly path: string };

/** Names of a path from the root; `undefined`: one of them can be no name. */
export function datasetNames(dataset: string): readonly string[] | undefined {
  const names = dataset.split("/").filter((name) => name !== "");
  const isRight = names.every((name) => {
    const size = toUtf8(name).byteLength;
    return name !== "." && name !== ".." && size <= 255 && !name.includes("\0");
  });
  return isRight ? names : undefined;
}

/** Bytes that are no UTF-8, and `%` itself, as `%XX`. */
export function nameText(name: Uint8Array): string {
  const text = fromUtf8(name);
  if (text !== undefined && !text.includes("%")) return text;
  return [...name]
    .map((byte) =>
      byte < 0x80 && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}

/** What was listed has gone since. */
export const isGone = (code: FileRefusalCode): boolean =>
  ["no_such_file", "no_such_key", "stale_file", "stale"].includes(code);

interface Folder {
  readonly inode: InodeId;
  readonly path: string;
  readonly depth: number;
}

/** All regular files below a path of the namespace. `onFound` hears how many there are so far. */
export async function walkDataset(
  files: FileService,
  names: readonly string[],
  signal: AbortSignal,
  onFound: (count: number) => void = () => undefined,
): Promise<Walked | WalkFault> {
  const start = await resolvePath(files, names);
  if (start.kind === "refused") return { ...start, path: names.join("/") };
  const walk = new Walk(files, signal, onFound);
  if (start.attributes.kind === "directory")
    return walk.run({ inode: start.attributes.ref.inode, path: "", depth: 0 });
  const path = names.at(-1) ?? "";
  walk.add(path, start.attributes);
  return walk.outcome();
}

async function resolvePath(
  files: FileService,
  names: readonly string[],
): Promise<{ readonly kind: "found"; readonly attributes: FileAttributes } | FileRefusal> {
  let found = await files.attributes(files.root);
  for (const name of names) {
    if ("code" in found) return found;
    found = await files.lookup({ parent: found.ref.inode, name: toUtf8(name) });
  }
  return "code" in found ? found : { kind: "found", attributes: found };
}

class Walk {
  readonly #service: FileService;
  readonly #signal: AbortSignal;
  readonly #onFound: (count: number) => void;
  readonly #files: WalkedFile[] = [];
  readonly #folders: Folder[] = [];
  #count = 0;
  #othersCount = 0;
  #fault: WalkFault | undefined;

  constructor(service: FileService, signal: AbortSignal, onFound: (count: number) => void) {
    this.#service = service;
    this.#signal = signal;
    this.#onFound = onFound;
  }

  /** Past the limit files are counted and no longer kept: the fault says how many there are. */
  async run(top: Folder): Promise<Walked | WalkFault> {
    this.#folders.push(top);
    const listing = new Set<Promise<void>>();
    for (;;) {
      const folder = this.#fault ? undefined : this.#folders.pop();
      if (folder === undefined && listing.size === 0) return this.outcome();
      if (folder !== undefined) {
        const listed: Promise<void> = this.#list(folder).finally(() => listing.delete(listed));
        listing.add(listed);
      }
      if (folder === undefined || listing.size >= listingMax) await Promise.race(listing);
    }
  }
  outcome(): Walked | WalkFault {
    if (this.#fault !== undefined) return this.#fault;
    if (this.#count > walkFilesMax) return { kind: "too_many_files", count: this.#count };
    return { kind: "walked", files: this.#files, othersCount: this.#othersCount };
  }

  async #list({ inode, path, depth }: Folder): Promise<void> {
    let cookie: Uint8Array | undefined;
    do {
      if (this.#signal.aborted) this.#fault ??= { kind: "refused", code: "interrupted", path };
      if (this.#fault !== undefined) return;
      const page = await this.#service.list(inode, cookie, listCountMax);
      if (page.kind === "refused") {
        // A folder that went meanwhile has no files.
        if (!isGone(page.code)) this.#fault = { ...page, path };
        return;
      }
      for (const { name, attributes } of page.entries) {
        const text = nameText(name);
        this.#entry(path === "" ? text : `${path}/${text}`, depth + 1, attributes);
      }
      this.#onFound(this.#count);
      cookie = page.next;
    } while (cookie !== undefined);
  }
  #entry(path: string, depth: number, attributes: FileAttributes): void {
    if (attributes.kind !== "directory") this.add(path, attributes);
    else if (depth <= walkDepthMax)
      this.#folders.push({ inode: attributes.ref.inode, path, depth });
    else this.#fault = { kind: "too_deep", path };
  }
  add(path: string, attributes: FileAttributes): void {
    if (attributes.kind !== "file") {
      this.#othersCount += 1;
      return;
    }
    this.#count += 1;
    if (this.#count <= walkFilesMax) this.#files.push({ path, attributes });
  }
}
