/**
 * The FUSE device of Linux: `mountFuse` and `unmountFuse`, with the rights of mount(2) or through fusermount3, and
 * `FuseDevice`, whose native threads read requests into memory of their own and hand them to this thread.
 *
 * Invariants: C keeps addresses of its own mappings only; an answer goes to the descriptor its request was read from;
 * every write to the device is checked and its refusal returned; this thread never waits for the kernel:
 * notifications have a thread of their own. Opens of files that are vouched for are answered without it, and it can take such
 * handles over; so are reads of blocks that were lent. Refuses sizes that do not fit before it takes memory.
 */
export type { QuickHandle, Slot } from "./fuse-device.ts";
export { FuseDevice } from "./fuse-device.ts";
export { mountFlags, mountFuse, unmountFuse } from "./mount.ts";
export { openReadCached } from "./read-cached.ts";
