import { type Prng, prngFromSeed } from "@kiseki/base";
import type { FileKind, FileSystem, RenameMode } from "@kiseki/vfs";
import {
  isAbove,
  type ModelNode,
  ModelFs,
  type ModelPlace,
  modelResize,
  modelWrite,
} from "./model-fs.test-helper.ts";
import { bad, caller, good, readWrite, text, utf8 } from "./mount.test-helper.ts";

const names = ["a", "b", "c", "d", "e"];
interface Place extends ModelPlace {
  /** Node number of the directory. */
  readonly parent: number;
  readonly path: string;
}
interface OpenHandle {
  readonly fs: FileSystem;
  readonly handle: number;
  readonly node: ModelNode;
  readonly isAppending: boolean;
}

/**
 * Random operations on a tree through mounts that ask each time, each compared with what the model says: errors, links,
 * sizes, modes, names, bytes, of files too that have no name any more.
 */
export class TwoMounts {
  readonly #mounts: readonly FileSystem[];
  readonly #prng: Prng;
  readonly #model = new ModelFs();
  readonly #handles: OpenHandle[] = [];
  readonly #numbers = new Map<ModelNode, number>();
  #doing = "";

  constructor(mounts: readonly FileSystem[], seed: number) {
    this.#mounts = mounts;
    this.#prng = prngFromSeed(seed);
  }

  /** Path and bytes of each file that has a name. */
  *files(directory = this.#model.root, path = ""): Generator<readonly [string, Uint8Array]> {
    for (const [name, node] of directory.entries) {
      const below = path === "" ? name : `${path}/${name}`;
      if (node.kind === "file") yield [below, node.data];
      if (node.kind === "directory") yield* this.files(node, below);
    }
  }

