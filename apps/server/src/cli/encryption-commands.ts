import { existsSync } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { answers } from "@kiseki/rpc";
import { adminSocketName } from "./connection.ts";
import { CommandError, exitCode } from "@kiseki/cli";
import { readNewSecret, readSecret } from "./secrets.ts";
import { type Session, textOption, type Work } from "./session.ts";

const exportSizeMax = 4096;

/** Asks the node for node secret and cluster key, sealed by a passphrase, and writes them to a new file. */
export const exportEncryption: Work = async (session, path) => {
  const { console } = session;
  const target = path ?? "";
  if (existsSync(target)) throw cannotWrite(`${target} exists`);
  const passphrase = await readNewSecret("Passphrase", textOption(session, "passphraseFile"));
  const client = await session.client();
  const { sealed } = await client.exportEncryption({ passphrase }, { signal: session.signal });
  try {
    await using file = await open(target, "wx", 0o600);
    await file.writeFile(sealed);
    await file.sync();
  } catch (reason) {
    throw cannotWrite(reason instanceof Error ? reason.message : "unknown");
  }
  console.emit({ file: target, byteCount: sealed.byteLength });
  console.say(`Wrote ${target}. Keep it apart from the node, and the passphrase apart from it.`);
  return exitCode.ok;
};

const cannotWrite = (why: string): CommandError =>
  new CommandError(
    exitCode.arguments,
    `Cannot write the export: ${why}`,
    "Name a file that does not exist yet.",
  );

interface Places {
  readonly configDirectory: string;
  readonly directories: readonly string[];
}

/** Folders of a stopped node. */
function placesOf(session: Session): Places {
  const configDirectory = textOption(session, "configDir") ?? process.env["KISEKI_CONFIG_DIR"];
  const dataDir = textOption(session, "dataDir") ?? process.env["KISEKI_DATA_DIR"];
  const mirrors = textOption(session, "mirror") ?? process.env["KISEKI_MIRRORS"] ?? "";
  if (!configDirectory || !dataDir) {
    throw new CommandError(
      exitCode.arguments,
      "Name the folders of the stopped node with --config-dir and --data-dir (and --mirror)",
    );
  }
  return {
    configDirectory,
    directories: [dataDir, ...mirrors.split(",").filter((item) => item !== "")],
  };
}

/** A node holds a lock on each of its data directories while it runs. */
async function isLocked(directory: string): Promise<boolean> {
  const [found, locks] = await Promise.all([
    stat(directory).catch(() => undefined),
    readFile("/proc/locks", "utf8").catch(() => ""),
  ]);
  return found !== undefined && new RegExp(`FLOCK .*:${found.ino} 0 EOF`).test(locks);
}

async function refuseRunning({ configDirectory, directories }: Places): Promise<void> {
  const held = await Promise.all(directories.map(isLocked));
  if (!held.includes(true) && !(await answers(`${configDirectory}/${adminSocketName}`))) return;
  throw new CommandError(
    exitCode.general,
    "The node is running",
    "Stop it first: this changes what it started with.",
  );
}

/** Loaded only here: other commands need no native library. */
async function keyWork(places: Places) {
  const [{ openCrypto, systemPrng }, { ConfigDirectory, keyFiles }, kms, { nativeDirectory }] =
    await Promise.all([
      import("@kiseki/host"),
      import("@kiseki/node"),
      import("@kiseki/kms"),
      import("../native-directory.ts"),
    ]);
  const config = await ConfigDirectory.open(places.configDirectory);
  const parts = { crypto: openCrypto(nativeDirectory), prng: systemPrng, files: keyFiles };
  return { kms, config, parts };
}

/** Typed refusals of the key files as failures of the command. */
async function orExplain<T>(work: Promise<T>, advice: string): Promise<T> {
  try {
    return await work;
  } catch (reason) {
    if (!(reason instanceof Error && reason.name === "ClusterKeyError")) throw reason;
    throw new CommandError(exitCode.general, reason.message, advice);
  }
}

/**
 * A node that had a cluster key has formatted its devices. Without this note its next start would take
 * missing ones for new and format them.
 */
async function hadClusterKey({ directories }: Places): Promise<boolean> {
  const found = await Promise.allSettled(
    directories.map((directory) => stat(`${directory}/cluster-key`)),
  );
  return found.some(({ status }) => status === "fulfilled");
}

/** No more of a file than an export can have. */
async function readExport(path: string): Promise<Uint8Array> {
  const source = new Uint8Array(exportSizeMax + 1);
  let size = 0;
  try {
    await using file = await open(path, "r");
    for (let count = -1; count !== 0 && size < source.byteLength; size += count) {
      count = (await file.read(source, size)).bytesRead;
    }
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : "unknown";
    throw new CommandError(exitCode.arguments, `Cannot read the export: ${message}`);
  }
  if (size > exportSizeMax) {
    throw new CommandError(exitCode.arguments, `Cannot use ${path}: it is too large for an export`);
  }
  return source.slice(0, size);
}

/** Puts back what an export holds, and makes a new recovery code. */
export const importEncryption: Work = async (session, path) => {
  const { console } = session;
  const places = placesOf(session);
  await refuseRunning(places);
  const source = await readExport(path ?? "");
  const passphrase = await readSecret("Passphrase", textOption(session, "passphraseFile"));
  const isKnown = await hadClusterKey(places);
  const { kms, config, parts } = await keyWork(places);
  const work = kms.importClusterKey(parts, places, source, new TextEncoder().encode(passphrase));
  const advice = "Check passphrase and file; nothing was changed.";
  const { recoveryCode, clusterKey, rewritten } = await orExplain(work, advice);
  parts.crypto.wipe(clusterKey);
  if (isKnown) await config.noteDevices();
  console.emit({ configDir: places.configDirectory, recoveryCode, rewritten });
  console.say(`The node can start again with --config-dir ${places.configDirectory}.`);
  console.say(`New recovery code  ${recoveryCode}`);
  console.note(
    "The code is shown this once; the old one does not work any more. Keep it apart from the node.",
  );
  return exitCode.ok;
};

/** After the config directory was lost: opens with the recovery code and makes a new node secret. */
export const recoverEncryption: Work = async (session) => {
  const { console } = session;
  const places = placesOf(session);
  await refuseRunning(places);
  const code = await readSecret("Recovery code", textOption(session, "codeFile"));
  const isKnown = await hadClusterKey(places);
  const { kms, config, parts } = await keyWork(places);
  const work = kms.recoverClusterKey(parts, places, code);
  const advice = "Check the code and --data-dir; nothing was changed.";
  const { clusterKey, rewritten } = await orExplain(work, advice);
  parts.crypto.wipe(clusterKey);
  if (isKnown) await config.noteDevices();
  console.emit({ configDir: places.configDirectory, rewritten });
  console.say(
    `The node can start again with --config-dir ${places.configDirectory}; the code goes on to work.`,
  );
  console.note(
    "The first start makes a new access key (credentials.json) and RPC token; old access keys go on to work.",
  );
  return exitCode.ok;
};
