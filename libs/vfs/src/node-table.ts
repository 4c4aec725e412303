import { assert } from "@kiseki/base";
import type { FileAttributes, FileKind, FileRef } from "./file-service.ts";
import { type NodeNumber, rootNode } from "./file-system.ts";

/** How an answer about a node stands to what was known: see `FileNode.note`. */
export type Noted = "same" | "content_changed" | "older";

/** One inode that the kernel or a handle knows, with what a node last told about it. */
export class FileNode {
  readonly number: NodeNumber;
  readonly kind: FileKind;
  /** Entries that the kernel was given and has not given back. */
  lookups = 0;
  /** Open handles, and others that need the node to stay. */
  uses = 0;
  #attributes: FileAttributes;
  #until = 0;
  #doubts = 0;
  /** Values of extended attributes; `undefined`: not there. Good for as long as the attributes are. */
  xattrs: Map<string, Uint8Array | undefined> | undefined;
  /** The content version of which the kernel has pages, where it has any. */
  pagesVersion: bigint | undefined;
  /** This client wrote content since the kernel's pages were last dropped. */
  isWritten = false;
  /** Somebody else changed it since attributes were last asked for. */
  isForeign = false;
  /** When this client changed it last, in the caller's clock. */
  changedAt = -Infinity;
  /** Of a directory: the name by which it was seen last. */
  place: { readonly parent: NodeNumber; readonly name: string } | undefined;
  #withdraw: (() => void) | undefined;

  constructor(number: NodeNumber, attributes: FileAttributes) {
    this.number = number;
    this.kind = attributes.kind;
    this.#attributes = attributes;
  }

  get ref(): FileRef {
    return this.#attributes.ref;
  }
  /** As last told, however long ago. */
  get attributes(): FileAttributes {
    return this.#attributes;
  }
  get until(): number {
    return this.#until;
  }
  /** Grows with each doubt: an answer to what was asked before one is not believed for longer than it takes to tell. */
  get doubts(): number {
    return this.#doubts;
  }
  isFresh(now: number): boolean {
    return now < this.#until;
  }

  /** What is known may be wrong from now on. */
  doubt(): void {
    this.endVouch();
    this.#until = 0;
    this.#doubts += 1;
    this.xattrs = undefined;
  }

  /** Somebody answers for the node without asking here, until `withdraw`, which comes before anything else is known of it. */
  vouch(withdraw: () => void): void {
    this.#withdraw = withdraw;
  }
  endVouch(): void {
    const withdraw = this.#withdraw;
    this.#withdraw = undefined;
    withdraw?.();
  }

  /**
   * Takes over an answer that is good until `until`. `doubts`: as it was when the question was asked. Answers may come
   * in another order than they were given: an older one changes nothing, nor does one from before a doubt unless it is
   * newer for certain.
   */
  note(attributes: FileAttributes, until: number, doubts = this.#doubts): Noted {
    const known = this.#attributes;
    const isDoubtful = doubts !== this.#doubts;
    if (attributes.changed < known.changed || (isDoubtful && attributes.changed === known.changed))
      return "older";
    if (attributes.changed !== known.changed) this.xattrs = undefined;
    this.#attributes =
      attributes.ref.hint === undefined && known.ref.hint !== undefined
        ? { ...attributes, ref: { ...attributes.ref, hint: known.ref.hint } }
        : attributes;
    if (!isDoubtful) this.#until = Math.max(this.#until, until);
    return attributes.contentVersion === known.contentVersion ? "same" : "content_changed";
  }

  /** Takes over what an operation of this client left; answers that were asked for before it are older. */
  settle(attributes: FileAttributes, until: number, now: number): Noted {
    this.doubt();
    this.changedAt = now;
    return this.note(attributes, until);
  }
}

/** Node numbers of the kernel and what they stand for. A number is the inode's, so it survives a remount. */
export class NodeTable {
  readonly #nodes = new Map<NodeNumber, FileNode>();
  readonly #rootInode: bigint;

  constructor(root: FileRef) {
    this.#rootInode = root.inode;
  }

  get count(): number {
    return this.#nodes.size;
  }
  values(): Iterable<FileNode> {
    return this.#nodes.values();
  }
  get(number: NodeNumber): FileNode | undefined {
    return this.#nodes.get(number);
  }
  numberOf(inode: bigint): NodeNumber {
    if (inode === this.#rootInode) return rootNode;
    const number = Number(inode);
    assert(number > rootNode && Number.isSafeInteger(number), "an inode number fits the kernel's");
    return number;
  }
  /** The node of an inode, made of `attributes` when it was not known. */
  getOrMake(attributes: FileAttributes): FileNode {
    const number = this.numberOf(attributes.ref.inode);
    const known = this.#nodes.get(number);
    if (known !== undefined) return known;
    const made = new FileNode(number, attributes);
    this.#nodes.set(number, made);
    return made;
  }
  /** The kernel gives back `count` entries. */
  forget(number: NodeNumber, count: number): void {
    const node = this.#nodes.get(number);
    if (node === undefined) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.release(node);
  }
  /** Lets a node go that nobody needs any more. */
  release(node: FileNode): void {
    if (node.lookups > 0 || node.uses > 0 || node.number === rootNode) return;
    node.endVouch();
    this.#nodes.delete(node.number);
  }
}
