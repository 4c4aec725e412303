import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { resolve } from "node:path";
import {
  ChunkPools,
  ChunkStore,
  ChunkStoreError,
  createDeviceFile,
  DamagedIndexError,
  formatDevices,
  type NodePool,
  openSqliteIndex,
  poolOfDevice,
} from "@kiseki/chunk-store";
import type { NativeDatapath } from "@kiseki/datapath";
import { defaultPoolName, type NamedPool, readPools } from "../config/pools.ts";
import type { ConfigDirectory } from "./config-directory.ts";
import type { ServerSettings, StorageParts } from "./open-storage.ts";

interface PoolParts extends StorageParts {
  readonly config: ConfigDirectory;
  readonly datapath: NativeDatapath;
  readonly clusterId: Uint8Array;
}
/** A pool whose number is known. */
interface Numbered extends NamedPool {
  readonly number: number;
  /** Its devices were ever formatted for this node. */
  readonly isNoted: boolean;
}

export function devicePathsOf(
  settings: Pick<ServerSettings, "devices" | "dataDir">,
): readonly string[] {
  return settings.devices.length > 0 ? settings.devices : [`${settings.dataDir}/device-0`];
}
/** Those of all pools. */
export const allDevicePaths = (
  settings: Pick<ServerSettings, "devices" | "dataDir" | "pools">,
): readonly string[] => [
  ...devicePathsOf(settings),
  ...readPools(settings.pools).value.flatMap(({ devices }) => devices),
];

/**
 * Opens the node's pools; the first time makes and formats their devices. What the superblocks say of a device's pool
 * holds: one that is given for another pool is not used. A further pool that does not open is absent, and the rest goes on.
 * @throws {ChunkStoreError} when the default pool does not open, or when a pool's number cannot be told.
 */
export async function openPools(parts: PoolParts): Promise<ChunkPools> {
  const { config, settings, log } = parts;
  await using opened = new AsyncDisposableStack();
  const pools: NodePool[] = [];
  for (const pool of await numberPools(parts)) {
    const { name, number } = pool;
    try {
      await prepareDevices(parts, pool);
      const store = opened.use(await openStore(parts, pool));
      pools.push({ name, number, store });
    } catch (reason) {
      if (number === 0 || !pool.isNoted || !(reason instanceof ChunkStoreError)) throw reason;
      log.error({ pool: name, error: reason.message }, "a pool does not open: it is absent");
      pools.push({ name, number, store: undefined, reason: reason.message });
    }
  }
  await config.noteDevices();
  await noteNumbers(config, pools);
  await config.endFormatting();
  const chunkPools = new ChunkPools(pools.toSorted((a, b) => a.number - b.number));
  const used = chunkPools.status().devices.map(({ path }) => path);
  for (const path of settings.devices.filter((given) => !used.includes(given))) {
    log.warn(
      { device: path },
      "a given device is none of the pool's: it was replaced or is not usable",
    );
  }
  opened.move();
  return chunkPools;
}

async function noteNumbers(config: ConfigDirectory, pools: readonly NodePool[]): Promise<void> {
  const noted = await config.readPools();
  const further = pools.filter(({ number }) => number > 0);
  if (further.every(({ name }) => noted.has(name))) return;
  await config.notePools(
    new Map([...noted, ...further.map(({ name, number }) => [name, number] as const)]),
  );
}

