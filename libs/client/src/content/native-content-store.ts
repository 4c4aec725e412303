import { newBytes } from "@kiseki/base";
import { receiptSize } from "@kiseki/format";
import {
  type ArenaLease,
  type Clock,
  type Crypto,
  type Datapath,
  DatapathError,
  sealedSize,
  segmentSize,
  type UnsealJob,
} from "@kiseki/ports";
import type { ContentStore, FileRef, FileRefusal, PlanPiece, StoredContent } from "@kiseki/vfs";
import type { BulkReply } from "../bulk/bulk-connection.ts";
import { type BulkFault, bulkVerdict } from "../retry/fates.ts";
import { type Attempted, refused } from "../retry/persist.ts";
import type { Asking } from "../service/asking.ts";
import type { Session } from "../service/sessions.ts";
import { type ChunkAccess, chunkAccess } from "./access.ts";
import type { ByteGate } from "./byte-gate.ts";
import type { KeyLeases, LeasedKey } from "./key-leases.ts";
import type { RequestIds } from "./request-ids.ts";
import { Written, type WrittenPart } from "./written.ts";

/** Segments that one read asks for: several are under way while one is opened. */
const readSegmentsMax = 16;

/** A plan that was made under a node's last life is made anew: so often in one read. */
const renewalsMax = 2;

interface Ports {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly datapath: Datapath;
  readonly asking: Asking;
  readonly leases: KeyLeases;
  readonly gate: ByteGate;
  readonly requestIds: RequestIds;
}

/**
 * `ContentStore` over the bulk port. Plaintext is sealed here before the first byte leaves, and opened here after the last
 * has come; both in the arena, by native threads.
 */
export class NativeContentStore implements ContentStore {
  readonly #ports: Ports;

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  async write(_file: FileRef, source: Uint8Array): Promise<StoredContent | FileRefusal> {
    try {
      return await this.#write(source);
    } catch (reason) {
      return refused(codeOf(reason));
    }
  }

