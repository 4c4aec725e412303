/**
 * Creates `path` with `size` bytes of zeros, allocated and written once, synced with its directory.
 * An existing file is left alone and refused. `progress` gets the bytes written so far.
 * @throws the system's error (`EEXIST`, `ENOSPC`, …); a file half made is removed.
 */
export function createDeviceFile(
  _path: string,
  _size: number,
  _progress?: (done: number, total: number) => void,
): Promise<void> {
  throw new Error("Cannot do it: not written");
}
