import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { FuseRequest } from "@kiseki/fuse";
import type { Answer } from "./answer.ts";

const typeMask = 0o170000;
const directoryType = 0o040000;
const attemptsMax = 40;
const pauseMs = 25;

/**
 * Makes the kernel give up inodes that it reads by itself. A file that is said to be a directory is not the one that it knows:
 * every handle of that fails (EIO), and who looks the name up again gets another inode. To be told so the kernel has to ask:
 * somebody looks at the file until it is a directory.
 */
export class Revoking {
  readonly #root: string;
  readonly #invalidate: (node: number) => void;
  readonly #nodes = new Set<number>();

  /** `root`: where the mount is. `invalidate`: the kernel's attributes of a node are not to be believed. */
  constructor(root: string, invalidate: (node: number) => void) {
    this.#root = root;
    this.#invalidate = invalidate;
  }

  /** False: nobody could be made to ask, for the file is at none of the paths. */
  async revoke(node: number, paths: readonly string[]): Promise<boolean> {
    this.#nodes.add(node);
    try {
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        this.#invalidate(node);
        for (const path of paths) if (await this.#isGivenUp(node, path)) return true;
        await Bun.sleep(pauseMs);
      }
      return false;
    } finally {
      this.#nodes.delete(node);
    }
  }
  /** Looks by a thread of the runtime: what it asks is answered here meanwhile. */
  async #isGivenUp(node: number, path: string): Promise<boolean> {
    const found = await stat(join(this.#root, path)).catch(() => undefined);
    return found !== undefined && found.ino === node && found.isDirectory();
  }

  /** What the kernel is told instead, good for no time. */
  answered(request: FuseRequest, reply: Answer): Answer {
    if (this.#nodes.size === 0) return reply;
    if (reply.kind === "attributes" && this.#nodes.has(request.node))
      return { ...reply, attributes: asDirectory(reply.attributes), validity: 0 };
    if (reply.kind !== "entry" || !this.#nodes.has(reply.entry.node)) return reply;
    const attributes = asDirectory(reply.entry.attributes);
    return {
      ...reply,
      entry: { ...reply.entry, attributes, validity: { name: 0, attributes: 0 } },
    };
  }
}
function asDirectory<T extends { readonly mode: number }>(attributes: T): T {
  return { ...attributes, mode: (attributes.mode & ~typeMask) | directoryType };
}
