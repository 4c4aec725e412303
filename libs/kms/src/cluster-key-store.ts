import { scrypt } from "node:crypto";
import { promisify } from "node:util";
import { newBytes, type Prng, sameBytes } from "@kiseki/base";
import {
  decodeNodeSecretFile,
  encodeNodeSecretFile,
  type KeyExportHeader,
  type NodeSecretFile,
  explainRecoveryCodeFault,
  formatRecoveryCode,
  parseRecoveryCode,
} from "@kiseki/format";
import {
  clusterKeyGeneration,
  clusterKeySize,
  type ExportedKeys,
  exportKeys,
  importKeys,
  newKeyExportHeader,
  newRecoverySecret,
  nodeSecretSize,
  openClusterKeyByCode,
  openClusterKeyByNode,
  type OpenedClusterKey,
  readKeyExport,
  resealClusterKeyForNode,
  sealClusterKey,
} from "@kiseki/keys";
import type { Crypto } from "@kiseki/ports";
import { ClusterKeyError } from "./errors.ts";

/** Small files, replaced whole and durably, readable by their owner alone. */
export interface KeyFiles {
  /** `undefined` when there is no such file; rejects when its disk does not answer. At most 4 KiB are read. */
  read(path: string): Promise<Uint8Array | undefined>;
  replace(path: string, content: Uint8Array): Promise<void>;
}
export interface ClusterKeyParts {
  readonly crypto: Crypto;
  /** The secure one. */
  readonly prng: Prng;
  readonly files: KeyFiles;
}
export interface ClusterKeyPlaces {
  /** Holds the node secret; never with data or devices. */
  readonly configDirectory: string;
  /** Data directory first, then the mirrors: each holds a copy. */
  readonly directories: readonly string[];
}

/** `clusterKey` is the caller's: hand it to a `ClusterKeyring`, which wipes it. */
export interface ClusterKey {
  readonly clusterId: Uint8Array;
  readonly clusterKey: Uint8Array;
  /** Grows each time the files are sealed anew. */
  readonly generation: bigint;
  /** Copies that were missing, damaged or old, and are good now. */
  readonly rewritten: readonly string[];
}
export interface NewClusterKey extends ClusterKey {
  /** To be printed once; kept nowhere. */
  readonly recoveryCode: string;
}

const nodeSecretPath = (places: ClusterKeyPlaces) => `${places.configDirectory}/node-secret`;
const copyPaths = (places: ClusterKeyPlaces) =>
  places.directories.map((directory) => `${directory}/cluster-key`);

interface Copy {
  readonly path: string;
  readonly content: Uint8Array | undefined;
  /** `undefined`: missing or damaged. */
  readonly generation: bigint | undefined;
  /** Its disk does not answer: nothing is known of it, and nothing is written to it. */
  readonly isAway: boolean;
}

