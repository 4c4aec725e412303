import { MiB } from "@kiseki/base";
import type { CachePolicy } from "@kiseki/cache";
import {
  type Client,
  type ClientWorkflows,
  type DiskCache,
  guardCache,
  type MountedFiles,
  openDiskCache,
  openFileSystem,
  resolvePolicy,
} from "@kiseki/client";
import { openReadCached } from "@kiseki/fuse-device";
import { systemClock, systemPrng } from "@kiseki/host";
import { isFailure, type KernelCache, RamBlockCache } from "@kiseki/vfs";
import { CommandError, exitCode } from "@kiseki/cli";
import type { MountPlan } from "./cli/mount-plan.ts";
import { clampSettings, type MountSettings } from "./cli/settings.ts";
import { CacheCounters, type CacheStats } from "./cache-counters.ts";
import { connect } from "./connect.ts";
import type { CacheOwner } from "./process/cache-calls.ts";
import { serveControl } from "./process/pool-control.ts";

/** Written and not stored yet. */
const dirtySizeMax = 64 * MiB;
const readAheadMax = 32 * MiB;
/** Smaller staged files are opened faster by the device itself, and fit the kernel's own cache. */
const passSizeMin = 256 * 1024;

export type Log = (event: string, detail: Readonly<Record<string, unknown>>) => void;

/** What staging into the pool of this process takes. */
export interface StagingParts {
  readonly client: Client;
  readonly cache: DiskCache | undefined;
  /** Bytes that images may take. */
  readonly sizeMax: number;
  /** By policy. */
  readonly isAllowed: boolean;
  /** Why there is no cache on disk, where one was asked for. */
  readonly fault: string | undefined;
}

/** A namespace as files, with all that it stands on. */
export interface OpenNamespace extends AsyncDisposable {
  readonly fileSystem: MountedFiles;
  readonly isReadOnly: boolean;
  /** What policy left of what was asked for. */
  readonly settings: MountSettings;
  /** The kernel may read staged files by itself. */
  readonly isPassing: boolean;
  readonly counters: CacheCounters;
  /** Absent without a cache on disk. */
  readonly latencies: DiskCache["latencies"] | undefined;
  readonly workflows: ClientWorkflows;
  readonly staging: StagingParts;
  /** What is not as it was asked for, for whoever opened it. */
  readonly notes: readonly string[];
  stats(): CacheStats;
  /** Nothing that was read before is served any more; what is kept on disk is erased when it settles. */
  wipe(): Promise<void>;
}

/** Connects and looks at the root. @throws {CommandError} in words for whoever mounts. */
export async function openNamespace(
  plan: MountPlan & { readonly isStaging?: boolean },
  kernel: KernelCache,
  nativeDirectory: string,
  log: Log,
): Promise<OpenNamespace> {
  await using building = new AsyncDisposableStack();
  const { client, crypto } = building.use(await connect(plan, nativeDirectory));
  const isReadOnly = plan.isReadOnly || client.isReadOnly;
  const { policy, settings, notes } = await underPolicy(plan, client, log);
  const { cacheMode, cacheL1Max, cacheL2Max: sizeMax, metaTtlMs } = settings;
  const cacheSizeMax = cacheMode === "bypass" ? 0 : cacheL1Max;
  const counters = new CacheCounters(cacheMode === "bypass");
  const memory = new RamBlockCache(cacheSizeMax);
  const nodes = counters.fetches(client.content);
  const { codes, onFault } = watchFaults(counters, log);
  const { isStaging } = plan;
  const ports = { crypto, content: nodes, kernel, readNow: openReadCached(nativeDirectory) };
  const cache = await openCache(client, ports, settings, policy, { onFault, isStaging });
  if (cache !== undefined) building.defer(() => cache.close());
  const fault = cache && faultOf(cache, settings, codes);
  const told = [...notes, fault, cache && adoptionNote(cache, settings, policy, codes)];
  const isPassing = isReadOnly && cache?.staged !== undefined && process.geteuid?.() === 0;
  const fileSystem = await openFileSystem(
    {
      service: client.files,
      content: counters.reads(cacheL1Max > 0 && cache !== undefined ? cache.content : nodes),
      clock: systemClock,
      cache: counters.memory(memory),
      kernel,
      staged: cache?.staged && counters.images(cache.staged),
    },
    {
      ...{ metaTtlMs, cacheSizeMax, dirtySizeMax, readAheadMax, isReadOnly },
      passSizeMin: isPassing ? passSizeMin : undefined,
    },
  );
  if (isFailure(fileSystem)) {
    const message = `Cannot read the root of ${plan.namespace}: ${fileSystem.name}`;
    throw new CommandError(exitCode.general, message);
  }
  const wipe = async (): Promise<void> => {
    counters.wipes += 1;
    const erased = cache?.wipe();
    fileSystem.wipe();
    await erased;
  };
  const stats = (): CacheStats =>
    counters.stats(memory.byteCount, cache?.sizeOnDisk ?? 0, kernel.blocks?.lentReads);
  if (cache?.pool !== undefined)
    building.use(controlOf(cache.pool, { settings, latencies: cache.latencies, stats, wipe }, log));
  building.use(
    startGuard(client, policy, {
      // The kernel's pages are to go even where nothing else is kept.
      trust: (isTrusting) => cache?.accept(isTrusting),
      wipe: (why) => {
        log("cache_wiped", { why });
        return wipe();
      },
    }),
  );
  const parts = building.move();
  const done = { [Symbol.asyncDispose]: () => parts.disposeAsync() };
  const staging = { client, cache, sizeMax, isAllowed: policy.isStagingEnabled, fault };
  const { workflows } = client;
  const known = { isReadOnly, settings, isPassing, counters, workflows, staging };
  const said = told.filter((note) => note !== undefined);
  return { fileSystem, ...known, notes: said, latencies: cache?.latencies, stats, wipe, ...done };
}

