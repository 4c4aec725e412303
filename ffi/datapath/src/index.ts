/**
 * The `Datapath` port by native threads (DESIGN §5): an arena of huge pages, a pool that hashes, seals,
 * codes, reads and writes, and devices. `openDatapath` makes one; another Worker
 * of the same process may join it by its handle: arena, pool, hash states and devices are shared, jobs and the
 * callback that settles them are each Worker's own. A Worker disposes its datapath before it ends.
 *
 * Invariants: C keeps addresses of its own mappings only (`ptr()` is never called); every number in a job
 * record is checked in C before use; keys are wiped from records before a job is reported done; bytes are
 * sealed and hashed from the arena. Freed arena memory is not zeroed: it stays out of core dumps, and out
 * of swap with `lockArena`. After a failed sync a device takes no append until it is opened anew.
 */
export type { DatapathOptions, NativeDatapath } from "./native-datapath.ts";
export { openDatapath } from "./native-datapath.ts";
