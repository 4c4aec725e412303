/** For tests of other libs: a map in memory that counts what is touched, and a check of all invariants. */
export { checkMap } from "./check-map.test-helper.ts";
export type { MemoryMap } from "./memory-map.test-helper.ts";
export { memoryMap } from "./memory-map.test-helper.ts";
