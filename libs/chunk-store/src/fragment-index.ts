/**
 * Where fragments lie: one value per (chunk id, seal id), a checkpoint of what the devices say.
 * Not synced by itself: `checkpoint` is. After a crash it holds a state between the last checkpoint
 * and the crash; the store brings it up to date by the tail scan, or rebuilds it from nothing.
 */
export interface FragmentIndex extends Disposable {
  /** The value, owned by the caller, or `undefined`. `key` is chunk id ‖ seal id, 48 bytes. */
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Visits rows with keys after `after` (from the first if `undefined`) in order, at most `countMax`. */
  scan(
    after: Uint8Array | undefined,
    countMax: number,
    visit: (key: Uint8Array, value: Uint8Array) => void,
  ): void;
  /** Rows now; may cost a scan. */
  count(): number;
  /** Small named values beside the rows: device marks, zone tables. */
  meta(name: string): Uint8Array | undefined;
  putMeta(name: string, value: Uint8Array): void;
  /** Makes the changes so far survive a killed process; cheap. */
  flush(): void;
  /** Makes the changes so far survive a power cut. */
  checkpoint(): void;
  /** Forgets everything. */
  clear(): void;
  /** What it says contradicts what is known: the next opening begins with an empty one. Lasts. */
  condemn(): void;
}
