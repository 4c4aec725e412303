import {
  type Absent,
  type Attributes,
  type Caller,
  type Change,
  type Entry,
  fail,
  type Failure,
  failureOf,
  type FileNode,
  isFailure,
  nameKey,
  type NewNode,
  type NodeNumber,
  type Outcome,
  type RenameMode,
  rootNode,
  withoutSetId,
} from "@kiseki/vfs";
import type { Holds } from "./holds.ts";
import { after, isRefused, type Mount, type Settled } from "./mount.ts";
import type { Writer } from "./writing.ts";

export interface Name {
  readonly parent: NodeNumber;
  readonly name: Uint8Array;
}
export const nameSizeMax = 255;

/** Names, attributes and links. */
export class Metadata {
  readonly #mount: Mount;
  readonly #writer: Writer;
  readonly #holds: Holds;

  constructor(mount: Mount, writer: Writer, holds: Holds) {
    this.#mount = mount;
    this.#writer = writer;
    this.#holds = holds;
  }

  lookup(parent: NodeNumber, name: Uint8Array): Outcome<Entry | Absent> {
    const mount = this.#mount;
    if (name.byteLength > nameSizeMax) return fail("ENAMETOOLONG");
    const key = nameKey(name);
    if (key === "." || key === "..") return this.#lookupDot(parent, key);
    const now = mount.now();
    const number = mount.names.get(parent, key, now);
    if (number === 0)
      return { node: 0, entryTtlMs: Math.max(0, mount.names.until(parent, key) - now) };
    const node = number === undefined ? undefined : mount.nodes.get(number);
    if (node !== undefined && node.isFresh(now))
      return mount.enter(node, mount.names.until(parent, key));
    const absentUntil = mount.names.absentUntil(parent, key);
    if (absentUntil <= now) return this.#lookup(parent, name, key);
    // Remembered by its name, so that the kernel is told when somebody makes it.
    mount.names.set(parent, key, 0, absentUntil);
    return { node: 0, entryTtlMs: absentUntil - now };
  }

