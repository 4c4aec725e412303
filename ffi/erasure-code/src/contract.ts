/** For tests and the simulator: the code in plain TypeScript, without the native library. Pure. */
export { slowDecode, slowEncode } from "./slow-coder.ts";
