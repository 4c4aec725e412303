import type { ChunkId, SealId, WallTime } from "@kiseki/base";
import {
  capabilityMacOf,
  capabilityMacParts,
  capabilitySize,
  type ChunkCapability,
  decodeCapability,
  decodeReceipt,
  encodeCapability,
  encodeReceipt,
  receiptSize,
  splitReceipt,
  type WriteReceipt,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";

/** Keys of the cluster, as new bytes that are wiped here. */
export interface TicketKeys {
  capabilityKey(): Uint8Array;
  receiptKey(): Uint8Array;
}

/**
 * Rights to chunks, which owners give and those who keep the bytes ask for, and receipts, which go the other way (KEYS §4;
 * `docs/formats/bulk-frame.md`). Nothing is kept here.
 */
export class ChunkTickets {
  readonly #crypto: Crypto;
  readonly #keys: TicketKeys;

  constructor(crypto: Crypto, keys: TicketKeys) {
    this.#crypto = crypto;
    this.#keys = keys;
  }

  /** The right to one sealing of one chunk; 80 bytes. */
  grant(capability: ChunkCapability, chunkId: ChunkId, sealId: SealId): Uint8Array {
    const bytes = encodeCapability(capability);
    capabilityMacOf(bytes).set(this.#capabilityMac(bytes, chunkId, sealId));
    return bytes;
  }
  /** What was granted for this sealing; `undefined`: nothing was, or its time is over. */
  check(
    bytes: Uint8Array,
    chunkId: ChunkId,
    sealId: SealId,
    now: WallTime,
  ): ChunkCapability | undefined {
    if (bytes.byteLength !== capabilitySize) return undefined;
    const mac = this.#capabilityMac(bytes, chunkId, sealId);
    if (!this.#crypto.equal(mac, capabilityMacOf(bytes))) return undefined;
    const capability = decodeCapability(bytes);
    return capability && capability.expires > now ? capability : undefined;
  }
  #capabilityMac(bytes: Uint8Array, chunkId: ChunkId, sealId: SealId): Uint8Array {
    const key = this.#keys.capabilityKey();
    const mac = this.#crypto.hmacSha256(key, ...capabilityMacParts(bytes, chunkId, sealId));
    this.#crypto.wipe(key);
    return mac;
  }

  /** Says that the bytes are kept; 160 bytes. */
  sign(receipt: WriteReceipt): Uint8Array {
    const bytes = encodeReceipt(receipt);
    const { signed, mac } = splitReceipt(bytes);
    mac.set(this.#receiptMac(signed));
    return bytes;
  }
  /** What was signed; `undefined`: nothing of ours. */
  verify(bytes: Uint8Array): WriteReceipt | undefined {
    if (bytes.byteLength !== receiptSize) return undefined;
    const { signed, mac } = splitReceipt(bytes);
    if (!this.#crypto.equal(this.#receiptMac(signed), mac)) return undefined;
    return decodeReceipt(bytes);
  }
  #receiptMac(signed: Uint8Array): Uint8Array {
    const key = this.#keys.receiptKey();
    const mac = this.#crypto.hmacSha256(key, signed);
    this.#crypto.wipe(key);
    return mac;
  }
}