  /** Asked by who has a handle of a directory and no path to it. */
  #lookupDot(number: NodeNumber, name: "." | ".."): Outcome<Entry> {
    const mount = this.#mount;
    const above = name === "." ? number : mount.nodes.get(number)?.place?.parent;
    const node = mount.node(above ?? (number === rootNode ? number : 0));
    if (isFailure(node)) return node;
    return after(mount.refresh(node), (failure) => failure ?? mount.enter(node, 0));
  }

  async #lookup(
    parent: NodeNumber,
    name: Uint8Array,
    key: string,
  ): Promise<Entry | Absent | Failure> {
    const found = await this.find({ parent, name }, key);
    if (isFailure(found)) return found;
    const until = this.#mount.names.until(parent, key);
    if (found !== undefined) return this.#mount.enter(found, until);
    return { node: 0, entryTtlMs: Math.max(0, until - this.#mount.now()) };
  }

  /** Asks what a name means; `undefined`: nothing. */
  async find(name: Name, key = nameKey(name.name)): Promise<FileNode | undefined | Failure> {
    const mount = this.#mount;
    const directory = mount.node(name.parent);
    if (isFailure(directory)) return directory;
    const asked = mount.now();
    const { doubts } = directory;
    const target = mount.names.last(name.parent, key);
    const known = target === undefined ? undefined : mount.nodes.get(target);
    const doubtsOfKnown = known?.doubts;
    const answer = await mount.service.lookup({ parent: directory.ref.inode, name: name.name });
    const until = doubts === directory.doubts ? mount.until(asked) : 0;
    if (isRefused(answer)) {
      const failure = failureOf(answer.code);
      if (failure.name !== "ENOENT") return failure;
      mount.names.set(name.parent, key, 0, until);
      return undefined;
    }
    const node = mount.nodes.getOrMake(answer);
    mount.note(node, answer, asked, node === known ? doubtsOfKnown : undefined);
    this.place(node, name.parent, key, until);
    return node;
  }

  /** Remembers that the name means the node. */
  place(node: FileNode, parent: NodeNumber, key: string, until: number): void {
    this.#mount.names.set(parent, key, node.number, until);
    if (node.kind === "directory") node.place = { parent, name: key };
  }

  getattr(number: NodeNumber): Outcome<Attributes> {
    const mount = this.#mount;
    const node = mount.node(number);
    if (isFailure(node)) return node;
    return after(mount.refresh(node), (failure) => failure ?? mount.show(node));
  }

  async setattr(number: NodeNumber, change: Change): Promise<Attributes | Failure> {
    const mount = this.#mount;
    const node = mount.node(number);
    if (isFailure(node)) return node;
    if (node.kind !== "file") {
      if (change.size !== undefined) return fail(node.kind === "directory" ? "EISDIR" : "EINVAL");
      return (await this.#setAttributes(node, change)) ?? mount.show(node);
    }
    const file = mount.file(node);
    try {
      return await file.exclusively(async () => {
        const { size } = change;
        let failure: Failure | undefined;
        // Bytes in memory that were written before would set the time again when they are stored.
        if (change.modified !== undefined) failure = await this.#writer.flushNow(file);
        if (failure === undefined && size !== undefined) failure = await this.truncate(node, size);
        failure ??= await this.#setAttributes(node, change);
        return failure ?? mount.show(node);
      });
    } finally {
      mount.release(file);
    }
  }

  /** By who has the file exclusively. */
  async truncate(node: FileNode, size: number): Promise<Failure | undefined> {
    const mount = this.#mount;
    const file = mount.file(node);
    const applied = await mount.apply({ kind: "truncate", file: node.ref, size });
    if (isFailure(applied)) return applied;
    this.#writer.cut(file, size);
    mount.settle(node, applied.attributes, true);
    file.forgetPlan();
    return undefined;
  }

  async #setAttributes(node: FileNode, change: Change): Promise<Failure | undefined> {
    const { uid, gid, accessed, modified } = change;
    const mode =
      change.isKillingPrivileges === true
        ? withoutSetId(change.mode ?? node.attributes.mode)
        : change.mode;
    const changes = {
      ...(mode !== undefined && mode !== node.attributes.mode && { mode }),
      ...(change.mode !== undefined && mode !== undefined && { mode }),
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
      ...(accessed !== undefined && { accessed }),
      ...(modified !== undefined && { modified }),
    };
    if (Object.keys(changes).length === 0) return undefined;
    const applied = await this.#mount.apply({ kind: "set_attributes", file: node.ref, changes });
    if (isFailure(applied)) return applied;
    this.#mount.settle(node, applied.attributes);
    return undefined;
  }

  /** Makes a node; answers it with the name remembered, not counted for the kernel. */
  async create(
    at: Name,
    node: NewNode,
    options: { readonly mode: number; readonly isExclusive: boolean },
    caller: Caller,
  ): Promise<FileNode | Failure> {
    const mount = this.#mount;
    const directory = mount.node(at.parent);
    if (isFailure(directory)) return directory;
    const asked = mount.now();
    const applied = await mount.apply({
      kind: "create",
      parent: directory.ref.inode,
      name: at.name,
      node,
      mode: options.mode & 0o7777,
      uid: caller.uid,
      gid: caller.gid,
      isExclusive: options.isExclusive,
    });
    if (isFailure(applied)) {
      // What is in the way is not what was remembered.
      this.#mount.names.forget(at.parent, nameKey(at.name));
      return applied;
    }
    const made = this.#placed(applied, at);
    if (made.kind === "directory" && options.isExclusive)
      mount.names.setWhole(made.number, mount.until(asked));
    return made;
  }
  #placed(applied: Settled, at: Name): FileNode {
    const mount = this.#mount;
    const node = mount.nodes.getOrMake(applied.attributes);
    mount.settle(node, applied.attributes);
    this.place(node, at.parent, nameKey(at.name), applied.namesUntil);
    return node;
  }

  async make(at: Name, node: NewNode, mode: number, caller: Caller): Promise<Entry | Failure> {
    const made = await this.create(at, node, { mode, isExclusive: true }, caller);
    if (isFailure(made)) return made;
    return this.#mount.enter(made, this.#mount.names.until(at.parent, nameKey(at.name)));
  }

  async link(number: NodeNumber, at: Name): Promise<Entry | Failure> {
    const mount = this.#mount;
    const node = mount.node(number);
    const directory = mount.node(at.parent);
    if (isFailure(node)) return node;
    if (isFailure(directory)) return directory;
    const applied = await mount.apply({
      kind: "link",
      file: node.ref,
      parent: directory.ref.inode,
      name: at.name,
    });
    if (isFailure(applied)) return applied;
    return mount.enter(this.#placed(applied, at), applied.namesUntil);
  }

  async remove(at: Name, kind: "unlink" | "remove_directory"): Promise<undefined | Failure> {
    const mount = this.#mount;
    const directory = mount.node(at.parent);
    if (isFailure(directory)) return directory;
    const victim = await this.#hold(at);
    if (isFailure(victim)) return victim;
    const key = nameKey(at.name);
    const last = mount.names.last(at.parent, key);
    const applied = await mount.apply({ kind, parent: directory.ref.inode, name: at.name });
    if (isFailure(applied)) {
      mount.names.forget(at.parent, key);
      return applied;
    }
    mount.names.set(at.parent, key, 0, applied.namesUntil);
    const told = mount.nodes.get(mount.nodes.numberOf(applied.attributes.ref.inode));
    const node = last === undefined ? undefined : mount.nodes.get(last);
    // By a name that was not known it may still be a file that is.
    if (told !== node) told?.doubt();
    if (node === undefined) return undefined;
    // A node may have nothing more to say of what is gone.
    if (told === node) mount.settle(node, applied.attributes);
    else node.doubt();
    if (node.kind === "directory") mount.names.forgetDirectory(node.number);
    return undefined;
  }

  /** A file that is open here and about to lose its last name: the node keeps it for this session. */
  async #hold(at: Name): Promise<undefined | Failure> {
    const mount = this.#mount;
    if (mount.files.size === 0) return undefined;
    const key = nameKey(at.name);
    const number = mount.names.get(at.parent, key, mount.now());
    let node = number === undefined ? undefined : mount.nodes.get(number);
    if (number === undefined) {
      const found = await this.find(at, key);
      if (isFailure(found)) return found;
      node = found;
    }
    const file = node === undefined ? undefined : mount.files.get(node.number);
    if (file !== undefined && file.handles > 0) return this.#holds.hold(file);
    if (node !== undefined) mount.nodes.release(node);
    return undefined;
  }

  async rename(source: Name, target: Name, mode: RenameMode): Promise<undefined | Failure> {
    const mount = this.#mount;
    const from = mount.node(source.parent);
    const to = mount.node(target.parent);
    if (isFailure(from)) return from;
    if (isFailure(to)) return to;
    const sourceKey = nameKey(source.name);
    const targetKey = nameKey(target.name);
    if (mode === "replace") {
      const held = await this.#hold(target);
      if (isFailure(held)) return held;
    }
    const replaced = mount.names.last(target.parent, targetKey);
    const applied = await mount.apply({
      kind: "rename",
      source: { parent: from.ref.inode, name: source.name },
      target: { parent: to.ref.inode, name: target.name },
      mode,
    });
    mount.names.forget(source.parent, sourceKey);
    mount.names.forget(target.parent, targetKey);
    if (isFailure(applied)) return applied;
    const until = applied.namesUntil;
    const moved = mount.nodes.getOrMake(applied.attributes);
    mount.settle(moved, applied.attributes);
    const isSame = source.parent === target.parent && sourceKey === targetKey;
    const other = replaced === undefined ? undefined : mount.nodes.get(replaced);
    if (mode === "exchange") {
      if (other !== undefined) this.place(other, source.parent, sourceKey, until);
    } else if (!isSame && other !== moved) mount.names.set(source.parent, sourceKey, 0, until);
    this.place(moved, target.parent, targetKey, until);
    if (other !== undefined && other !== moved) other.doubt();
    mount.nodes.release(moved);
    return undefined;
  }
}