async function readCopies(
  { crypto, files }: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<readonly Copy[]> {
  const copies = await Promise.all(
    copyPaths(places).map(async (path): Promise<Copy> => {
      let content: Uint8Array | undefined;
      try {
        content = await files.read(path);
      } catch {
        return { path, content: undefined, generation: undefined, isAway: true };
      }
      const generation = content && clusterKeyGeneration(crypto, content);
      if (generation === "unknown_version") {
        throw new ClusterKeyError(
          "unknown_version",
          `Cannot use ${path}: it is of a later version`,
        );
      }
      const known = typeof generation === "bigint" ? generation : undefined;
      return { path, content, generation: known, isAway: false };
    }),
  );
  return copies.toSorted((a, b) => Number((b.generation ?? -1n) - (a.generation ?? -1n)));
}

/** Writes `content` over every copy that differs; copies whose disk is away are left for the next start. */
async function writeCopies(
  { files }: ClusterKeyParts,
  copies: readonly Copy[],
  content: Uint8Array,
): Promise<readonly string[]> {
  const rewritten: string[] = [];
  const failures: unknown[] = [];
  for (const copy of copies) {
    if (copy.isAway) {
      failures.push(new Error(`${copy.path} does not answer`));
      continue;
    }
    if (copy.content !== undefined && sameBytes(copy.content, content)) continue;
    try {
      await files.replace(copy.path, content);
      rewritten.push(copy.path);
    } catch (reason) {
      failures.push(reason);
    }
  }
  if (failures.length === copies.length) {
    throw new ClusterKeyError("io", "Cannot write the cluster key's file", { cause: failures[0] });
  }
  return rewritten;
}

async function readNodeSecret(
  { crypto, files }: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<NodeSecretFile | undefined> {
  const path = nodeSecretPath(places);
  const content = await files.read(path);
  if (content === undefined) return undefined;
  const file = decodeNodeSecretFile(content, crypto.crc32c);
  if (typeof file === "string") {
    throw new ClusterKeyError("damaged", `Cannot use ${path}: ${file}; the recovery code helps`);
  }
  return file;
}

/**
 * True when there is a node secret or any copy, but for what a creation left that was cut short:
 * `createClusterKey` then refuses, `openClusterKey` is to be called. @throws {ClusterKeyError} `damaged`.
 */
export async function hasClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<boolean> {
  const node = await readNodeSecret(parts, places);
  if (node !== undefined) return !node.isUnfinished;
  const copies = await Promise.all(copyPaths(places).map((path) => parts.files.read(path)));
  return copies.some((copy) => copy !== undefined);
}

/**
 * Makes node secret, cluster key and recovery code of a new cluster. The node secret's file says
 * `unfinished` until all else is durable, so a creation that was cut short is begun anew.
 * @throws {ClusterKeyError} `exists`, `damaged`, `io`.
 */
export async function createClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<NewClusterKey> {
  if (await hasClusterKey(parts, places)) {
    throw new ClusterKeyError("exists", "Cannot make a cluster key: there is one");
  }
  const { prng } = parts;
  const clusterId = prng.fill(newBytes(16));
  const clusterKey = prng.fill(newBytes(clusterKeySize));
  const secret = prng.fill(newBytes(nodeSecretSize));
  await writeNodeSecret(parts, places, { clusterId, secret, isUnfinished: true });
  return sealNew(parts, places, { clusterId, clusterKey, generation: 1n }, secret);
}

/** Seals under a new recovery code and under `secret`, which it wipes, and writes all files. */
async function sealNew(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
  opened: OpenedClusterKey,
  secret: Uint8Array,
): Promise<NewClusterKey> {
  const { crypto, prng } = parts;
  const recoverySecret = newRecoverySecret(prng);
  const content = sealClusterKey(crypto, prng, opened, { nodeSecret: secret, recoverySecret });
  const rewritten = await writeCopies(parts, await readCopies(parts, places), content);
  const { clusterId, clusterKey } = opened;
  await writeNodeSecret(parts, places, { clusterId, secret, isUnfinished: false });
  crypto.wipe(secret);
  const recoveryCode = formatRecoveryCode(recoverySecret);
  crypto.wipe(recoverySecret);
  return { clusterId, clusterKey, generation: opened.generation, rewritten, recoveryCode };
}

async function writeNodeSecret(
  { crypto, files }: ClusterKeyParts,
  places: ClusterKeyPlaces,
  file: NodeSecretFile,
): Promise<void> {
  const content = encodeNodeSecretFile(file, crypto.crc32c);
  await files.replace(nodeSecretPath(places), content);
  crypto.wipe(content);
}

/**
 * Opens by the node secret and the highest good copy, and makes the other copies equal to it.
 * @throws {ClusterKeyError} `missing` (no copy, or no node secret: the recovery code or an import helps),
 *   `damaged`, `unknown_version`, `wrong_secret`.
 */
export async function openClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<ClusterKey> {
  const node = await readNodeSecret(parts, places);
  const copies = await readCopies(parts, places);
  const best = bestCopy(copies, places);
  if (node === undefined || node.isUnfinished) {
    throw new ClusterKeyError(
      "missing",
      `Cannot find ${nodeSecretPath(places)}: open with the recovery code or an export`,
    );
  }
  const opened = openClusterKeyByNode(parts.crypto, best, node.secret);
  parts.crypto.wipe(node.secret);
  if (typeof opened === "string") throw fault(opened, "node secret");
  const rewritten = await writeCopies(parts, copies, best);
  return { ...opened, rewritten };
}

function bestCopy(copies: readonly Copy[], places: ClusterKeyPlaces): Uint8Array {
  const [best] = copies;
  if (best?.content === undefined || best.generation === undefined) {
    const isMissing = copies.every((copy) => copy.content === undefined);
    throw new ClusterKeyError(
      isMissing ? "missing" : "damaged",
      `Cannot find a good copy of the cluster key in ${places.directories.join(", ")}`,
    );
  }
  return best.content;
}

function fault(
  kind: "damaged" | "unknown_version" | "wrong_secret",
  what: string,
): ClusterKeyError {
  return new ClusterKeyError(kind, `Cannot open the cluster key with this ${what}: ${kind}`);
}

/**
 * After the config directory was lost: opens by the recovery code, makes a new node secret and seals
 * under both; the code goes on to work. @throws {ClusterKeyError} `mistyped` (the message names the
 * group), `wrong_secret`, `missing`, `damaged`, `unknown_version`, `io`.
 */
export async function recoverClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
  code: string,
): Promise<ClusterKey> {
  const { crypto, prng } = parts;
  const recoverySecret = parseRecoveryCode(code);
  if (!(recoverySecret instanceof Uint8Array)) {
    throw new ClusterKeyError("mistyped", explainRecoveryCodeFault(recoverySecret));
  }
  const copies = await readCopies(parts, places);
  const best = bestCopy(copies, places);
  const opened = openClusterKeyByCode(crypto, best, code);
  if (typeof opened === "string") throw fault(opened, "recovery code");
  if ("kind" in opened) throw new ClusterKeyError("mistyped", explainRecoveryCodeFault(opened));
  const nodeSecret = prng.fill(newBytes(nodeSecretSize));
  const secrets = { nodeSecret, recoverySecret };
  const content = resealClusterKeyForNode(crypto, prng, best, opened, secrets);
  crypto.wipe(recoverySecret);
  const rewritten = await writeCopies(parts, copies, content);
  const { clusterId, clusterKey } = opened;
  await writeNodeSecret(parts, places, { clusterId, secret: nodeSecret, isUnfinished: false });
  crypto.wipe(nodeSecret);
  return { clusterId, clusterKey, generation: opened.generation + 1n, rewritten };
}

/** A new recovery code; the old one ends to work on every copy that is present. @throws {ClusterKeyError} as `openClusterKey`. */
export async function renewRecoveryCode(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
): Promise<NewClusterKey> {
  const { clusterId, clusterKey, generation } = await openClusterKey(parts, places);
  const node = await readNodeSecret(parts, places);
  if (node === undefined) throw new ClusterKeyError("missing", "Cannot find the node secret");
  const opened = { clusterId, clusterKey, generation: generation + 1n };
  return sealNew(parts, places, opened, node.secret.slice());
}

const derive = promisify<
  Uint8Array,
  Uint8Array,
  number,
  { N: number; r: number; p: number; maxmem: number },
  Buffer
>(scrypt);

/** 128 MiB each: one at a time. */
let deriving: Promise<unknown> = Promise.resolve();

/** scrypt with the memory its cost asks for, in another thread: half a second that the node goes on in. */
async function passphraseKey(
  { crypto }: ClusterKeyParts,
  passphrase: Uint8Array,
  { salt, cost: { log2N, r, p } }: KeyExportHeader,
): Promise<Uint8Array> {
  const N = 2 ** log2N;
  const options = { N, r, p, maxmem: 128 * N * r * 2 };
  const turn = deriving.then(() => derive(passphrase, salt, 32, options));
  deriving = turn.catch(() => undefined);
  const derived = await turn;
  const key = newBytes(32);
  key.set(derived);
  crypto.wipe(derived);
  return key;
}

/** Node secret and cluster key under a passphrase, which stays as it is meanwhile. @throws {ClusterKeyError} as `openClusterKey`. */
export async function exportClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
  passphrase: Uint8Array,
): Promise<Uint8Array> {
  const opened = await openClusterKey(parts, places);
  const node = await readNodeSecret(parts, places);
  if (node === undefined) throw new ClusterKeyError("missing", "Cannot find the node secret");
  const { clusterId, clusterKey } = opened;
  const keys: ExportedKeys = { clusterId, nodeSecret: node.secret, clusterKey };
  try {
    const header = newKeyExportHeader(parts.prng, clusterId);
    const key = await passphraseKey(parts, passphrase, header);
    return exportKeys(parts.crypto, parts.prng, keys, header, key);
  } finally {
    parts.crypto.wipe(clusterKey);
    parts.crypto.wipe(node.secret);
  }
}