/** The default pool first. A pool's number is the noted one, else that of its devices, else the next that is free. */
async function numberPools(parts: PoolParts): Promise<readonly Numbered[]> {
  const { settings, config } = parts;
  const noted = await config.readPools();
  const unfinished = await config.readFormatting();
  const given = readPools(settings.pools).value;
  for (const name of noted.keys()) {
    if (given.some((pool) => pool.name === name)) continue;
    throw new ChunkStoreError(
      "unavailable",
      `Cannot open the pools: ${name} has devices of this node; name it in --pools, with its devices`,
    );
  }
  const taken = new Set([0, ...noted.values()]);
  const numbered: Numbered[] = [
    {
      name: defaultPoolName,
      devices: devicePathsOf(settings),
      number: 0,
      isNoted: await config.hasDevices(),
    },
  ];
  const onDevices = new Map<string, number | undefined>();
  for (const pool of given) {
    if (noted.has(pool.name)) continue;
    const number = await numberOnDevices(parts, pool);
    if (number !== undefined && taken.has(number)) throw misplaced(pool, number);
    if (number !== undefined) taken.add(number);
    onDevices.set(pool.name, number);
  }
  let next = 1;
  for (const pool of given) {
    let number = noted.get(pool.name) ?? onDevices.get(pool.name);
    const isCutShort = pool.devices.some((path) => unfinished.includes(path));
    const isNoted = noted.has(pool.name) || (number !== undefined && !isCutShort);
    if (number === undefined) {
      while (taken.has(next)) next += 1;
      taken.add((number = next));
    }
    numbered.push({ ...pool, number, isNoted });
  }
  return numbered;
}
const misplaced = ({ name }: NamedPool, number: number): ChunkStoreError =>
  new ChunkStoreError(
    "other_pool",
    `Cannot open pool ${name}: its devices say that they are pool ${number}, which is another one`,
  );

async function numberOnDevices(
  { datapath, crypto, clusterId, settings }: PoolParts,
  pool: NamedPool,
): Promise<number | undefined> {
  const numbers = new Set<number>();
  for (const path of pool.devices) {
    const number = await poolOfDevice({ datapath, crypto }, { path }, clusterId);
    if (number !== undefined && !(settings.force && number === 0)) numbers.add(number);
  }
  const [first, other] = numbers;
  if (other !== undefined) throw misplaced(pool, other);
  return first;
}

/** Paths of the settings, and those that took a device's place since: superblocks say which of them count. */
async function pathsOf(pool: NamedPool, config: ConfigDirectory): Promise<readonly string[]> {
  const paths = new Map<string, string>();
  for (const path of [...pool.devices, ...(await config.readReplacements())]) {
    if (!paths.has(resolve(path))) paths.set(resolve(path), path);
  }
  return [...paths.values()];
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}

/**
 * At the first start makes the device files that are missing and formats all. Later a device that is missing
 * is a loss, to be replaced by hand: it is never made anew.
 */
async function prepareDevices(
  { crypto, prng, settings, log, config, datapath, clusterId }: PoolParts,
  pool: Numbered,
): Promise<void> {
  if (pool.isNoted) return;
  for (const path of pool.devices) {
    if (await exists(path)) continue;
    log.info({ size: settings.deviceSize }, "making a device file");
    await createDeviceFile(path, settings.deviceSize);
  }
  const devices = pool.devices.map((path) => ({ path }));
  const { force } = settings;
  const unfinished = await config.readFormatting();
  const options = {
    devices,
    clusterId,
    nodeId: clusterId,
    force,
    pool: pool.number,
    unfinished,
    onBlank: () => config.noteFormatting([...unfinished, ...pool.devices]),
  };
  try {
    await formatDevices({ crypto, prng, datapath }, options);
  } catch (reason) {
    // The config directory was lost since they were formatted: opening tells whether they are ours.
    if (!(reason instanceof ChunkStoreError && reason.code === "already_formatted")) throw reason;
  }
}

async function openStore(
  { clock, prng, crypto, metrics, settings, log, config, datapath, clusterId }: PoolParts,
  pool: Numbered,
): Promise<ChunkStore> {
  const { number } = pool;
  const paths = await pathsOf(pool, config);
  const file = number === 0 ? "fragment-index.db" : `fragment-index-${number}.db`;
  const { allowSingleCopy } = settings;
  const open = async (): Promise<ChunkStore> => {
    const index = openSqliteIndex(`${settings.dataDir}/${file}`);
    try {
      return await ChunkStore.open(
        { clock, prng, crypto, datapath, metrics, index },
        { devices: paths.map((path) => ({ path })), clusterId, pool: number, allowSingleCopy },
      );
    } catch (reason) {
      index[Symbol.dispose]();
      throw reason;
    }
  };
  return open().catch((reason: unknown) => {
    if (!(reason instanceof DamagedIndexError)) throw reason;
    log.warn({}, "the fragment index is damaged: it is made anew from the devices");
    return open();
  });
}
