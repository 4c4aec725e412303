import type { ErrnoName, FileKind, RenameMode } from "@kiseki/vfs";

export interface ModelNode {
  readonly kind: FileKind;
  mode: number;
  links: number;
  data: Uint8Array;
  target: string;
  readonly entries: Map<string, ModelNode>;
  parent: ModelNode | undefined;
  readonly xattrs: Map<string, string>;
}
const made = (kind: FileKind, mode: number): ModelNode => ({
  kind,
  mode,
  links: kind === "directory" ? 2 : 1,
  data: new Uint8Array(0),
  target: "",
  entries: new Map(),
  parent: undefined,
  xattrs: new Map(),
});

/** A place by name: the directory is there. */
export interface ModelPlace {
  readonly directory: ModelNode;
  readonly name: string;
}
export type ModelOutcome = ErrnoName | "none";

/** What POSIX says of a tree, as plainly as it can be said: the oracle of the model test. */
export class ModelFs {
  readonly root = made("directory", 0o755);

  get({ directory, name }: ModelPlace): ModelNode | undefined {
    return directory.entries.get(name);
  }
  #put({ directory, name }: ModelPlace, node: ModelNode): void {
    directory.entries.set(name, node);
    if (node.kind !== "directory") return;
    node.parent = directory;
    directory.links += 1;
  }
  #take({ directory, name }: ModelPlace): void {
    if (directory.entries.get(name)?.kind === "directory") directory.links -= 1;
    directory.entries.delete(name);
  }

  make(place: ModelPlace, kind: FileKind, mode: number, target = ""): ModelOutcome {
    if (this.get(place) !== undefined) return "EEXIST";
    const node = made(kind, mode);
    node.target = target;
    this.#put(place, node);
    return "none";
  }
  link(node: ModelNode, place: ModelPlace): ModelOutcome {
    if (this.get(place) !== undefined) return "EEXIST";
    this.#put(place, node);
    node.links += 1;
    return "none";
  }
  unlink(place: ModelPlace): ModelOutcome {
    const node = this.get(place);
    if (node === undefined) return "ENOENT";
    if (node.kind === "directory") return "EISDIR";
    this.#take(place);
    node.links -= 1;
    return "none";
  }
  rmdir(place: ModelPlace): ModelOutcome {
    const node = this.get(place);
    if (node === undefined) return "ENOENT";
    if (node.kind !== "directory") return "ENOTDIR";
    if (node.entries.size > 0) return "ENOTEMPTY";
    this.#take(place);
    return "none";
  }
  rename(source: ModelPlace, target: ModelPlace, mode: RenameMode): ModelOutcome {
    const moved = this.get(source);
    const there = this.get(target);
    if (moved === undefined) return "ENOENT";
    if (mode === "no_replace" && there !== undefined) return "EEXIST";
    if (mode === "exchange" && there === undefined) return "ENOENT";
    if (isAbove(moved, target.directory)) return "EINVAL";
    if (moved === there) return "none";
    if (mode === "replace" && there !== undefined) {
      if (moved.kind === "directory" && there.kind !== "directory") return "ENOTDIR";
      if (moved.kind !== "directory" && there.kind === "directory") return "EISDIR";
      if (there.entries.size > 0) return "ENOTEMPTY";
    }
    if (there !== undefined) this.#take(target);
    this.#take(source);
    this.#put(target, moved);
    if (there !== undefined && mode === "exchange") this.#put(source, there);
    else if (there !== undefined && there.kind !== "directory") there.links -= 1;
    return "none";
  }
}
export function isAbove(node: ModelNode, below: ModelNode): boolean {
  for (let at: ModelNode | undefined = below; at !== undefined; at = at.parent)
    if (at === node) return true;
  return false;
}

export function modelWrite(node: ModelNode, offset: number, bytes: Uint8Array): void {
  const size = Math.max(node.data.byteLength, offset + bytes.byteLength);
  const data = new Uint8Array(size);
  data.set(node.data);
  data.set(bytes, offset);
  node.data = data;
}
export function modelResize(node: ModelNode, size: number): void {
  const data = new Uint8Array(size);
  data.set(node.data.subarray(0, size));
  node.data = data;
}
