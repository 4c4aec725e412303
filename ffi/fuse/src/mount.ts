import { getSystemErrorName } from "node:util";
import { loadNative } from "./symbols.ts";

/** A call to the system that failed. */
export class MountError extends Error {
  override readonly name = "MountError";
  readonly errno: number;
  constructor(act: string, errno: number) {
    super(`${act}: ${getSystemErrorName(-errno)}`);
    this.errno = errno;
  }
}

/** Flags of mount(2). */
export const mountFlags = {
  readOnly: 1,
  noSuid: 2,
  noDevices: 4,
  noExecute: 8,
  noAtime: 1024,
} as const;

export interface MountRequest {
  readonly nativeDirectory: string;
  /** Shown as what is mounted. */
  readonly source: string;
  readonly target: string;
  /** Of FUSE alone: `default_permissions`, `allow_other`, `max_read=…`. */
  readonly options: readonly string[];
  readonly flags: number;
}

const detach = 2;
/** EPERM and EACCES: mount(2) or the device are not for this user, but fusermount3 may. */
const refusals: ReadonlySet<number> = new Set([-1, -13]);
const einval = 22;
const eagain = 11;

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
const helper = (): string | null => Bun.which("fusermount3") ?? Bun.which("fusermount");

/** As fusermount3 spells flags. */
const flagWords = [
  ["ro", mountFlags.readOnly],
  ["nosuid", mountFlags.noSuid],
  ["nodev", mountFlags.noDevices],
  ["noexec", mountFlags.noExecute],
  ["noatime", mountFlags.noAtime],
] as const;

function helperOptions({ source, options, flags }: MountRequest): string {
  // A comma would end the option; fusermount3 reads a backslash before it as meant.
  const name = source.replaceAll("\\", "\\\\").replaceAll(",", "\\,");
  const words = flagWords.filter(([, bit]) => (flags & bit) !== 0).map(([word]) => word);
  return [...words, ...options, `fsname=${name}`, "subtype=kiseki"].join(",");
}

/**
 * Mounts, and answers the descriptor of the device: by mount(2), or by fusermount3 for who may not.
 *
 * @throws {MountError} with the system's word.
 */
export function mountFuse(request: MountRequest): number {
  const native = loadNative(request.nativeDirectory);
  const { source, target, options, flags } = request;
  const descriptor = native.kiseki_fuse_mount(
    text(source),
    text(target),
    text(options.join(",")),
    flags,
  );
  if (descriptor >= 0) return descriptor;
  const program = helper();
  if (!refusals.has(descriptor) || program === null)
    throw new MountError(`Cannot mount on ${target}`, -descriptor);
  const handed = native.kiseki_fuse_mount_by_helper(
    text(program),
    text(target),
    text(helperOptions(request)),
  );
  if (handed < 0) throw new MountError(`Cannot mount on ${target} by ${program}`, -handed);
  return handed;
}

/**
 * Takes the mount off the tree. `isLazy`: at once, even if it is in use, or dead; its users keep what they have open.
 * Nothing happens where nothing is mounted.
 *
 * @throws {MountError} `EBUSY` (16) in use.
 */
export function unmountFuse(nativeDirectory: string, target: string, isLazy: boolean): void {
  const native = loadNative(nativeDirectory);
  const result = native.kiseki_fuse_unmount(text(target), isLazy ? detach : 0);
  if (result === 0 || result === -einval) return;
  const program = helper();
  if (!refusals.has(result) || program === null)
    throw new MountError(`Cannot unmount ${target}`, -result);
  const handed = native.kiseki_fuse_unmount_by_helper(text(program), text(target), isLazy ? 1 : 0);
  if (handed < 0) throw new MountError(`Cannot unmount ${target} by ${program}`, eagain);
}
