import { assert, concatBytes, newBytes, type Prng, sameBytes } from "@kiseki/base";
import {
  type ClusterKeyFile,
  type ClusterKeySlot,
  decodeClusterKeyFile,
  decodeKeyExport,
  encodeClusterKeyFile,
  encodeClusterKeyHeader,
  encodeKeyExport,
  encodeKeyExportHeader,
  type KeyExport,
  type KeyExportHeader,
  parseRecoveryCode,
  type RecoveryCodeFault,
  recoverySecretSize,
  type ScryptCost,
  toRecoverySecret,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";
import { deriveKey } from "./derive.ts";

/** Bytes of the node secret and of the cluster key. */
export const nodeSecretSize = 32;
export const clusterKeySize = 32;

/**
 * `damaged`: checksum, magic or size wrong; take another copy. `unknown_version`: a later program's.
 * `wrong_secret`: the file is whole, and this node secret, code or passphrase does not open it.
 */
export type ClusterKeyFault = "damaged" | "unknown_version" | "wrong_secret";

/** An opened file. `clusterKey` is the caller's to wipe or to hand to a `ClusterKeyring`. */
export interface OpenedClusterKey {
  readonly clusterId: Uint8Array;
  readonly generation: bigint;
  readonly clusterKey: Uint8Array;
}
export interface ClusterKeySecrets {
  readonly nodeSecret: Uint8Array;
  /** From `newRecoverySecret` or `parseRecoveryCode`. */
  readonly recoverySecret: Uint8Array;
}

/** What a recovery code is printed from; 22 bytes. `prng` is the secure one. */
export function newRecoverySecret(prng: Prng): Uint8Array {
  return toRecoverySecret(prng.fill(newBytes(recoverySecretSize)));
}

function slotKey(
  crypto: Crypto,
  purpose: "node" | "recovery",
  secret: Uint8Array,
  salt: Uint8Array,
  clusterId: Uint8Array,
): Uint8Array {
  const root = crypto.hkdfExtract(salt, secret);
  const key = deriveKey(crypto, root, purpose, clusterId);
  crypto.wipe(root);
  return key;
}

function sealSlot(
  crypto: Crypto,
  prng: Prng,
  purpose: "node" | "recovery",
  secret: Uint8Array,
  opened: OpenedClusterKey,
): ClusterKeySlot {
  const salt = prng.fill(newBytes(32));
  const nonce = prng.fill(newBytes(12));
  const key = slotKey(crypto, purpose, secret, salt, opened.clusterId);
  const sealed = crypto.seal(key, nonce, encodeClusterKeyHeader(opened), opened.clusterKey);
  crypto.wipe(key);
  return { salt, nonce, sealed };
}

/** The file's bytes for a cluster key, sealed anew under both secrets. Raise `generation` each time. */
export function sealClusterKey(
  crypto: Crypto,
  prng: Prng,
  opened: OpenedClusterKey,
  secrets: ClusterKeySecrets,
): Uint8Array {
  assert(secrets.nodeSecret.byteLength === nodeSecretSize, "a node secret has 32 bytes");
  assert(secrets.recoverySecret.byteLength === recoverySecretSize, "a recovery code has 175 bits");
  assert(opened.clusterKey.byteLength === clusterKeySize, "a cluster key has 32 bytes");
  const node = sealSlot(crypto, prng, "node", secrets.nodeSecret, opened);
  const recovery = sealSlot(crypto, prng, "recovery", secrets.recoverySecret, opened);
  const { clusterId, generation } = opened;
  return encodeClusterKeyFile({ clusterId, generation, node, recovery }, crypto.crc32c);
}

function readFile(crypto: Crypto, file: Uint8Array): ClusterKeyFile | ClusterKeyFault {
  const decoded = decodeClusterKeyFile(file, crypto.crc32c);
  if (decoded === "bad_version") return "unknown_version";
  return typeof decoded === "string" ? "damaged" : decoded;
}

function openSlot(
  crypto: Crypto,
  file: Uint8Array,
  purpose: "node" | "recovery",
  secret: Uint8Array,
): OpenedClusterKey | ClusterKeyFault {
  const decoded = readFile(crypto, file);
  if (typeof decoded === "string") return decoded;
  const slot = decoded[purpose];
  const key = slotKey(crypto, purpose, secret, slot.salt, decoded.clusterId);
  const clusterKey = crypto.open(key, slot.nonce, encodeClusterKeyHeader(decoded), slot.sealed);
  crypto.wipe(key);
  if (clusterKey === undefined) return "wrong_secret";
  return { clusterId: decoded.clusterId.slice(), generation: decoded.generation, clusterKey };
}

/** Generation of a whole copy, without opening it: of several copies the highest counts. */
export function clusterKeyGeneration(crypto: Crypto, file: Uint8Array): bigint | ClusterKeyFault {
  const decoded = readFile(crypto, file);
  return typeof decoded === "string" ? decoded : decoded.generation;
}

export function openClusterKeyByNode(
  crypto: Crypto,
  file: Uint8Array,
  nodeSecret: Uint8Array,
): OpenedClusterKey | ClusterKeyFault {
  return openSlot(crypto, file, "node", nodeSecret);
}

/** By the code as a person typed it: a typo is named before anything is tried. */
export function openClusterKeyByCode(
  crypto: Crypto,
  file: Uint8Array,
  code: string,
): OpenedClusterKey | ClusterKeyFault | RecoveryCodeFault {
  const secret = parseRecoveryCode(code);
  if (!(secret instanceof Uint8Array)) return secret;
  const opened = openSlot(crypto, file, "recovery", secret);
  crypto.wipe(secret);
  return opened;
}

/**
 * The same cluster key under a new node secret, after the config directory was lost: the recovery
 * code goes on to work. `file` is the copy that the code opened.
 */
export function resealClusterKeyForNode(
  crypto: Crypto,
  prng: Prng,
  file: Uint8Array,
  opened: OpenedClusterKey,
  secrets: ClusterKeySecrets,
): Uint8Array {
  assert(clusterKeyGeneration(crypto, file) === opened.generation, "the file is the one opened");
  return sealClusterKey(crypto, prng, { ...opened, generation: opened.generation + 1n }, secrets);
}

/** 128 MiB and about half a second on one core of 2024. */
const keyExportCost: ScryptCost = { log2N: 17, r: 8, p: 1 };

export interface ExportedKeys {
  readonly clusterId: Uint8Array;
  readonly nodeSecret: Uint8Array;
  readonly clusterKey: Uint8Array;
}

/**
 * What a passphrase is made into a key with: 32 bytes by scrypt (RFC 7914) of passphrase, `salt` and `cost`. That is slow
 * and takes memory, so it is the caller's, between this and `exportKeys`.
 */
export function newKeyExportHeader(
  prng: Prng,
  clusterId: Uint8Array,
  cost: ScryptCost = keyExportCost,
): KeyExportHeader {
  return { cost, clusterId, salt: prng.fill(newBytes(32)) };
}

/** `kiseki encryption export`: node secret and cluster key under `key`, which is wiped. Never a KEK. */
export function exportKeys(
  crypto: Crypto,
  prng: Prng,
  keys: ExportedKeys,
  header: KeyExportHeader,
  key: Uint8Array,
): Uint8Array {
  assert(keys.nodeSecret.byteLength === nodeSecretSize, "a node secret has 32 bytes");
  assert(keys.clusterKey.byteLength === clusterKeySize, "a cluster key has 32 bytes");
  assert(sameBytes(keys.clusterId, header.clusterId), "the header is of this cluster");
  const nonce = prng.fill(newBytes(12));
  const both = concatBytes(keys.nodeSecret, keys.clusterKey);
  const sealed = crypto.seal(key, nonce, encodeKeyExportHeader(header), both);
  crypto.wipe(key);
  crypto.wipe(both);
  return encodeKeyExport({ ...header, nonce, sealed }, crypto.crc32c);
}

/** The first step of `kiseki encryption import`: a cost that is handed out is within bounds, so that memory may be taken for it. */
export function readKeyExport(
  crypto: Crypto,
  source: Uint8Array,
): KeyExport | "damaged" | "unknown_version" {
  const decoded = decodeKeyExport(source, crypto.crc32c);
  if (decoded === "bad_version" || decoded === "bad_cost") return "unknown_version";
  return typeof decoded === "string" ? "damaged" : decoded;
}

/** The second: what lies under `key`, which is wiped. */
export function importKeys(
  crypto: Crypto,
  source: KeyExport,
  key: Uint8Array,
): ExportedKeys | "wrong_secret" {
  const both = crypto.open(key, source.nonce, encodeKeyExportHeader(source), source.sealed);
  crypto.wipe(key);
  if (both === undefined) return "wrong_secret";
  const keys = {
    clusterId: source.clusterId.slice(),
    nodeSecret: both.slice(0, nodeSecretSize),
    clusterKey: both.slice(nodeSecretSize),
  };
  crypto.wipe(both);
  return keys;
}
