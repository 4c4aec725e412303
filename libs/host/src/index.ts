/**
 * The real world behind the ports: clocks, the secure source of chance, AWS-LC, files that are
 * replaced whole, and locks of files. No rules live here.
 */
export { systemClock } from "./clock.ts";
export { nativeDirectory, openCrypto } from "./crypto.ts";
export { makeDirectory, replaceFile } from "./files.ts";
export { tryLock } from "./lock.ts";
export { systemPrng } from "./prng.ts";
