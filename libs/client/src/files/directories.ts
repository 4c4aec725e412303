import {
  CookieJar,
  type DirectoryEntry,
  fail,
  type Failure,
  failureOf,
  type FileNode,
  type FilePage,
  isFailure,
  type ListedEntry,
  nameKey,
  type Outcome,
} from "@kiseki/vfs";
import type { Metadata } from "./metadata.ts";
import { isRefused, type Mount } from "./mount.ts";

/** Entries of the first page, and of those behind it. */
const firstCount = 128;
const pageCount = 1024;
const dot = Uint8Array.of(46);
const dotDot = Uint8Array.of(46, 46);
/** `.` and `..` come before what the service lists. */
const dotsCount = 2;

interface Asked {
  readonly page: FilePage | Failure;
  /** When, in the mount's clock, and the directory's doubts then. */
  readonly askedAt: number;
  readonly doubts: number;
}

/** One opendir(3): the page at hand, the next one on its way, and the cookies that were given out. */
export class DirectoryHandle {
  readonly node: FileNode;
  readonly jar = new CookieJar();
  /** Entries of the page, the first of which is number `base` of the directory. */
  page: readonly ListedEntry[] = [];
  base = 0;
  /** The page ends the directory. */
  isEnd = false;
  askedAt = 0;
  doubts = 0;
  next: Promise<Asked> | undefined;

  constructor(node: FileNode) {
    this.node = node;
  }
  restart(): void {
    this.jar.clear();
    this.page = [];
    this.base = 0;
    this.isEnd = false;
    this.next = undefined;
  }
}

type Take = (entry: DirectoryEntry) => boolean;

export class Directories {
  readonly #mount: Mount;
  readonly #metadata: Metadata;

  constructor(mount: Mount, metadata: Metadata) {
    this.#mount = mount;
    this.#metadata = metadata;
  }

  read(handle: DirectoryHandle, cookie: number, isPlus: boolean, take: Take): Outcome<undefined> {
    if (cookie === 0) handle.restart();
    if (!Number.isSafeInteger(cookie) || cookie < 0 || cookie > handle.jar.count + dotsCount)
      return fail("EINVAL");
    let at = cookie;
    while (at < dotsCount) {
      if (!take(this.#dot(handle.node, at))) return undefined;
      at += 1;
    }
    return this.#readFrom(handle, at - dotsCount, isPlus, take);
  }

  #dot(node: FileNode, index: number): DirectoryEntry {
    const parent = index === 0 ? undefined : node.place?.parent;
    const shown = (parent === undefined ? undefined : this.#mount.nodes.get(parent)) ?? node;
    return {
      name: index === 0 ? dot : dotDot,
      kind: "directory",
      inode: Number(shown.ref.inode),
      entry: undefined,
      cookie: index + 1,
    };
  }

  #readFrom(
    handle: DirectoryHandle,
    index: number,
    isPlus: boolean,
    take: Take,
  ): Outcome<undefined> {
    for (let at = index; ; at += 1) {
      const entry = at < handle.base ? undefined : handle.page[at - handle.base];
      if (entry === undefined) {
        if (handle.isEnd && at === handle.base + handle.page.length) return undefined;
        return this.#turn(handle, at).then(
          (failure) => failure ?? this.#readFrom(handle, handle.base, isPlus, take),
        );
      }
      if (!this.#show(handle, entry, at, isPlus, take)) return undefined;
    }
  }

  #show(
    handle: DirectoryHandle,
    { name, attributes }: ListedEntry,
    at: number,
    isPlus: boolean,
    take: Take,
  ): boolean {
    const mount = this.#mount;
    const shown = {
      name,
      kind: attributes.kind,
      inode: Number(attributes.ref.inode),
      cookie: at + dotsCount + 1,
    };
    if (!isPlus) return take({ ...shown, entry: undefined });
    const isKnown = mount.nodes.get(mount.nodes.numberOf(attributes.ref.inode)) !== undefined;
    const node = mount.nodes.getOrMake(attributes);
    const isOlder = isKnown && node.changedAt >= handle.askedAt;
    if (!isOlder) mount.note(node, attributes, handle.askedAt);
    const isDoubtful = handle.doubts !== handle.node.doubts;
    const until = isDoubtful || isOlder ? 0 : mount.until(handle.askedAt);
    if (until > 0) this.#metadata.place(node, handle.node.number, nameKey(name), until);
    const entry = mount.enter(node, until);
    if (take({ ...shown, entry })) return true;
    mount.nodes.forget(node.number, 1);
    return false;
  }

  /** Brings the page behind number `at - 1`. Its entries get numbers that were not given out. */
  async #turn(handle: DirectoryHandle, at: number): Promise<Failure | undefined> {
    const isNext = at > 0 && at === handle.base + handle.page.length;
    const cookie = at === 0 ? undefined : handle.jar.get(at - 1);
    const ahead = isNext ? handle.next : undefined;
    handle.next = undefined;
    const { page, askedAt, doubts } = await (ahead ??
      this.#ask(handle, cookie, at === 0 ? firstCount : pageCount));
    if (isFailure(page)) return page;
    handle.page = page.entries;
    handle.base = handle.jar.count;
    handle.isEnd = page.next === undefined;
    handle.askedAt = askedAt;
    handle.doubts = doubts;
    for (const entry of page.entries) handle.jar.add(entry.cookie);
    if (page.next !== undefined) handle.next = this.#ask(handle, page.next, pageCount);
    return undefined;
  }

  /** A page with entries, or the last one. */
  async #ask(
    handle: DirectoryHandle,
    cookie: Uint8Array | undefined,
    countMax: number,
  ): Promise<Asked> {
    const askedAt = this.#mount.now();
    const { doubts } = handle.node;
    for (let from = cookie; ;) {
      const page = await this.#mount.service.list(handle.node.ref.inode, from, countMax);
      if (isRefused(page)) return { page: failureOf(page.code), askedAt, doubts };
      if (page.entries.length > 0 || page.next === undefined) return { page, askedAt, doubts };
      from = page.next;
    }
  }
}
