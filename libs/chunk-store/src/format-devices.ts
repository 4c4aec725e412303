import type { DeviceId } from "@kiseki/base";
import type { ChunkStorePorts, FormatOptions } from "./types.ts";

/**
 * Writes superblocks that make `devices` one pool. Files must exist with their size
 * (`createDeviceFile`); block devices as they are.
 * @throws {ChunkStoreError} `foreign_signature`, `already_formatted` (unless `force`), `bad_size`; nothing is written then.
 */
export function formatDevices(
  _ports: Pick<ChunkStorePorts, "crypto" | "prng" | "datapath">,
  _options: FormatOptions,
): Promise<readonly DeviceId[]> {
  throw new Error("Cannot do it: not written");
}
