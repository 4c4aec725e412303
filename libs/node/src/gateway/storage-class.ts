import type { ObjectAttributes, ObjectEntry, StorageClass } from "@kiseki/format";
import { isStorageClass } from "@kiseki/format";
import { fail } from "./failure.ts";
import type { CallScope } from "./scope.ts";

/** The pool that content of this class goes to. @throws {GatewayFailure} `InvalidStorageClass`: none here. */
export function poolFor({ ports }: Pick<CallScope, "ports">, storageClass: StorageClass): number {
  const pool = ports.poolOf(storageClass);
  if (pool !== undefined) return pool;
  throw fail("InvalidStorageClass", undefined, [["StorageClassRequested", storageClass]]);
}

/** The class that an upload was begun with. */
export function uploadClass({ storageClass = "STANDARD" }: ObjectAttributes): StorageClass {
  return isStorageClass(storageClass) ? storageClass : "STANDARD";
}

export const storageClassHeader = "x-amz-storage-class";
/** Programs before storage classes kept REDUCED_REDUNDANCY, which was STANDARD, as a header alone. */
export function objectClass(
  { storageClass }: Pick<ObjectEntry, "storageClass">,
  { headers }: Pick<ObjectAttributes, "headers">,
): StorageClass {
  const old = headers.some(([name]) => name === storageClassHeader);
  return storageClass ?? (old ? "REDUCED_REDUNDANCY" : "STANDARD");
}
