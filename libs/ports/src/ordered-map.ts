/** An ordered map of byte keys (unsigned byte order, a prefix first) to byte values, read synchronously. */
export interface MapReader {
  /** The value, owned by the caller, or `undefined`. */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Visits rows with keys in `[start, end)` in order (`backward`: from the end) until `visit` answers false.
   * `end` undefined: to the last key. Keys and values are owned by the visitor. Writes of the same
   * transaction to rows not yet visited may or may not be seen: collect first, write after.
   */
  scan(
    range: {
      readonly start: Uint8Array;
      readonly end?: Uint8Array | undefined;
      readonly backward?: boolean;
      /** Rows that the visitor will take, if it knows; they may be fetched at once, and it may take others. */
      readonly expected?: number;
    },
    visit: (key: Uint8Array, value: Uint8Array) => boolean,
  ): void;
}

/** Sees its own writes at once. */
export interface MapWriter extends MapReader {
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}
