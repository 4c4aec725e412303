/** What a staged file was at the moment of which it is shown. */
export interface StagedView {
  readonly size: number;
  /** `st_mtime`, in nanoseconds since 1970. */
  readonly modified: bigint;
}

/** All bytes of a file on this machine, open. */
export interface StagedImage extends StagedView {
  /** Where it may be in the namespace. */
  readonly paths: readonly string[];
  /** Of the file that has them, to be read alone. */
  readonly descriptor: number;
  /** Fills `target`, which ends before the image does. False: the image is not what it was, and is not read any more. */
  read(offset: number, target: Uint8Array): boolean;
  close(): void;
}

/** Files that are here as they were at one moment (spec §7.6); whoever changes one asks no more for it. */
export interface StagedFiles {
  view(inode: bigint): StagedView | undefined;
  /** `undefined`: it is not here, or not any more. */
  open(inode: bigint): StagedImage | undefined;
}
