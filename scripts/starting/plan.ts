import { existsSync } from "node:fs";
import { mkdir, readFile, statfs, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parseSize } from "../../libs/node/src/config/setting.ts";

/** What `scripts/up` was asked to do. Paths are absolute. */
export interface Plan {
  readonly act: "up" | "status" | "stop" | "help";
  readonly dataDir: string;
  readonly configDir: string;
  readonly mirrors: readonly string[];
  /** Paths; device files are made at the first start. */
  readonly devices: readonly string[];
  readonly deviceSize: string;
  readonly isForeground: boolean;
  readonly isJson: boolean;
}

/** A fault in the words after the command. */
export class PlanError extends Error {
  override readonly name = "PlanError";
}

type Environment = Readonly<Record<string, string | undefined>>;

export const helpText = `scripts/up: from Debian's base system to a running Kiseki node

  --data-dir DIR          shard, catalog and key-store files, and device files  [$XDG_DATA_HOME/kiseki]
  --mirror DIR,...        further folders that hold every sealed file; put them on other disks  [none]
  --devices N|path,...    number of device files to make, or block devices and files  [1]
  --device-size SIZE      size of each device file that is made  [10GiB, or less on a small disk]
  --config-dir DIR        credentials and node secret; never inside the data directory  [$XDG_CONFIG_HOME/kiseki]
  --foreground            stay attached; Ctrl-C stops the node
  --status                say whether the node runs and is ready; exit status 0, 1 not ready, 3 not running
  --stop                  stop the node gracefully
  --json                  one JSON object as the last line
  --help                  this text

All other settings are variables of kiseki-server: docs/operations.md.`;

/** What the words after the command may be. */
export const options = {
  "data-dir": { type: "string" },
  mirror: { type: "string" },
  devices: { type: "string" },
  "device-size": { type: "string" },
  "config-dir": { type: "string" },
  foreground: { type: "boolean" },
  status: { type: "boolean" },
  stop: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean" },
} as const;

const deviceCountMax = 64;
const deviceGiBMax = 10;

/** Bytes that are free where `path` is or would be made. */
async function freeAt(path: string): Promise<number> {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/**
 * Refuses device files for which there is no room: they are written whole, at the first start; one that is
 * missing later is a loss that the node lives with. @throws {PlanError}
 */
export async function checkRoom({ devices, deviceSize, configDir }: Plan): Promise<void> {
  if (existsSync(join(configDir, "devices"))) return;
  const size = parseSize(deviceSize) ?? 0;
  const made = new Map<string, number>();
  for (const path of devices.filter((path) => !existsSync(path)))
    made.set(dirname(path), (made.get(dirname(path)) ?? 0) + 1);
  for (const [folder, count] of made) {
    if (folder === "/dev") throw new PlanError("--devices names a device that is not in /dev");
    const free = await freeAt(folder);
    if (count * size <= free) continue;
    const room = `${(free / 2 ** 30).toFixed(1)} GiB`;
    throw new PlanError(
      `Cannot make ${count} device files of ${deviceSize} in ${folder}: ${room} are free; give --device-size, or --devices on other disks`,
    );
  }
}

/** Up to 10 GiB, and no more than half of what is free where the device files go. */
async function defaultDeviceSize(dataDir: string, count: number): Promise<string> {
  const share = Math.floor((await freeAt(dataDir)) / 2 ** 30 / 2 / count);
  return share >= 1 ? `${Math.min(deviceGiBMax, share)}GiB` : "256MiB";
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options, strict: true, allowPositionals: false }).values;
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : String(reason);
    const [first] = message.split(". "); // what follows is about programs that take other words
    throw new PlanError(`${first}; scripts/up --help lists what it takes`);
  }
}

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