/** Codes of what goes wrong with the cache on disk, as it is counted and logged. */
function watchFaults(counters: CacheCounters, log: Log) {
  const codes: string[] = [];
  const onFault = (code: string): void => {
    counters.errors += 1;
    codes.push(code);
    log("cache_fault", { code });
  };
  return { codes, onFault };
}
function faultOf(
  { pool }: DiskCache,
  { cacheDirectory }: MountSettings,
  codes: readonly string[],
): string | undefined {
  if (pool !== undefined) return undefined;
  const why = codes.at(-1) === "EPERM" ? "it is another's, or others may change it" : codes.at(-1);
  return `nothing is kept on disk: ${cacheDirectory} cannot be used (${why}); name another folder by KISEKI_CACHE_DIR`;
}
/** Said where whoever staged waits for nothing. */
function adoptionNote(
  { pool }: DiskCache,
  { poolId }: MountSettings,
  policy: CachePolicy,
  codes: readonly string[],
): string | undefined {
  if (poolId === undefined || pool?.id === poolId) return undefined;
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "there is no such pool in the folder of the cache",
    EBUSY: "another process has it",
  };
  const code = codes[0] ?? "";
  const why = policy.isStagingEnabled ? (reasons[code] ?? code) : "policy allows no staging";
  return `the pool ${poolId} is not taken over: ${why}; files are read from the nodes`;
}

/** Where there can be no socket the owner of the pool has signals. */
function controlOf(
  pool: Parameters<typeof serveControl>[0],
  owner: CacheOwner,
  log: Log,
): AsyncDisposable {
  const wipe = (): Promise<void> => {
    log("cache_wiped", { why: "asked" });
    return owner.wipe();
  };
  try {
    return serveControl(pool, { ...owner, wipe });
  } catch (reason) {
    log("cache_control", { failure: reason instanceof Error ? reason.message : String(reason) });
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  }
}

function startGuard(
  client: Client,
  policy: CachePolicy,
  acts: Pick<Parameters<typeof guardCache>[1], "trust" | "wipe">,
): AsyncDisposable {
  const ending = new AbortController();
  const ask = (timeoutMs: number): ReturnType<Client["keyHealth"]> => client.keyHealth(timeoutMs);
  const ended = guardCache(systemClock, { policy, ask, ...acts }, ending.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await ended;
    },
  };
}

async function underPolicy(
  { settings: wanted }: MountPlan,
  client: Client,
  log: Log,
): Promise<{
  readonly policy: CachePolicy;
  readonly settings: MountSettings;
  readonly notes: readonly string[];
}> {
  const asked = client.cachePolicy();
  const found = await resolvePolicy(asked, wanted.cacheDirectory, client.tenant);
  const { settings, notes } = clampSettings(wanted, found.policy);
  log("cache_policy", { source: found.source, mode: settings.cacheMode, notes });
  return { policy: found.policy, settings, notes };
}

async function openCache(
  client: Client,
  ports: Pick<Parameters<typeof openDiskCache>[0], "content" | "crypto" | "kernel" | "readNow">,
  { cacheMode, cacheDirectory, cacheL1Max, cacheL2Max, poolId }: MountSettings,
  policy: CachePolicy,
  { onFault, isStaging }: Pick<Parameters<typeof openDiskCache>[1], "onFault" | "isStaging">,
): Promise<DiskCache | undefined> {
  const isUsed = cacheL2Max > 0 && (cacheL1Max > 0 || poolId !== undefined);
  if (cacheMode === "bypass" || !isUsed) return undefined;
  return openDiskCache(
    { clock: systemClock, prng: systemPrng, ...ports },
    {
      directory: cacheDirectory,
      tenant: client.tenant,
      namespace: client.namespace,
      mode: cacheMode,
      sizeMax: cacheL2Max,
      nodeSizeMax: policy.nodeSizeMax,
      adopted: policy.isStagingEnabled ? poolId : undefined,
      isStaging,
      onFault,
    },
  );
}
