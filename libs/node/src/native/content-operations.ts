import { type NamespaceId, type OperationId, storedKeyset } from "@kiseki/base";
import type { PosixOperation, WritePiece } from "@kiseki/composition";
import type { ChunkSeal, WriteReceipt } from "@kiseki/format";
import type { OpenTenant } from "../object/types.ts";
import type { ContentOperation } from "./apply.ts";
import { NativeRefusal } from "./failure.ts";
import { type FileOperationMessage, fromRef } from "./messages.ts";
import type { Native } from "./native.ts";
import type { NativeSession } from "./sessions.ts";
import type { Commitment } from "./write-ledger.ts";

type Kind = FileOperationMessage["kind"];
type Value<Case extends Kind["case"]> = Extract<Kind, { case: Case }>["value"];
type WrittenContent = NonNullable<Value<"write">["content"]>;

const receiptsMax = 256;
const rangesMax = 1024;

/** A size or offset from the wire. @throws {NativeRefusal} `invalid` */
export function safeInteger(n: bigint): number {
  if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw new NativeRefusal("invalid");
  return Number(n);
}

interface Named {
  readonly pieces: readonly WritePiece[];
  readonly commitment: Commitment;
}

/** Receipts of this tenant and epoch, signed by who keeps the bytes. @throws {NativeRefusal} `receipt_stale` */
function verifyReceipts(
  native: Native,
  tenant: OpenTenant,
  receipts: readonly Uint8Array[],
): readonly WriteReceipt[] {
  return receipts.map((bytes) => {
    const receipt = native.tickets.verify(bytes);
    const isOwn = receipt?.tenant.every((byte, at) => byte === tenant.id[at]) === true;
    if (receipt === undefined || !isOwn || receipt.epoch !== tenant.owner.epoch) {
      throw new NativeRefusal("receipt_stale");
    }
    return receipt;
  });
}

/** Pieces of what a client has sealed and sent; each receipt is committed once. @throws {NativeRefusal} */
function nameContent(
  native: Native,
  session: NativeSession,
  tenant: OpenTenant,
  content: WrittenContent | undefined,
): Named {
  const { receipts, ranges } = content ?? { receipts: [], ranges: [] };
  if (receipts.length > receiptsMax || ranges.length > rangesMax)
    throw new NativeRefusal("invalid");
  const verified = verifyReceipts(native, tenant, receipts);
  const used = new Set<number>();
  const pieces = ranges.map((range): WritePiece => {
    const receipt = verified[range.receipt];
    if (receipt === undefined) throw new NativeRefusal("invalid");
    const isFirst = !used.has(range.receipt);
    used.add(range.receipt);
    const place = {
      offset: safeInteger(range.offset),
      length: safeInteger(range.length),
      chunkOffset: range.chunkOffset,
    };
    const { chunkId, pool, profile } = receipt;
    const seal = sealOf(receipt);
    if (!isSmall(native, receipt)) return { kind: "chunk", ...place, chunkId, pool, profile, seal };
    if (!isFirst) throw new NativeRefusal("invalid"); // small content is one range
    return { kind: "small", ...place, ref: { chunkId, pool, profile, ...seal } };
  });
  if (used.size !== verified.length) throw new NativeRefusal("invalid");
  const commitment = native.ledger.commit(session, verified);
  if (commitment === undefined) throw new NativeRefusal("receipt_stale");
  return { pieces, commitment };
}
function sealOf(receipt: WriteReceipt): ChunkSeal {
  const { sealId, placementEpoch, size, missing } = receipt;
  return { sealId, keyset: storedKeyset(receipt.keyset), placementEpoch, size, missing };
}
/** The client said so in its frame, and the node kept it so. */
const isSmall = ({ ledger }: Native, receipt: WriteReceipt): boolean => ledger.isSmall(receipt);

interface Base {
  readonly namespace: NamespaceId;
  readonly once: OperationId;
}

/** The shard's operation for one on content, with what it commits. @throws {NativeRefusal} */
export function toContentOperation(
  native: Native,
  session: NativeSession,
  tenant: OpenTenant,
  base: Base,
  { kind }: FileOperationMessage,
): ContentOperation {
  const { namespace } = base;
  switch (kind.case) {
    case "write": {
      const { file, content, modified } = kind.value;
      const ref = fromRef(namespace, file);
      const { pieces, commitment } = nameContent(native, session, tenant, content);
      const mtime = modified === undefined ? {} : { mtime: modified };
      const isKeepingSetId = kind.value.isKeepingSetId;
      const operation = { ...base, kind: "write_file" as const, file: ref, pieces, isKeepingSetId };
      return { operation: { ...operation, ...mtime }, commitment };
    }
    case "append": {
      const ref = fromRef(namespace, kind.value.file);
      const { pieces, commitment } = nameContent(native, session, tenant, kind.value.content);
      const { isKeepingSetId } = kind.value;
      const operation = {
        ...base,
        kind: "append_file" as const,
        file: ref,
        pieces,
        isKeepingSetId,
      };
      return { operation, commitment };
    }
    default:
      return { operation: toEdit(base, kind), commitment: undefined };
  }
}

function toEdit(base: Base, kind: Kind): PosixOperation {
  const { namespace } = base;
  switch (kind.case) {
    case "truncate": {
      const { file, size, isKeepingSetId } = kind.value;
      const ref = fromRef(namespace, file);
      return { ...base, kind: "truncate_file", file: ref, size: safeInteger(size), isKeepingSetId };
    }
    case "allocate":
      return allocate(base, kind.value);
    case "copyRange": {
      const { source, sourceOffset, target, targetOffset, length } = kind.value;
      return {
        ...base,
        kind: "copy_range",
        source: fromRef(namespace, source),
        sourceStart: safeInteger(sourceOffset),
        file: fromRef(namespace, target),
        start: safeInteger(targetOffset),
        length: safeInteger(length),
      };
    }
    default:
      throw new NativeRefusal("invalid");
  }
}
function allocate(base: Base, value: Value<"allocate">): PosixOperation {
  const { mode, offset, length, isSizeKept } = value;
  if (mode !== "allocate" && mode !== "punch" && mode !== "zero")
    throw new NativeRefusal("invalid");
  const start = safeInteger(offset);
  const end = safeInteger(offset + length);
  const file = fromRef(base.namespace, value.file);
  const { isKeepingSetId } = value;
  return { ...base, kind: "allocate_file", file, mode, start, end, isSizeKept, isKeepingSetId };
}
