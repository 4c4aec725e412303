import { assert, KiB, MiB } from "@kiseki/base";

export const headSize = 40;
/** What one WRITE or READ carries at most; the kernel's own ceiling without a change of its settings. */
export const payloadSizeMax = 1 * MiB;
export const pageSize = 4 * KiB;
export const pagesMax = payloadSizeMax / pageSize;
/** What a read of the device must have room for: the kernel asks for the payload and a page of heads. */
export const requestSizeMax = payloadSizeMax + pageSize;
export const nameSizeMax = 255;
/** A symbolic link's target, without its final NUL. */
export const linkSizeMax = 4095;
export const xattrNameSizeMax = 255;
export const xattrValueSizeMax = 64 * KiB;

assert(payloadSizeMax % pageSize === 0, "a payload is whole pages");
assert(pagesMax <= 0xffff, "the count of pages fits its field");