  /** `during` takes each step, and may do what disturbs it. */
  async run(
    steps: number,
    during: (step: () => Promise<void>) => Promise<void> = (step) => step(),
  ): Promise<void> {
    for (let i = 0; i < steps; i += 1) {
      try {
        await during(() => this.#step());
        if (i % 50 === 0) await this.#compare();
      } catch (reason) {
        throw new Error(`step ${i}, ${this.#doing}: ${String(reason)}`, { cause: reason });
      }
    }
    await this.#compare();
    for (const { fs, handle } of this.#handles) await good(fs.release(handle));
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#prng.below(list.length)]!;
  }
  /** A name in a directory that is there, seen through `fs`. */
  async #place(fs: FileSystem): Promise<Place> {
    let directory = this.#model.root;
    let parent = 1;
    let path = "";
    for (let depth = this.#prng.below(4); depth > 0; depth -= 1) {
      const below = [...directory.entries].filter(([, { kind }]) => kind === "directory");
      if (below.length === 0) break;
      const [name, next] = this.#pick(below);
      parent = (await good(fs.lookup(parent, utf8(name)))).node;
      directory = next;
      path += `/${name}`;
    }
    const name = this.#pick(names);
    return { directory, parent, name, path: `${path}/${name}` };
  }
  #expect(got: string, wanted: string): void {
    if (got !== wanted) throw new Error(`${got}, not ${wanted}`);
  }
  /** The node number that a name has through `fs`; undefined with the model. */
  async #lookup(fs: FileSystem, place: Place): Promise<number | undefined> {
    const wanted = this.#model.get(place);
    const found = await good(fs.lookup(place.parent, utf8(place.name)));
    this.#expect(found.node === 0 ? "absent" : "there", wanted === undefined ? "absent" : "there");
    if (wanted === undefined || found.node === 0) return undefined;
    const known = this.#numbers.get(wanted);
    if (known !== undefined) this.#expect(`inode ${found.node}`, `inode ${known}`);
    this.#numbers.set(wanted, found.node);
    return found.node;
  }

  async #step(): Promise<void> {
    const fs = this.#pick(this.#mounts);
    const place = await this.#place(fs);
    const act = this.#prng.below(20);
    const at = utf8(place.name);
    this.#doing = `${act} ${place.path}`;
    if (act < 3) return this.#make(fs, place);
    if (act < 5)
      return this.#expect(await bad(fs.unlink(place.parent, at)), this.#model.unlink(place));
    if (act < 6)
      return this.#expect(await bad(fs.rmdir(place.parent, at)), this.#model.rmdir(place));
    if (act < 9) return this.#rename(fs, place);
    if (act < 10) return this.#link(fs, place);
    if (act < 13) return this.#open(fs, place);
    if (act < 14) return this.#change(fs, place);
    return this.#useHandle();
  }

  async #make(fs: FileSystem, place: Place): Promise<void> {
    const kind = this.#pick<FileKind>(["file", "directory", "directory", "symlink", "fifo"]);
    const mode = this.#prng.below(0o1000);
    const at = utf8(place.name);
    const bits = kind === "fifo" ? 0o010000 : 0o100000;
    const outcome =
      kind === "directory"
        ? fs.mkdir(place.parent, at, mode, caller)
        : kind === "symlink"
          ? fs.symlink(place.parent, at, utf8(place.path), caller)
          : fs.mknod(place.parent, at, { mode: bits | mode, device: 0 }, caller);
    const wanted = this.#model.make(place, kind, kind === "symlink" ? 0o777 : mode, place.path);
    this.#expect(await bad(outcome), wanted);
  }
  async #rename(fs: FileSystem, source: Place): Promise<void> {
    const target = await this.#place(fs);
    const mode = this.#pick<RenameMode>(["replace", "replace", "no_replace", "exchange"]);
    this.#doing += ` ${mode} ${target.path}`;
    const there = this.#model.get(target);
    const moved = this.#model.get(source);
    // The kernel answers these by itself.
    if (there !== undefined && isAbove(there, source.directory)) return;
    if (there !== undefined && moved !== undefined && isAbove(moved, target.directory)) return;
    const outcome = await bad(
      fs.rename(
        { parent: source.parent, name: utf8(source.name) },
        { parent: target.parent, name: utf8(target.name) },
        mode,
      ),
    );
    this.#expect(outcome, this.#model.rename(source, target, mode));
  }
  async #link(fs: FileSystem, place: Place): Promise<void> {
    const source = await this.#place(fs);
    const number = await this.#lookup(fs, source);
    const node = this.#model.get(source);
    if (number === undefined || node === undefined || node.kind === "directory") return;
    const outcome = await bad(fs.link(number, place.parent, utf8(place.name)));
    this.#expect(outcome, this.#model.link(node, place));
  }

  async #open(fs: FileSystem, place: Place): Promise<void> {
    if (this.#handles.length > 6) {
      const [closed] = this.#handles.splice(this.#prng.below(this.#handles.length), 1);
      await good(closed!.fs.flush(closed!.handle));
      return good(closed!.fs.release(closed!.handle));
    }
    const isAppending = this.#prng.chance(1, 3);
    const flags = { ...readWrite, isAppending, isTruncating: this.#prng.chance(1, 6) };
    const there = this.#model.get(place);
    if (there !== undefined && there.kind !== "file") return;
    const options = { mode: 0o640, isExclusive: this.#prng.chance(1, 4), flags };
    const created = await fs.create(place.parent, utf8(place.name), options, caller);
    const wanted = there !== undefined && options.isExclusive ? "EEXIST" : "none";
    this.#expect(await bad(created), wanted);
    if (wanted !== "none") return;
    if (there === undefined) this.#model.make(place, "file", options.mode);
    else if (flags.isTruncating) modelResize(there, 0);
    const { handle } = await good(created);
    this.#handles.push({ fs, handle, node: this.#model.get(place)!, isAppending });
  }

  async #useHandle(): Promise<void> {
    if (this.#handles.length === 0) return;
    const { fs, handle, node, isAppending } = this.#pick(this.#handles);
    const offset = this.#prng.below(30_000);
    const length = 1 + this.#prng.below(this.#prng.chance(1, 3) ? 20_000 : 100);
    this.#doing = `handle ${handle} at ${offset}, ${length}`;
    if (this.#prng.chance(1, 2)) {
      const bytes = this.#prng.fill(new Uint8Array(length));
      this.#expect(`${await good(fs.write(handle, offset, bytes))}`, `${length}`);
      return modelWrite(node, isAppending ? node.data.byteLength : offset, bytes);
    }
    const target = new Uint8Array(length);
    const count = await good(fs.read(handle, offset, target));
    this.#same(target.subarray(0, count), node.data.subarray(offset, offset + length));
  }
  #same(got: Uint8Array, wanted: Uint8Array): void {
    this.#expect(`${got.byteLength} bytes`, `${wanted.byteLength} bytes`);
    const at = got.findIndex((byte, i) => byte !== wanted[i]);
    if (at >= 0) throw new Error(`byte ${at} differs`);
  }

  async #change(fs: FileSystem, place: Place): Promise<void> {
    const number = await this.#lookup(fs, place);
    const node = this.#model.get(place);
    if (number === undefined || node === undefined || node.kind === "symlink") return;
    if (node.kind === "file" && this.#prng.chance(1, 2)) {
      const size = this.#prng.below(40_000);
      await good(fs.setattr(number, { size }));
      return modelResize(node, size);
    }
    if (this.#prng.chance(1, 2)) {
      node.mode = this.#prng.below(0o1000);
      await good(fs.setattr(number, { mode: node.mode }));
      return;
    }
    const value = `${this.#prng.below(1000)}`;
    await good(fs.setxattr(number, utf8("user.kiseki"), utf8(value), "set"));
    node.xattrs.set("user.kiseki", value);
  }

  /** The whole tree through each mount. */
  async #compare(): Promise<void> {
    for (const fs of this.#mounts) await this.#compareDirectory(fs, this.#model.root, 1, "");
  }
  async #compareDirectory(
    fs: FileSystem,
    directory: ModelNode,
    parent: number,
    path: string,
  ): Promise<void> {
    const { handle } = await good(fs.opendir(parent));
    const listed: string[] = [];
    let cookie = 0;
    let isMore = true;
    while (isMore) {
      isMore = false;
      await good(
        fs.readdir(handle, cookie, this.#prng.chance(1, 2), (entry) => {
          if (isMore && listed.length % 3 === 0) return false;
          isMore = true;
          listed.push(text(entry.name));
          cookie = entry.cookie;
          if (entry.entry !== undefined) fs.forget(entry.entry.node, 1);
          return true;
        }),
      );
    }
    fs.releasedir(handle);
    this.#expect(
      listed.sort().join(" "),
      [".", "..", ...directory.entries.keys()].sort().join(" "),
    );
    for (const [name, node] of directory.entries) {
      const place = { directory, parent, name, path: `${path}/${name}` };
      this.#doing = `compare ${place.path}`;
      await this.#compareNode(fs, node, place);
    }
  }
  async #compareNode(fs: FileSystem, node: ModelNode, place: Place): Promise<void> {
    const number = (await this.#lookup(fs, place))!;
    const { attributes } = await good(fs.getattr(number));
    const { kind, mode, links } = node;
    const shown = JSON.stringify([attributes.kind, attributes.mode, attributes.links]);
    this.#expect(shown, JSON.stringify([kind, mode, links]));
    const wanted = node.xattrs.get("user.kiseki");
    const value = await fs.getxattr(number, utf8("user.kiseki"));
    this.#expect(value instanceof Uint8Array ? text(value) : "none", wanted ?? "none");
    if (kind === "symlink") this.#expect(text(await good(fs.readlink(number))), node.target);
    if (kind === "file") {
      this.#expect(`${attributes.size}`, `${node.data.byteLength}`);
      const { handle } = await good(fs.open(number, readWrite));
      const target = new Uint8Array(node.data.byteLength + 10);
      const count = await good(fs.read(handle, 0, target));
      this.#same(target.subarray(0, count), node.data);
      await good(fs.release(handle));
    }
    if (kind === "directory") await this.#compareDirectory(fs, node, number, place.path);
    fs.forget(number, 1);
  }
}
