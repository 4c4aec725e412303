import { hostname } from "node:os";
import { MiB } from "@kiseki/base";
import { openClient, openDiskCache, openFileSystem } from "@kiseki/client";
import { openDatapath } from "@kiseki/datapath";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { type FileSystem, isFailure, type KernelCache, RamBlockCache } from "@kiseki/vfs";
import { CommandError, exitCode } from "@kiseki/cli";
import { exitOf } from "./cli/fates.ts";
import type { IdentityTexts } from "./cli/identity.ts";
import type { MountPlan } from "./cli/mount-plan.ts";

/** Bounds what is being sealed, sent, fetched and opened. */
const arenaSize = 128 * MiB;
const computeThreads = 2;
/** Written and not stored yet. */
const dirtySizeMax = 64 * MiB;
const readAheadMax = 32 * MiB;

export type Log = (event: string, detail: Readonly<Record<string, unknown>>) => void;

/** A namespace as files, with all that it stands on. */
export interface OpenNamespace extends AsyncDisposable {
  readonly fileSystem: FileSystem;
  readonly isReadOnly: boolean;
}

/** Connects and looks at the root. @throws {CommandError} in words for whoever mounts. */
export async function openNamespace(
  plan: MountPlan,
  identity: IdentityTexts,
  kernel: KernelCache,
  nativeDirectory: string,
  log: Log,
): Promise<OpenNamespace> {
  await using building = new AsyncDisposableStack();
  const crypto = openCrypto(nativeDirectory);
  const datapath = building.use(
    openDatapath({ directory: nativeDirectory, arenaSize, computeThreads, deviceThreads: 1 }),
  );
  const client = await openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath },
    {
      seeds: plan.seeds,
      tenant: plan.tenant,
      namespace: plan.namespace,
      identity,
      hostName: hostname(),
      deadlineMs: plan.timeoutMs,
    },
  );
  if (client.kind === "refused") throw new CommandError(exitOf(client.code), client.message);
  building.defer(() => client.close());
  const isReadOnly = plan.isReadOnly || client.isReadOnly;
  const { cacheMode, cacheDirectory, cacheL1Max, cacheL2Max, metaTtlMs } = plan.settings;
  const cacheSizeMax = cacheMode === "bypass" ? 0 : cacheL1Max;
  let { content } = client;
  if (cacheMode !== "bypass" && cacheL1Max > 0 && cacheL2Max > 0) {
    const cache = await openDiskCache(
      { crypto, prng: systemPrng, content },
      {
        directory: cacheDirectory,
        tenant: client.tenant,
        mode: cacheMode,
        sizeMax: cacheL2Max,
        onFault: (code) => {
          log("cache_fault", { code });
        },
      },
    );
    building.defer(() => cache.close());
    content = cache.content;
  }
  const fileSystem = await openFileSystem(
    {
      service: client.files,
      content,
      clock: systemClock,
      cache: new RamBlockCache(cacheSizeMax),
      kernel,
    },
    { metaTtlMs, cacheSizeMax, dirtySizeMax, readAheadMax, isReadOnly },
  );
  if (isFailure(fileSystem)) {
    const message = `Cannot read the root of ${plan.namespace}: ${fileSystem.name}`;
    throw new CommandError(exitCode.general, message);
  }
  const parts = building.move();
  return { fileSystem, isReadOnly, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
