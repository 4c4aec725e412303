/** The native client. Refuses nothing by throwing where a value can say it. */
export type { FileSystemOptions } from "./files/mount.ts";
export { openFileSystem } from "./files/open-file-system.ts";
