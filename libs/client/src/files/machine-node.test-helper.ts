import {
  chunkId,
  inodeId,
  namespaceId,
  newBytes,
  operationId,
  sealId,
  toHex,
  wallTime,
  keyset,
} from "@kiseki/base";
import {
  apply,
  type Answer,
  type ContentPiece,
  decide,
  defaultLimits,
  type DirKeys,
  type FileAttributes as MachineAttributes,
  type FileRef as MachineRef,
  findLock,
  getFile,
  getXattr,
  listDirectory,
  listXattrs,
  type LockRange,
  lookupName,
  lookupNamespace,
  type Operation,
  readFileContent,
  readLink,
  type RefusalCode,
  seekFile,
  statNamespace,
  type WritePiece,
} from "@kiseki/composition";
import { checkMap, memoryMap } from "@kiseki/composition/contract";
import type { ChunkAddress, ChunkSeal, SmallRef } from "@kiseki/format";
import type {
  Answered,
  Applied,
  ContentStore,
  FileAttributes,
  FileLock,
  FileOperation,
  FilePage,
  FileRef,
  FileRefusal,
  FileService,
  FileServiceListener,
  FileSystemStatistics,
  LockAnswer,
  NameRef,
  PlacedContent,
  PlanPiece,
  ReadPlan,
  StoredContent,
} from "@kiseki/vfs";
import { createCipheriv, createHash, createHmac } from "node:crypto";

const namespace = namespaceId(newBytes(16).fill(0xa));
const secret = newBytes(32).fill(7);
const smallSizeMax = 4096;
/** Of a file's end that is wherever it is. */
const lockEnd = 1n << 63n;
const planPiecesMax = 200;

function makeDirKeys(): DirKeys {
  const cached = new Map<bigint, Uint8Array>();
  return {
    dirKey(inode) {
      const known = cached.get(inode);
      if (known !== undefined) return known;
      const block = newBytes(16);
      new DataView(block.buffer).setBigUint64(8, inode);
      const cipher = createCipheriv("aes-256-ecb", secret, null).setAutoPadding(false);
      const made = Uint8Array.from(cipher.update(block));
      cached.set(inode, made);
      return made;
    },
    hiddenName: (dirKey, name) =>
      Uint8Array.from(createHmac("sha256", secret).update(dirKey).update(name).digest()).slice(
        0,
        16,
      ),
  };
}
type Refused = { readonly kind: "refused"; readonly code: RefusalCode };
const isRefused = (answer: object): answer is Refused =>
  "kind" in answer && answer.kind === "refused";

function fromMachine(found: MachineAttributes): FileAttributes {
  const { ref, type, rdev, atime, mtime, ctime, btime, ...rest } = found;
  const { hint } = ref;
  const named = hint === undefined ? {} : { hint: { parent: hint.directory, name: hint.name } };
  return {
    ...rest,
    ref: { inode: ref.inode, home: ref.home, ...named },
    kind:
      type === "char" || type === "block"
        ? `${type === "char" ? "character" : "block"}_device`
        : type,
    device: rdev,
    accessed: atime,
    modified: mtime,
    changed: ctime,
    born: btime,
  };
}
function toMachine(ref: FileRef): MachineRef {
  const { inode, home, hint } = ref;
  const named = hint === undefined ? {} : { hint: { directory: hint.parent, name: hint.name } };
  return { namespace, inode, home, ...named };
}
const toRange = (lock: Omit<FileLock, "type">, type: FileLock["type"] = "write"): LockRange => ({
  space: lock.kind === "range" ? "posix" : "flock",
  kind: type === "write" ? "exclusive" : "shared",
  owner: lock.owner,
  start: lock.start,
  end: lock.end ?? lockEnd,
  pid: lock.pid,
});
const fromRange = ({ space, kind, owner, start, end, pid }: LockRange): FileLock => ({
  kind: space === "posix" ? "range" : "whole",
  type: kind === "exclusive" ? "write" : "read",
  owner,
  start,
  end: end === lockEnd ? undefined : end,
  pid,
});

