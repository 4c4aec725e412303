import type { HashAlgorithm } from "@kiseki/ports";
import { createHash } from "node:crypto";

interface RunningDigest {
  update(source: Uint8Array): void;
  digest(): Uint8Array;
}

function byNode(name: "md5" | "sha1" | "sha256"): RunningDigest {
  const hash = createHash(name);
  return {
    update: (source) => void hash.update(source),
    digest: () => new Uint8Array(hash.copy().digest()),
  };
}
/** Reflected CRCs byte by byte; `polynomial` is reflected too. 64-bit ones go in two halves. */
function crcTable(high: number, low: number): Uint32Array {
  const table = new Uint32Array(512);
  for (let n = 0; n < 256; n++) {
    let h = 0;
    let l = n;
    for (let bit = 0; bit < 8; bit++) {
      const out = l & 1;
      l = ((l >>> 1) | ((h & 1) << 31)) >>> 0;
      h >>>= 1;
      if (out) {
        h = (h ^ high) >>> 0;
        l = (l ^ low) >>> 0;
      }
    }
    table[2 * n] = h;
    table[2 * n + 1] = l;
  }
  return table;
}
function crc(size: 4 | 8, table: Uint32Array): RunningDigest {
  let high = size === 8 ? 0xffffffff : 0;
  let low = 0xffffffff;
  return {
    update(source) {
      for (let i = 0; i < source.byteLength; i++) {
        const at = 2 * ((low ^ source[i]!) & 0xff);
        low = (((low >>> 8) | (high << 24)) ^ table[at + 1]!) >>> 0;
        high = ((high >>> 8) ^ table[at]!) >>> 0;
      }
    },
    digest() {
      const target = new Uint8Array(size);
      const view = new DataView(target.buffer);
      if (size === 8) view.setUint32(0, ~high >>> 0);
      view.setUint32(size - 4, ~low >>> 0);
      return target;
    },
  };
}
const crc32Table = crcTable(0, 0xedb88320);
const crc32cTable = crcTable(0, 0x82f63b78);
const crc64nvmeTable = crcTable(0x9a6c9329, 0xac4bc9b5);

export function openDigest(algorithm: HashAlgorithm): RunningDigest {
  switch (algorithm) {
    case "md5":
    case "sha1":
    case "sha256":
      return byNode(algorithm);
    case "crc32":
      return crc(4, crc32Table);
    case "crc32c":
      return crc(4, crc32cTable);
    case "crc64nvme":
      return crc(8, crc64nvmeTable);
  }
}
