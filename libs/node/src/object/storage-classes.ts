import type { StorageClass } from "@kiseki/format";

/** The number of the pool that a storage class means on this node; `undefined`: none, the class is refused. */
export type PoolOfClass = (storageClass: StorageClass) => number | undefined;

/** STANDARD is the default pool; so is REDUCED_REDUNDANCY unless it is mapped, since clients may ask for it anywhere. */
export function mapClasses(
  mapping: ReadonlyMap<StorageClass, string>,
  pools: readonly { readonly number: number; readonly name: string }[],
): PoolOfClass {
  const numbers = new Map<StorageClass, number>([
    ["STANDARD", 0],
    ["REDUCED_REDUNDANCY", 0],
  ]);
  for (const [storageClass, name] of mapping) {
    const pool = pools.find((each) => each.name === name);
    if (pool !== undefined) numbers.set(storageClass, pool.number);
  }
  return (storageClass) => numbers.get(storageClass);
}