/** The real machine of a shard over a map in memory, and chunks in memory: a node without disk and wire. */
export class MachineNode {
  readonly map = memoryMap();
  readonly dirKeys = makeDirKeys();
  readonly chunks = new Map<string, Uint8Array>();
  readonly root;
  #now = 1_700_000_000_000;
  #number = 0;

  readonly #clock: () => number;

  /** `clock`: milliseconds since 1970; each operation is later than the one before. */
  constructor(clock: () => number = () => 0) {
    this.#clock = clock;
    const made = this.decide({ kind: "create_namespace", id: namespace, name: "n" });
    if (isRefused(made)) throw new Error(made.code);
    this.root = lookupNamespace(this.map, "n")!.root;
  }
  open(): MachineSession {
    this.#number += 1;
    const client = newBytes(16).fill(this.#number);
    const expires = wallTime(this.#now + 1e12);
    this.decide({ kind: "open_session", client, expires });
    return new MachineSession(this, client);
  }
  number(): number {
    this.#number += 1;
    return this.#number;
  }

  decide(operation: Operation): Answer | Refused {
    this.#now = Math.max(this.#now + 1, this.#clock());
    const id = newBytes(16);
    new DataView(id.buffer).setUint32(0, this.number());
    const decision = decide(this.map, operation, {
      now: wallTime(this.#now),
      operationId: operationId(id),
      dirKeys: this.dirKeys,
      md5: (...parts) => {
        const hash = createHash("md5");
        for (const part of parts) hash.update(part);
        return Uint8Array.from(hash.digest());
      },
      limits: defaultLimits,
    });
    if (decision.kind === "refused") return decision;
    if (decision.kind === "change") apply(this.map, decision.change);
    return decision.answer;
  }
  /** Every count in the map is what it should be. */
  check(): void {
    checkMap(this.map, this.dirKeys);
  }
}

type Stored = { readonly address: ChunkAddress; readonly seal: ChunkSeal };

export class MachineSession implements FileService, ContentStore {
  readonly root: FileRef;
  readonly #node: MachineNode;
  readonly #client: Uint8Array;

  constructor(node: MachineNode, client: Uint8Array) {
    this.#node = node;
    this.#client = client;
    this.root = { inode: node.root, home: 0n };
  }
  listen(_listener: FileServiceListener): void {}

  async apply(operation: FileOperation): Answered<Applied> {
    const answer = this.#node.decide(this.#operation(operation));
    if (isRefused(answer)) return answer;
    if (answer.kind === "file") {
      const { attributes, directories, offset, length } = answer;
      return {
        kind: "applied",
        attributes: fromMachine(attributes),
        directories: (directories ?? []).map(fromMachine),
        ...(offset !== undefined && { offset }),
        ...(length !== undefined && { length }),
      };
    }
    const file = "file" in operation ? operation.file : this.root;
    const found = await this.attributes(file);
    const attributes = isRefused(found) ? await this.attributes(this.root) : found;
    return { kind: "applied", attributes: attributes as FileAttributes, directories: [] };
  }

  #operation(operation: FileOperation): Operation {
    const client = this.#client;
    const place = (at: NameRef) => ({ directory: at.parent, name: at.name });
    const on = (file: FileRef) => ({ namespace, file: toMachine(file), isKeepingSetId: true });
    switch (operation.kind) {
      case "create": {
        const { node, isExclusive, mode, uid, gid } = operation;
        return {
          ...{
            kind: "make_node",
            namespace,
            ...place(operation),
            type: node.kind.replace("character_device", "char").replace("_device", ""),
          },
          ...{ isExclusive, mode, uid, gid },
          ...("target" in node && { target: node.target }),
          ...("device" in node && { rdev: node.device }),
        } as Operation;
      }
      case "link":
        return { kind: "link", namespace, ...place(operation), file: toMachine(operation.file) };
      case "unlink":
        return { kind: "unlink", namespace, ...place(operation) };
      case "remove_directory":
        return { kind: "rmdir", namespace, ...place(operation) };
      case "rename": {
        const ends = { from: place(operation.source), to: place(operation.target) };
        const { mode } = operation;
        const flag = mode === "no_replace" ? "noreplace" : "exchange";
        return { kind: "rename", namespace, ...ends, ...(mode !== "replace" && { flag }) };
      }
      case "set_attributes": {
        const { mode, uid, gid, accessed, modified } = operation.changes;
        return {
          ...{ kind: "set_attributes", namespace, file: toMachine(operation.file) },
          ...(mode !== undefined && { mode }),
          ...(uid !== undefined && { uid }),
          ...(gid !== undefined && { gid }),
          ...(accessed !== undefined && { atime: accessed }),
          ...(modified !== undefined && { mtime: modified }),
        } as Operation;
      }
      case "set_xattr": {
        const { name: attribute, value, mode } = operation;
        const flag = mode === "set" ? {} : { flag: mode };
        return { kind: "set_xattr", ...on(operation.file), attribute, value, ...flag };
      }
      case "remove_xattr":
        return { kind: "remove_xattr", ...on(operation.file), attribute: operation.name };
      case "open":
      case "release": {
        const kind = operation.kind === "open" ? "open_file" : "close_file";
        return { kind, ...on(operation.file), client };
      }
      default:
        return this.#edit(operation);
    }
  }

  #edit(
    operation: Extract<
      FileOperation,
      { readonly kind: "write" | "append" | "truncate" | "allocate" | "copy_range" }
    >,
  ): Operation {
    const on = (file: FileRef) => ({ namespace, file: toMachine(file), isKeepingSetId: true });
    switch (operation.kind) {
      case "write":
        return { kind: "write_file", ...on(operation.file), pieces: piecesOf(operation.pieces) };
      case "append": {
        const pieces = piecesOf([{ offset: 0, content: operation.content }]);
        return { kind: "append_file", ...on(operation.file), pieces };
      }
      case "truncate":
        return { kind: "truncate_file", ...on(operation.file), size: operation.size };
      case "allocate": {
        const { mode, offset: start, length, isSizeKept } = operation;
        const range = { mode, start, end: start + length, isSizeKept };
        return { kind: "allocate_file", ...on(operation.file), ...range };
      }
      default: {
        const { source, sourceOffset: sourceStart, targetOffset: start, length } = operation;
        const range = { source: toMachine(source), sourceStart, start, length };
        return { kind: "copy_range", ...on(operation.target), ...range };
      }
    }
  }

  #found(
    found: { readonly kind: "file"; readonly attributes: MachineAttributes } | Refused,
  ): FileAttributes | Refused {
    return isRefused(found) ? found : fromMachine(found.attributes);
  }
  async lookup(at: NameRef): Answered<FileAttributes> {
    const place = { namespace, directory: at.parent, name: at.name };
    return this.#found(lookupName(this.#node.map, this.#node.dirKeys, place));
  }
  async attributes(file: FileRef): Answered<FileAttributes> {
    return this.#found(getFile(this.#node.map, this.#node.dirKeys, toMachine(file)));
  }
  async list(inode: bigint, after: Uint8Array | undefined, countMax: number): Answered<FilePage> {
    const query = { namespace, directory: inodeId(inode), after, countMax };
    const page = listDirectory(this.#node.map, this.#node.dirKeys, query);
    if (isRefused(page)) return page;
    const entries = page.items.map(({ name, attributes, cookie }) => ({
      ...{ name, cookie, attributes: fromMachine(attributes) },
    }));
    return { kind: "page", entries, next: page.next };
  }
  async readlink(file: FileRef): Answered<{ kind: "target"; target: Uint8Array }> {
    return readLink(this.#node.map, this.#node.dirKeys, toMachine(file));
  }
  async getXattr(file: FileRef, name: Uint8Array): Answered<{ kind: "value"; value: Uint8Array }> {
    return getXattr(this.#node.map, this.#node.dirKeys, toMachine(file), name);
  }
  async listXattrs(file: FileRef): Answered<{ kind: "names"; names: readonly Uint8Array[] }> {
    return listXattrs(this.#node.map, this.#node.dirKeys, toMachine(file));
  }
  async statistics(): Answered<FileSystemStatistics> {
    const status = statNamespace(this.#node.map, namespace);
    if (isRefused(status)) return status;
    const bytes = { bytesTotal: status.bytes, bytesFree: 0, bytesAvailable: 0 };
    return { kind: "statistics", ...bytes, filesTotal: status.objects, filesFree: 0 };
  }
  async plan(file: FileRef, start: number, end: number): Answered<ReadPlan> {
    const query = { file: toMachine(file), start, end, countMax: planPiecesMax };
    const found = readFileContent(this.#node.map, this.#node.dirKeys, query);
    if (isRefused(found)) return found;
    const { size, contentVersion } = found.attributes;
    const pieces = found.page.pieces.map(fromPiece);
    return { kind: "plan", size, contentVersion, pieces, leaseMs: 60_000 };
  }
  async seek(
    file: FileRef,
    offset: number,
    what: "data" | "hole",
  ): Answered<{ kind: "at"; offset: number }> {
    const query = { file: toMachine(file), offset, what };
    const found = seekFile(this.#node.map, this.#node.dirKeys, query);
    if (isRefused(found)) return found;
    if (found.kind === "none") return { kind: "refused", code: "no_data" };
    if (found.kind === "more") return this.seek(file, found.offset, what);
    return { kind: "at", offset: found.offset };
  }

  async lock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    const operation = { ...toRange(lock, lock.type) };
    const on = { namespace, file: toMachine(file), client: this.#client };
    const answer = this.#node.decide({ kind: "lock", ...on, lock: operation });
    if (!isRefused(answer)) return { kind: "granted" };
    return answer.code === "lock_conflict" ? this.testLock(file, lock) : answer;
  }
  async testLock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    const query = { file: toMachine(file), client: this.#client, lock: toRange(lock, lock.type) };
    const found = findLock(this.#node.map, this.#node.dirKeys, query);
    if (isRefused(found)) return found;
    return found.kind === "free"
      ? { kind: "granted" }
      : { kind: "held", by: fromRange(found.lock) };
  }
  async unlock(file: FileRef, lock: Omit<FileLock, "type">): Answered<{ kind: "unlocked" }> {
    const on = { namespace, file: toMachine(file), client: this.#client };
    const answer = this.#node.decide({ kind: "unlock", ...on, lock: toRange(lock) });
    return isRefused(answer) ? answer : { kind: "unlocked" };
  }

  async write(_file: FileRef, source: Uint8Array): Promise<StoredContent> {
    const id = newBytes(32);
    new DataView(id.buffer).setUint32(0, this.#node.number());
    const key = toHex(id);
    this.#node.chunks.set(key, source.slice());
    const address: ChunkAddress = {
      chunkId: chunkId(id),
      pool: 0,
      profile: { kind: "copies", copies: 1 },
    };
    const seal: ChunkSeal = {
      sealId: sealId(id.slice(0, 16)),
      keyset: keyset(1),
      placementEpoch: 1,
      size: source.byteLength,
      missing: 0,
    };
    return { length: source.byteLength, stored: { address, seal } satisfies Stored };
  }
  async read(
    piece: PlanPiece & { readonly kind: "chunk" },
    start: number,
    target: Uint8Array,
  ): Promise<{ kind: "read" } | FileRefusal> {
    const bytes = this.#node.chunks.get(toHex(piece.chunkId));
    if (bytes === undefined) return { kind: "refused", code: "damaged" };
    const from = piece.chunkOffset + start;
    target.set(bytes.subarray(from, from + target.byteLength));
    return { kind: "read" };
  }
}

function piecesOf(placed: readonly PlacedContent[]): WritePiece[] {
  return placed.map(({ offset, content, start = 0, length = content.length }) => {
    const { address, seal } = content.stored as Stored;
    const range = { offset, length, chunkOffset: start };
    if (content.length > smallSizeMax) return { kind: "chunk", ...range, ...address, seal };
    const ref: SmallRef = { ...address, ...seal };
    return { kind: "small", ...range, ref };
  });
}
function fromPiece(piece: ContentPiece): PlanPiece {
  if (piece.kind === "hole") return piece;
  const { offset, length, chunkOffset, address } = piece;
  return { kind: "chunk", offset, length, chunkOffset, chunkId: address.chunkId, access: piece };
}
