import type { Bytes } from "@kiseki/base";
import { bytes, GiB, MiB } from "@kiseki/base";

/** Below this much free space in the data directory no batch that adds begins (STORE §2). */
const freeSizeAddMin = bytes(GiB);
/** Below this part of the directory's file system likewise: 5 of 100. */
const freePercentAddMin = 5;
/** Down to this, batches that only delete go on. */
const freeSizeDeleteMin = bytes(256 * MiB);

/** What the owner may begin: everything, batches that only delete, or none (reads go on). */
export type Admission = "all" | "deletes" | "none";

/** Decides from the data directory's space; with mirrors the caller passes the scarcest member. */
export function admitBatches(space: { readonly free: Bytes; readonly total: Bytes }): Admission {
  if (space.free < freeSizeDeleteMin) return "none";
  if (space.free < freeSizeAddMin) return "deletes";
  return space.free < (space.total * freePercentAddMin) / 100 ? "deletes" : "all";
}