  async #write(source: Uint8Array): Promise<StoredContent | FileRefusal> {
    const session = await this.#ports.asking.persist((_last, leftMs) =>
      this.#ports.asking.session(leftMs),
    );
    if (session.kind === "refused") return session;
    const { chunkSizeMax } = session.value;
    const parts: WrittenPart[] = [];
    for (let start = 0; start < source.byteLength; start += chunkSizeMax) {
      const part = source.subarray(start, start + chunkSizeMax);
      const written = await this.#writeChunk(part);
      if ("kind" in written) return written;
      parts.push(written);
    }
    return { length: source.byteLength, stored: new Written(parts) };
  }

  async #writeChunk(source: Uint8Array): Promise<WrittenPart | FileRefusal> {
    const { datapath, gate, asking } = this.#ports;
    const size = source.byteLength;
    using share = await gate.take(size + sealedSize(size), asking.patienceMs);
    if (share === undefined) return refused("unreachable"); // those before it get no answers
    const { deadline } = asking;
    using plain = await datapath.arena.borrow(size, neverAborted);
    using sealed = await datapath.arena.borrow(sealedSize(size), neverAborted);
    plain.bytes.set(source);
    let sealing: Sealing | undefined;
    const ended = await asking.persist(async (last, leftMs) => {
      const session = await asking.session(leftMs);
      if (session.kind === "failed") return session;
      // A key of a session that is over is good for nothing; nor is one with which the node has found fault.
      if (sealing?.session !== session.value || last === "new_lease") {
        if (sealing && last === "new_lease") this.#ports.leases.distrust(sealing.key);
        const key = await this.#ports.leases.take(session.value, leftMs);
        if (key.kind === "failed") return key;
        sealing = await this.#seal(session.value, key.value, plain, sealed);
      }
      return await this.#send(sealing, sealed, size, deadline);
    });
    return ended.kind === "refused" ? ended : { receipt: ended.value, length: size };
  }

  async #seal(
    session: Session,
    key: LeasedKey,
    plain: ArenaLease,
    sealed: ArenaLease,
  ): Promise<Sealing> {
    const { datapath, crypto } = this.#ports;
    try {
      const [made] = await datapath.seal({
        source: { lease: plain, offset: 0, size: plain.bytes.byteLength },
        identity: key,
        profile: { kind: "copies", copies: 1 },
        headerRoom: 0,
        target: sealed,
      });
      return { session, key, payloadCrc: made!.crc32c };
    } finally {
      crypto.wipe(key.dek);
    }
  }

  /** One attempt to store what is sealed. */
  async #send(
    { session, key, payloadCrc }: Sealing,
    sealed: ArenaLease,
    size: number,
    deadline: number,
  ): Promise<Attempted<Uint8Array>> {
    const { chunkId, sealId, capability } = key;
    const isSmall = size <= session.smallSizeMax;
    const target = { requestId: this.#ports.requestIds.take(), chunkId, sealId, capability };
    const receipt = newBytes(receiptSize);
    const reply = await session.bulk.exchange({
      request: { kind: "write", ...target, size, isSmall, payloadCrc },
      payload: sealed.bytes,
      sink: receipt,
      deadline,
    });
    if (!isOk(reply)) return failed("write", reply);
    return reply.payloadSize === receiptSize
      ? { kind: "done", value: receipt }
      : failed("write", "malformed");
  }

  async read(
    piece: PlanPiece & { readonly kind: "chunk" },
    start: number,
    target: Uint8Array,
  ): Promise<{ readonly kind: "read" } | FileRefusal> {
    const from = piece.chunkOffset + start;
    let access = chunkAccess(piece.access);
    for (let left = renewalsMax; ; left--) {
      const ended = await this.#readRange(access, from, target);
      const isStale = ended.kind === "refused" && ended.code === "receipt_stale";
      const renewed = isStale && left > 0 ? await access.renew() : undefined;
      if (renewed === undefined) return ended;
      access = renewed;
    }
  }

  async #readRange(
    access: ChunkAccess,
    from: number,
    target: Uint8Array,
  ): Promise<{ readonly kind: "read" } | FileRefusal> {
    const reads = planParts(from, from + target.byteLength).map(async (part) => {
      try {
        const into = target.subarray(part.start - from, part.end - from);
        return await this.#readPart(access, part, into);
      } catch (reason) {
        return refused(codeOf(reason));
      }
    });
    // All of them, also after a refusal: the target is the caller's again only then.
    const ended = await Promise.all(reads);
    return ended.find(({ kind }) => kind === "refused") ?? { kind: "read" };
  }

  async #readPart(
    access: ChunkAccess,
    part: Part,
    into: Uint8Array,
  ): Promise<{ readonly kind: "read" } | FileRefusal> {
    const { datapath, gate, asking } = this.#ports;
    const segmentFirst = Math.floor(part.start / segmentSize);
    const segmentEnd = Math.ceil(part.end / segmentSize);
    const plainSize = Math.min(access.size, segmentEnd * segmentSize) - segmentFirst * segmentSize;
    const isDirect = into.byteLength === plainSize && plainSize >= segmentSize;
    const room = sealedSize(plainSize) + (isDirect ? 0 : plainSize);
    using share = await gate.take(room, asking.patienceMs);
    if (share === undefined) return refused("unreachable"); // those before it get no answers
    const { deadline } = asking;
    using plain = isDirect ? undefined : await datapath.arena.borrow(plainSize, neverAborted);
    using sealed = await datapath.arena.borrow(sealedSize(plainSize), neverAborted);
    const target = plain ? { lease: plain, offset: 0, size: plainSize } : into;
    const range = { segmentFirst, segmentEnd };
    let isVerifying = false;
    const ended = await asking.persist(async (_last, leftMs) => {
      const session = await asking.session(leftMs);
      if (session.kind === "failed") return session;
      const wanted = { ...range, isVerifying, deadline };
      const opened = await this.#fetch(session.value, access, wanted, sealed, target);
      isVerifying ||= opened.kind === "failed" && opened.verdict === bulkVerdict.read.tampered;
      return opened;
    });
    if (ended.kind === "refused") return ended;
    const offset = part.start - segmentFirst * segmentSize;
    if (plain) into.set(plain.bytes.subarray(offset, offset + into.byteLength));
    return { kind: "read" };
  }

  /** One attempt to bring sealed segments here and to open them. */
  async #fetch(
    session: Session,
    access: ChunkAccess,
    { segmentFirst, segmentEnd, isVerifying, deadline }: Fetching,
    sealed: ArenaLease,
    target: UnsealJob["target"],
  ): Promise<Attempted<undefined>> {
    const { chunkId, sealId, capability, size } = access;
    const named = { requestId: this.#ports.requestIds.take(), chunkId, sealId, capability, size };
    const sealedBytes = sealed.bytes;
    const reply = await session.bulk.exchange({
      request: { kind: "read", ...named, segmentFirst, segmentEnd, isVerifying },
      payload: undefined,
      sink: sealedBytes,
      deadline,
    });
    if (!isOk(reply)) return failed("read", reply);
    if (reply.payloadSize !== sealedBytes.byteLength) return failed("read", "malformed");
    const outcome = await this.#ports.datapath.unseal({
      identity: access,
      size,
      segmentFirst,
      segmentEnd,
      source: { lease: sealed, offset: 0, size: sealedBytes.byteLength },
      target,
    });
    if (outcome === "opened") return { kind: "done", value: undefined };
    const isWhole = this.#ports.crypto.crc32c(0, sealedBytes) === reply.payloadCrc;
    return failed("read", isWhole ? "tampered" : "checksum");
  }
}

/** What was sealed under a key, and is sent under it and no other. */
interface Sealing {
  readonly session: Session;
  readonly key: LeasedKey;
  readonly payloadCrc: number;
}
interface Fetching {
  readonly segmentFirst: number;
  readonly segmentEnd: number;
  readonly isVerifying: boolean;
  readonly deadline: number;
}
/** `[start, end)` of a chunk's plaintext. */
interface Part {
  readonly start: number;
  readonly end: number;
}

const neverAborted = new AbortController().signal;

/** Cut at multiples in the chunk, so that no segment is fetched twice. */
function planParts(start: number, end: number): readonly Part[] {
  const step = readSegmentsMax * segmentSize;
  const parts: Part[] = [];
  for (let at = start; at < end;) {
    const next = Math.min(end, (Math.floor(at / step) + 1) * step);
    parts.push({ start: at, end: next });
    at = next;
  }
  return parts;
}

type Answer = Exclude<BulkReply, "connection_lost">;
const isOk = (reply: BulkReply): reply is Answer & { readonly status: "ok" } =>
  reply !== "connection_lost" && reply.status === "ok";

function failed(
  direction: keyof typeof bulkVerdict,
  reply: BulkReply | BulkFault,
): Extract<Attempted<never>, { readonly kind: "failed" }> {
  if (typeof reply === "string") return { kind: "failed", verdict: bulkVerdict[direction][reply] };
  const { status, retryAfterMs } = reply;
  const fault: BulkFault = status === "ok" ? "malformed" : status;
  return { kind: "failed", verdict: bulkVerdict[direction][fault], retryAfterMs };
}

/** Only the data path throws: it is closed, or a plan does not fit its chunk. */
const codeOf = (reason: unknown): "closed" | "invalid" => {
  if (reason instanceof DatapathError) return reason.code === "closed" ? "closed" : "invalid";
  throw reason;
};
