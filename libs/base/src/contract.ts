/** What tests of other packages take from here: the kit that fuzz targets are made with. */
export type { FuzzTarget } from "./fuzz-kit.test-helper.ts";
export { fuzz, FuzzFailure, must, mutateBytes, mutateText, pick } from "./fuzz-kit.test-helper.ts";
