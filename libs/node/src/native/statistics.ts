import { statNamespace } from "@kiseki/composition";
import { NativeRefusal } from "./failure.ts";
import type { FileScope } from "./file-service.ts";
import type { Native } from "./native.ts";

/** There is no table of inodes that could be full: what programs take for "many". */
const filesFreeMax = 2 ** 40;

/** Bytes of content that the pool takes as it would write them now, and has room for. */
function poolBytes(native: Native): { readonly total: number; readonly free: number } {
  const { devices, profile } = native.storeStatus();
  const share =
    profile === undefined
      ? 1
      : profile.kind === "copies"
        ? 1 / profile.copies
        : profile.data / (profile.data + profile.parity);
  let [total, free] = [0, 0];
  for (const { size, used } of devices) {
    total += size;
    free += Math.max(0, size - used);
  }
  return {
    total: Math.floor(total * share),
    free: profile === undefined ? 0 : Math.floor(free * share),
  };
}

/** `statfs` of a namespace: the pool's numbers, or the quota's where there is one. */
export function readStatistics(native: Native, { tenant, namespace }: FileScope) {
  const status = tenant.store.view((map) => statNamespace(map, namespace));
  if (status.kind === "refused") throw new NativeRefusal(status.code);
  const pool = poolBytes(native);
  const { bytesLeft, objectsLeft } = status;
  const free = bytesLeft === undefined ? pool.free : Math.min(pool.free, bytesLeft);
  const total = bytesLeft === undefined ? pool.total : status.bytes + bytesLeft;
  const filesFree = objectsLeft ?? filesFreeMax;
  return {
    totalBytes: BigInt(Math.max(total, free)),
    freeBytes: BigInt(free),
    availableBytes: BigInt(free),
    files: BigInt(status.objects + filesFree),
    filesFree: BigInt(filesFree),
  };
}
