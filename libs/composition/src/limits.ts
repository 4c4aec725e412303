import { KiB, MiB, TiB } from "@kiseki/base";
import type { Limits } from "./operation.ts";

/** What S3 promises and no more. */
export const defaultLimits: Limits = {
  keySizeMax: 1024,
  partSizeMin: 5 * MiB,
  partNumberMax: 10_000,
  attributesSizeMax: 16 * KiB,
  extentsMax: 4096,
  objectSizeMax: 5 * TiB,
  doneMs: 24 * 3600 * 1000,
};
