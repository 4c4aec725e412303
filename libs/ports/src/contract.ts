/** What every driver of a port runs in its own tests. Never imported by a program. */
export { cryptoContract } from "./crypto.contract.ts";
