/** A staged file: an image of all its bytes at one moment, and whose they are. */
export interface StagedFile {
  /** Below the dataset, `/` between names; what is no UTF-8 stands as `%XX`. For people. */
  readonly path: string;
  /** What the file is (spec §7.5: its composition). */
  readonly inode: bigint;
  readonly home: bigint;
  /** Content version at that moment. */
  readonly version: bigint;
  readonly size: number;
  /** `st_mtime` at that moment, in nanoseconds since 1970. */
  readonly modified: bigint;
  /** Name of the image: 32 hex digits. */
  readonly image: string;
  /** CRC-32C of the image. */
  readonly checksum: number;
  /** Ids in hex of the chunks that it came from. */
  readonly chunks: readonly string[];
}

/** What of a dataset is staged; `isComplete`: all of it. */
export interface Manifest {
  /** Path from the namespace's root, as it was asked for. */
  readonly dataset: string;
  /** Id in hex. */
  readonly namespace: string;
  readonly isComplete: boolean;
  /** Milliseconds since 1970. */
  readonly stagedAt: number;
  readonly files: readonly StagedFile[];
}

/** Files of a dataset (spec §7.7). */
export const stagedFilesMax = 100_000;
const pathSizeMax = 16_384;
const version = 1;

const isText = (value: unknown, pattern: RegExp): value is string =>
  typeof value === "string" && pattern.test(value);
const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const decimal = /^(0|[1-9][0-9]{0,19})$/;
const id = /^[0-9a-f]{32}$/;
const chunk = /^[0-9a-f]{64}$/;

export function encodeManifest(manifest: Manifest): string {
  const { dataset, namespace, isComplete, stagedAt, files } = manifest;
  const rows = files.map((file) => ({
    path: file.path,
    inode: String(file.inode),
    home: String(file.home),
    version: String(file.version),
    size: file.size,
    modified: String(file.modified),
    image: file.image,
    checksum: file.checksum,
    chunks: file.chunks,
  }));
  return JSON.stringify({ version, dataset, namespace, isComplete, stagedAt, files: rows });
}

/** `undefined` for what no `encodeManifest` made: it is skipped (spec §7.7). */
export function parseManifest(text: string): Manifest | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof found !== "object" || found === null) return undefined;
  const value = found as Readonly<Record<string, unknown>>;
  const { dataset, namespace, isComplete, stagedAt, files } = value;
  if (value["version"] !== version || typeof dataset !== "string" || !isText(namespace, id))
    return undefined;
  if (typeof isComplete !== "boolean" || !isCount(stagedAt) || !Array.isArray(files))
    return undefined;
  if (dataset.length > pathSizeMax || files.length > stagedFilesMax) return undefined;
  const parsed = files.map(parseFile);
  const images = new Set<string>();
  for (const file of parsed) {
    if (file === undefined || images.has(file.image)) return undefined;
    images.add(file.image);
  }
  return { dataset, namespace, isComplete, stagedAt, files: parsed as StagedFile[] };
}

function parseFile(found: unknown): StagedFile | undefined {
  if (typeof found !== "object" || found === null) return undefined;
  const { path, inode, home, version, size, modified, image, checksum, chunks } = found as Readonly<
    Record<string, unknown>
  >;
  if (typeof path !== "string" || path.length > pathSizeMax) return undefined;
  if (!isText(inode, decimal) || !isText(home, decimal) || !isText(version, decimal))
    return undefined;
  if (!isCount(size) || !isText(modified, /^-?[0-9]{1,20}$/) || !isText(image, id))
    return undefined;
  if (!isCount(checksum) || checksum > 0xffff_ffff) return undefined;
  if (!Array.isArray(chunks) || !chunks.every((each) => isText(each, chunk))) return undefined;
  return {
    path,
    inode: BigInt(inode),
    home: BigInt(home),
    version: BigInt(version),
    size,
    modified: BigInt(modified),
    image,
    checksum,
    chunks,
  };
}
