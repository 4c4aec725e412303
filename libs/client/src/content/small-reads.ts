import {
  bulkEntrySealedSize,
  bulkStatusesSize,
  encodeBulkEntries,
  takeBulkStatuses,
} from "@kiseki/format";
import {
  type ArenaLease,
  type Crypto,
  type Datapath,
  DatapathError,
  segmentSize,
} from "@kiseki/ports";
import type { PlanPiece } from "@kiseki/vfs";
import type { Asking } from "../service/asking.ts";
import { type ChunkAccess, chunkAccess } from "./access.ts";
import type { ByteGate } from "./byte-gate.ts";
import type { RequestIds } from "./request-ids.ts";

type Chunk = PlanPiece & { readonly kind: "chunk" };
/** Borrowed until `use` has ended; `undefined`: it did not come this way. */
export type UseSmall = (found: readonly (Uint8Array | undefined)[]) => Promise<void>;

/** Chunks and bytes of one call: what the node reads for it keeps its thread for less than a millisecond. */
export const smallReadsMax = 64;
export const smallReadsSizeMax = 1024 * 1024;

interface Ports {
  readonly crypto: Crypto;
  readonly datapath: Datapath;
  readonly asking: Asking;
  readonly gate: ByteGate;
  readonly requestIds: RequestIds;
}

/**
 * Many small chunks in one frame. It is tried once: whatever goes wrong, for one of them or for all, is left to
 * `ContentStore.read`, which knows what becomes of every fault.
 */
export class SmallReads {
  readonly #ports: Ports;

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** Whether the piece is all of a chunk of one segment. */
  takes(piece: PlanPiece): piece is Chunk {
    if (piece.kind !== "chunk" || piece.chunkOffset !== 0) return false;
    return piece.length <= segmentSize && chunkAccess(piece.access).size === piece.length;
  }
  /** `pieces`: at most `smallReadsMax`, of `smallReadsSizeMax` bytes together, each one that `takes` has said yes to. */
  async read(pieces: readonly Chunk[], use: UseSmall): Promise<void> {
    const { gate, asking, datapath } = this.#ports;
    const wanted = pieces.map(({ access }) => chunkAccess(access));
    const plainSize = wanted.reduce((sum, { size }) => sum + size, 0);
    const sealedSize = bulkStatusesSize(wanted.length) + sum(wanted.map(bulkEntrySealedSize));
    using share = await gate.take(plainSize + sealedSize, asking.patienceMs);
    if (share === undefined) return use(nothing(pieces));
    using plain = await datapath.arena.borrow(plainSize, neverAborted);
    const isHere = await this.#bring(wanted, sealedSize, plain);
    let at = 0;
    await use(
      wanted.map(({ size }, i) => {
        at += size;
        return isHere[i] === true ? plain.bytes.subarray(at - size, at) : undefined;
      }),
    );
  }

  /** Opens into `plain`, one after another, those that come; which these are. */
  async #bring(
    wanted: readonly ChunkAccess[],
    sealedSize: number,
    plain: ArenaLease,
  ): Promise<readonly boolean[]> {
    const { datapath } = this.#ports;
    using sealed = await datapath.arena.borrow(sealedSize, neverAborted);
    const statuses = await this.#ask(wanted, sealed);
    if (statuses === undefined) return [];
    const isHere: boolean[] = [];
    let [from, to] = [bulkStatusesSize(wanted.length), 0];
    for (let i = 0; i < wanted.length; i++) {
      const { size } = wanted[i]!;
      const isSent = statuses[i] === "ok";
      isHere[i] = isSent && (await this.#open(wanted[i]!, { sealed, from, plain, to }));
      if (isSent) from += bulkEntrySealedSize({ size });
      to += size;
    }
    return isHere;
  }

  async #ask(wanted: readonly ChunkAccess[], sealed: ArenaLease) {
    const { asking, crypto, requestIds } = this.#ports;
    const { deadline } = asking;
    const session = await asking.session(asking.patienceMs);
    if (session.kind === "failed" || session.value.bulkEntriesMax < wanted.length) return undefined;
    const payload = encodeBulkEntries(wanted);
    const payloadCrc = crypto.crc32c(0, payload) >>> 0;
    const count = wanted.length;
    const reply = await session.value.bulk.exchange({
      request: { kind: "read_many", requestId: requestIds.take(), count, payloadCrc },
      payload,
      sink: sealed.bytes,
      deadline,
    });
    if (reply === "connection_lost" || reply.status !== "ok") return undefined;
    const statuses = takeBulkStatuses(sealed.bytes.subarray(0, reply.payloadSize), count);
    const sent = wanted.filter((_, i) => statuses?.[i] === "ok");
    const isWhole =
      reply.payloadSize === bulkStatusesSize(count) + sum(sent.map(bulkEntrySealedSize));
    return isWhole ? statuses : undefined;
  }

  async #open(access: ChunkAccess, { sealed, from, plain, to }: Places): Promise<boolean> {
    const { size } = access;
    try {
      const outcome = await this.#ports.datapath.unseal({
        identity: access,
        size,
        segmentFirst: 0,
        segmentEnd: 1,
        source: { lease: sealed, offset: from, size: bulkEntrySealedSize({ size }) },
        target: { lease: plain, offset: to, size },
      });
      return outcome === "opened";
    } catch (reason) {
      if (reason instanceof DatapathError) return false;
      throw reason;
    }
  }
}
interface Places {
  readonly sealed: ArenaLease;
  readonly from: number;
  readonly plain: ArenaLease;
  readonly to: number;
}
const neverAborted = new AbortController().signal;
const sum = (sizes: readonly number[]): number => sizes.reduce((all, size) => all + size, 0);
const nothing = (pieces: readonly unknown[]): undefined[] => pieces.map(() => undefined);
