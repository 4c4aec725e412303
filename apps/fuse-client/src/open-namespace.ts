import { MiB } from "@kiseki/base";
import { openDiskCache, openFileSystem } from "@kiseki/client";
import { systemClock, systemPrng } from "@kiseki/host";
import { type FileSystem, isFailure, type KernelCache, RamBlockCache } from "@kiseki/vfs";
import { CommandError, exitCode } from "@kiseki/cli";
import type { MountPlan } from "./cli/mount-plan.ts";
import { connect } from "./connect.ts";

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
  kernel: KernelCache,
  nativeDirectory: string,
  log: Log,
): Promise<OpenNamespace> {
  await using building = new AsyncDisposableStack();
  const { client, crypto } = building.use(await connect(plan, nativeDirectory));
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
