import { assert, KiB } from "@kiseki/base";

/** Bounds of one request, all in bytes or counts; nothing is buffered past them. */
export interface HttpLimits {
  /** Request line and header lines with their line ends, up to and with the empty line. */
  readonly headSizeMax: number;
  /** The request target alone. A key of 1024 bytes is up to 3 KiB when escaped. */
  readonly targetSizeMax: number;
  readonly headerCountMax: number;
  /** Content-Length, or the sum of chunk sizes. */
  readonly bodySizeMax: number;
  /** One chunk's extensions, and sixteen times that over a whole body. */
  readonly chunkExtensionSizeMax: number;
  /** The trailer section with its line ends. */
  readonly trailerSizeMax: number;
  readonly trailerCountMax: number;
}

/** A chunk size has at most this many hex digits: any safe integer fits. */
export const chunkSizeDigitsMax = 13;

export const httpLimitsDefault: HttpLimits = {
  headSizeMax: 64 * KiB,
  targetSizeMax: 16 * KiB,
  headerCountMax: 100,
  bodySizeMax: 8 * 1024 * 1024 * 1024 * 1024, // over the 5 TiB of the largest object with its framing
  chunkExtensionSizeMax: 256,
  trailerSizeMax: 8 * KiB,
  trailerCountMax: 32,
};
assert(httpLimitsDefault.targetSizeMax < httpLimitsDefault.headSizeMax, "a target fits a head");
assert(Number.isSafeInteger(httpLimitsDefault.bodySizeMax), "a body size is a safe integer");

/** Bounds of one form; the file itself is the caller's to bound. */
export interface FormLimits {
  /** Names and values of the fields together; AWS's limit. */
  readonly fieldSizeMax: number;
  readonly fieldCountMax: number;
  /** Everything before the file's first byte, heads and delimiters with it. */
  readonly headSizeMax: number;
  /** What may follow the file. */
  readonly restSizeMax: number;
}

export const formLimitsDefault: FormLimits = {
  fieldSizeMax: 20 * KiB,
  fieldCountMax: 100,
  headSizeMax: 64 * KiB,
  restSizeMax: 64 * KiB,
};
assert(formLimitsDefault.fieldSizeMax < formLimitsDefault.headSizeMax, "the fields fit the head");
