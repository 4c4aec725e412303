/** For tests of other libs: a map in memory that counts what is touched. */
export type { MemoryMap } from "./memory-map.test-helper.ts";
export { memoryMap } from "./memory-map.test-helper.ts";
