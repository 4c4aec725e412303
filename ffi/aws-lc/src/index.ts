/**
 * AWS-LC by bun:ffi: the synchronous `Crypto` port and locked memory for keys. One shared object links
 * AWS-LC statically (`scripts/native`), hidden from every other libcrypto of the process. C borrows
 * each buffer for the call only. What a caller gets wrong in sizes is an assertion; a tag that does not
 * fit is `undefined`, never bytes.
 */
export type { AwsLc } from "./aws-lc.ts";
export { openAwsLc } from "./aws-lc.ts";
