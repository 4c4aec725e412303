import type { InodeId } from "@kiseki/base";
import { assert, newBytes, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import type { DirKeys } from "./operation.ts";

const hiddenLabel = toUtf8("kiseki/hidden-name/v1");

/**
 * Keys of a tenant's directories from its dirSecret (32 bytes, borrowed as long as the result is used),
 * the `cachedMax` most recently made kept. They are names, not secrets: they stand in the log's clear headers.
 */
export function dirKeysOf(crypto: Crypto, dirSecret: Uint8Array, cachedMax = 4096): DirKeys {
  assert(dirSecret.byteLength === 32, "a dirSecret has 32 bytes");
  const cached = new Map<InodeId, Uint8Array>();
  return {
    dirKey(inode) {
      const known = cached.get(inode);
      if (known !== undefined) return known;
      const block = newBytes(16);
      new DataView(block.buffer).setBigUint64(8, inode);
      const made = crypto.aesBlock(dirSecret, block);
      if (cached.size >= cachedMax) {
        const oldest = cached.keys().next();
        if (!oldest.done) cached.delete(oldest.value);
      }
      cached.set(inode, made);
      return made;
    },
    hiddenName: (dirKey, name) =>
      crypto.hmacSha256(dirSecret, hiddenLabel, dirKey, name).slice(0, 16),
  };
}
