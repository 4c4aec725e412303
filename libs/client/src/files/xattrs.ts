import {
  fail,
  type Failure,
  failureOf,
  isFailure,
  nameKey,
  type NodeNumber,
  type Outcome,
  type XattrMode,
} from "@kiseki/vfs";
import { isRefused, type Mount } from "./mount.ts";

/** Extended attributes. What was asked is remembered for as long as the inode's attributes are believed. */
export class Xattrs {
  readonly #mount: Mount;

  constructor(mount: Mount) {
    this.#mount = mount;
  }

  get(number: NodeNumber, name: Uint8Array): Outcome<Uint8Array> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    const key = nameKey(name);
    if (node.isFresh(this.#mount.now()) && node.xattrs?.has(key) === true)
      return node.xattrs.get(key) ?? fail("ENODATA");
    return this.#get(number, name, key);
  }

  async #get(number: NodeNumber, name: Uint8Array, key: string): Promise<Uint8Array | Failure> {
    const node = this.#mount.nodes.get(number)!;
    const { doubts } = node;
    const answer = await this.#mount.service.getXattr(node.ref, name);
    const failure = isRefused(answer) ? failureOf(answer.code) : undefined;
    if (failure !== undefined && failure.name !== "ENODATA") return failure;
    const value = isRefused(answer) ? undefined : answer.value;
    if (doubts === node.doubts) {
      node.xattrs ??= new Map();
      node.xattrs.set(key, value);
    }
    return value ?? fail("ENODATA");
  }

  async list(number: NodeNumber): Promise<readonly Uint8Array[] | Failure> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    const answer = await this.#mount.service.listXattrs(node.ref);
    return isRefused(answer) ? failureOf(answer.code) : answer.names;
  }

  async set(
    number: NodeNumber,
    name: Uint8Array,
    value: Uint8Array,
    mode: XattrMode,
  ): Promise<undefined | Failure> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    const applied = await this.#mount.apply({
      kind: "set_xattr",
      file: node.ref,
      name,
      value,
      mode,
    });
    if (isFailure(applied)) return applied;
    this.#mount.settle(node, applied.attributes);
    return undefined;
  }

  async remove(number: NodeNumber, name: Uint8Array): Promise<undefined | Failure> {
    const node = this.#mount.node(number);
    if (isFailure(node)) return node;
    const applied = await this.#mount.apply({ kind: "remove_xattr", file: node.ref, name });
    if (isFailure(applied)) return applied;
    this.#mount.settle(node, applied.attributes);
    return undefined;
  }
}