/**
 * Puts back what an export holds: node secret and every copy, under a new recovery code, as the old
 * one cannot be known here. Refuses an export of another cluster than the copies that are there.
 * @throws {ClusterKeyError} `wrong_secret`, `damaged`, `unknown_version`, `exists`, `io`.
 */
export async function importClusterKey(
  parts: ClusterKeyParts,
  places: ClusterKeyPlaces,
  source: Uint8Array,
  passphrase: Uint8Array,
): Promise<NewClusterKey> {
  const sealed = readKeyExport(parts.crypto, source);
  if (typeof sealed === "string") throw fault(sealed, "passphrase");
  const key = await passphraseKey(parts, passphrase, sealed);
  const keys = importKeys(parts.crypto, sealed, key);
  if (typeof keys === "string") throw fault(keys, "passphrase");
  const [best] = await readCopies(parts, places);
  let generation = 0n;
  if (best?.content !== undefined && best.generation !== undefined) {
    generation = best.generation;
    if (!sameBytes(best.content.subarray(16, 32), keys.clusterId)) {
      throw new ClusterKeyError("exists", "Cannot import: the data belongs to another cluster");
    }
  }
  const { clusterId, clusterKey, nodeSecret } = keys;
  const opened = { clusterId, clusterKey, generation: generation + 1n };
  return sealNew(parts, places, opened, nodeSecret);
}
