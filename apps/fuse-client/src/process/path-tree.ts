/** Paths of a namespace and the nodes that they lead to: what a kernel does for a mount. */
import { sameBytes } from "@kiseki/base";
import {
  type Caller,
  fail,
  type Failure,
  type FileKind,
  type FileSystem,
  isFailure,
  type NodeAttributes,
  type NodeNumber,
  rootNode,
} from "@kiseki/vfs";
import type { CacheCounters } from "../cache-counters.ts";

const linksMax = 40;
const partsMax = 1024;
const slash = 47;
const above = Uint8Array.of(46, 46);
/** Nodes that the file system keeps for us. */
const heldMax = 100_000;

export interface Found {
  readonly node: NodeNumber;
  readonly kind: FileKind;
}
const root: Found = { node: rootNode, kind: "directory" };
/** The last part of a path, in its directory. */
export interface Place {
  readonly parent: NodeNumber;
  readonly name: Uint8Array;
}

function partsOf(path: Uint8Array): Uint8Array[] | Failure {
  if (path.includes(0)) return fail("EINVAL");
  const parts: Uint8Array[] = [];
  for (let at = 0; at < path.byteLength;) {
    const next = path.indexOf(slash, at);
    const end = next < 0 ? path.byteLength : next;
    const isHere = end === at || (end === at + 1 && path[at] === 46);
    if (!isHere) parts.push(path.subarray(at, end));
    at = end + 1;
  }
  return parts.length > partsMax ? fail("ENAMETOOLONG") : parts;
}

/** Walks paths from the root of the namespace on. Absolute targets of symlinks start there too. */
export class PathTree {
  readonly #files: FileSystem;
  readonly #counters: CacheCounters;
  readonly #held = new Set<NodeNumber>();
  readonly caller: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: 0 };

  constructor(files: FileSystem, counters: CacheCounters) {
    this.#files = files;
    this.#counters = counters;
  }

  /** The file system gave us an entry of `node`, which then stays until many others were met. */
  hold(node: NodeNumber): void {
    if (node === rootNode) return;
    if (this.#held.delete(node)) this.#files.forget(node, 1);
    this.#held.add(node);
    if (this.#held.size <= heldMax) return;
    const [oldest] = this.#held;
    this.#held.delete(oldest!);
    this.#files.forget(oldest!, 1);
  }

  async find(path: Uint8Array, isFollowing = true): Promise<Found | Failure> {
    const parts = partsOf(path);
    if (isFailure(parts)) return parts;
    return this.#walk(parts, isFollowing);
  }

  /** Where the last part of `path` is, or would be. */
  async place(path: Uint8Array): Promise<Place | Failure> {
    const parts = partsOf(path);
    if (isFailure(parts)) return parts;
    const name = parts.pop();
    if (name === undefined || sameBytes(name, above)) return fail("EINVAL");
    const walked = await this.#walk(parts, true);
    return isFailure(walked) ? walked : { parent: walked.node, name };
  }

  async attributes({ node }: Found): Promise<NodeAttributes | Failure> {
    const known = await this.#files.getattr(node);
    return isFailure(known) ? known : known.attributes;
  }

  async #walk(parts: readonly Uint8Array[], isFollowing: boolean): Promise<Found | Failure> {
    const left = [...parts].reverse();
    const trail: Found[] = [root];
    let links = 0;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      const at = trail.at(-1)!;
      if (at.kind !== "directory") return fail("ENOTDIR");
      if (sameBytes(name, above)) {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const entry = await this.#look(at.node, name);
      if (isFailure(entry)) return entry;
      const isLast = left.length === 0;
      if (entry.kind !== "symlink" || (isLast && !isFollowing)) {
        trail.push(entry);
        continue;
      }
      links += 1;
      const target = await this.#files.readlink(entry.node);
      if (isFailure(target)) return target;
      const more = partsOf(target);
      if (isFailure(more)) return more;
      if (links > linksMax || left.length + more.length > partsMax) return fail("ELOOP");
      if (target[0] === slash) trail.length = 1;
      left.push(...more.reverse());
    }
    return trail.at(-1)!;
  }

  async #look(parent: NodeNumber, name: Uint8Array): Promise<Found | Failure> {
    const looked = this.#files.lookup(parent, name);
    const isKnown = !(looked instanceof Promise);
    if (isKnown) this.#counters.metaHits += 1;
    else this.#counters.metaMisses += 1;
    const entry = isKnown ? looked : await looked;
    if (isFailure(entry)) return entry;
    if (!("attributes" in entry)) return fail("ENOENT");
    this.hold(entry.node);
    return { node: entry.node, kind: entry.attributes.kind };
  }
}
