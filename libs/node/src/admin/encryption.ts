import { toUtf8 } from "@kiseki/base";
import { exportClusterKey } from "@kiseki/kms";
import { RpcError } from "@kiseki/rpc";
import { keyFiles } from "../node/config-directory.ts";
import type { AdminParts } from "./types.ts";

const passphraseSizeMin = 8;
const passphraseSizeMax = 1024;

/** Node secret and cluster key under the passphrase; KEKs stay in the key store. @throws {RpcError} `invalid`. */
export async function exportEncryption(
  { node, crypto, prng }: AdminParts,
  passphrase: string,
): Promise<Uint8Array> {
  const secret = toUtf8(passphrase);
  if (secret.byteLength < passphraseSizeMin || secret.byteLength > passphraseSizeMax) {
    throw new RpcError(
      "invalid",
      `A passphrase has ${passphraseSizeMin} to ${passphraseSizeMax} bytes`,
    );
  }
  const { config, directories } = node.storage;
  const places = { configDirectory: config.path, directories };
  try {
    return await exportClusterKey({ crypto, prng, files: keyFiles }, places, secret);
  } finally {
    crypto.wipe(secret);
  }
}
