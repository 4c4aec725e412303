import type { Prng } from "@kiseki/base";
import { assert, bytes, newBytes } from "@kiseki/base";
import type { DecodedDelta, DeltaContent, DeltaHeader, DeltaStamp } from "@kiseki/format";
import {
  deltaAad,
  deltaHeaderSize,
  deltaNonceSize,
  deltaPayloadSizeMax,
  deltaSize,
  encodeDeltaHeader,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";

export interface SealDeltaOptions {
  /** Of (shard, epoch), 32 bytes, borrowed (KEYS §1). */
  readonly logKey: Uint8Array;
  readonly stamp: DeltaStamp;
  readonly content: DeltaContent;
}

/** Where most headers are written before they are copied: a view of new bytes costs more than the copy. */
const headerRoom = newBytes(1024);

/** One encoded delta, its payload sealed under a fresh random nonce of `prng`. */
export function sealDelta(crypto: Crypto, prng: Prng, options: SealDeltaOptions): Uint8Array {
  const { logKey, stamp, content } = options;
  assert(content.payload.byteLength <= deltaPayloadSizeMax, "a payload is small enough");
  const header: DeltaHeader = {
    ...stamp,
    operation: content.operation,
    dirKey: content.dirKey,
    nameTag: content.nameTag,
    chunkRefs: content.chunkRefs,
    payloadSize: bytes(content.payload.byteLength),
  };
  const headerSize = deltaHeaderSize(header);
  const room = headerSize <= headerRoom.byteLength ? headerRoom : newBytes(headerSize);
  encodeDeltaHeader(header, room);
  const clear = room.subarray(0, headerSize);
  const target = new Uint8Array(deltaSize(header));
  target.set(clear);
  const nonce = prng.fill(new Uint8Array(deltaNonceSize));
  const aad = deltaAad(clear);
  target.set(nonce, headerSize);
  target.set(crypto.seal(logKey, nonce, aad, content.payload), headerSize + deltaNonceSize);
  return target;
}

export interface OpenedDelta {
  readonly kind: "opened";
  /** Its ids are views into the source. */
  readonly header: DeltaHeader;
  /** Owned by the caller. */
  readonly payload: Uint8Array;
}

/** Opens one delta. `logKey` is that of its header's (shard, epoch, keyset), borrowed. */
export function openDelta(
  crypto: Crypto,
  logKey: Uint8Array,
  delta: DecodedDelta,
): OpenedDelta | "bad_tag" {
  const nonce = delta.sealed.subarray(0, deltaNonceSize);
  const sealed = delta.sealed.subarray(deltaNonceSize);
  const payload = crypto.open(logKey, nonce, deltaAad(delta.clear), sealed);
  if (payload === undefined) return "bad_tag"; // not what was sealed under this key: the view stops
  return { kind: "opened", header: delta.header, payload };
}