/** `6` → six files in the data directory; else the paths themselves. */
function devicesFrom(text: string, dataDir: string): string[] {
  if (!/^\d+$/.test(text)) return listOf(text).map((path) => resolve(path));
  const count = Number(text);
  if (count < 1 || count > deviceCountMax) {
    throw new PlanError(
      `--devices takes a number from 1 to ${deviceCountMax} or paths, not ${text}`,
    );
  }
  return Array.from({ length: count }, (_, at) => join(dataDir, `device-${at}`));
}

/**
 * Flags, then what the last start of the same config directory was told, then defaults.
 *
 * @throws {PlanError} for words that mean nothing or contradict each other.
 */
export async function planFrom(words: readonly string[], environment: Environment): Promise<Plan> {
  const flags = parse(words);
  const home = environment["HOME"] ?? homedir();
  const configDir = resolve(
    flags["config-dir"] ?? join(environment["XDG_CONFIG_HOME"] || join(home, ".config"), "kiseki"),
  );
  const saved = await readPlan({ configDir });
  const dataDir = resolve(
    flags["data-dir"] ??
      saved?.dataDir ??
      join(environment["XDG_DATA_HOME"] || join(home, ".local/share"), "kiseki"),
  );
  const devices =
    flags.devices === undefined
      ? (saved?.devices ?? devicesFrom("1", dataDir))
      : devicesFrom(flags.devices, dataDir);
  const deviceSize =
    flags["device-size"] ?? saved?.deviceSize ?? (await defaultDeviceSize(dataDir, devices.length));
  if (parseSize(deviceSize) === undefined) {
    throw new PlanError(`--device-size takes a size such as 10GiB, not ${deviceSize}`);
  }
  const isInside = `${configDir}/`.startsWith(`${dataDir}/`);
  if (isInside) {
    throw new PlanError(
      `--config-dir ${configDir} must not be inside --data-dir ${dataDir}: who has the data would have the key`,
    );
  }
  return {
    act: actFrom(flags),
    dataDir,
    configDir,
    mirrors:
      flags.mirror === undefined
        ? (saved?.mirrors ?? [])
        : listOf(flags.mirror).map((path) => resolve(path)),
    devices,
    deviceSize,
    isForeground: flags.foreground === true,
    isJson: flags.json === true,
  };
}

function actFrom(flags: { status?: boolean; stop?: boolean; help?: boolean }): Plan["act"] {
  if (flags.help) return "help";
  if (flags.status && flags.stop) throw new PlanError("--status and --stop are two calls");
  if (flags.status) return "status";
  return flags.stop ? "stop" : "up";
}

/** The words that start the server as planned. */
export function serverWords(plan: Plan): string[] {
  const mirrors = plan.mirrors.length > 0 ? ["--mirror", plan.mirrors.join(",")] : [];
  return [
    "--data-dir",
    plan.dataDir,
    "--config-dir",
    plan.configDir,
    "--devices",
    plan.devices.join(","),
    "--device-size",
    plan.deviceSize,
    ...mirrors,
  ];
}

/** Where `scripts/up` keeps what it knows of the running node. */
export const stateFile = ({ configDir }: { readonly configDir: string }, name: string): string =>
  join(configDir, "up", name);

export async function writePlan(plan: Plan): Promise<void> {
  const { dataDir, configDir, mirrors, devices, deviceSize } = plan;
  await mkdir(join(configDir, "up"), { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ dataDir, configDir, mirrors, devices, deviceSize });
  await writeFile(stateFile(plan, "up.json"), `${text}\n`);
}

/** The settings of the last start; `undefined` before the first one. */
export async function readPlan(place: { readonly configDir: string }): Promise<Plan | undefined> {
  let text: string;
  try {
    text = await readFile(stateFile(place, "up.json"), "utf8");
  } catch {
    return undefined; // never started from here
  }
  const saved = JSON.parse(text) as Pick<
    Plan,
    "dataDir" | "configDir" | "mirrors" | "devices" | "deviceSize"
  >;
  return { ...saved, configDir: place.configDir, act: "up", isForeground: false, isJson: false };
}
