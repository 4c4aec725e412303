import { writeFileSync } from "node:fs";
import { payloadSizeMax, requestSizeMax } from "@kiseki/fuse";
import { FuseDevice, mountFuse, unmountFuse } from "@kiseki/fuse-device";
import type { FileSystem } from "@kiseki/vfs";
import { FuseSession, type SessionOptions } from "../serve/fuse-session.ts";
import { findMount, resolveTarget } from "./mount-table.ts";
import { prepareMountPoint } from "./mount-point.ts";

export interface MountOptions {
  readonly nativeDirectory: string;
  /** `host:port/tenant/namespace`. */
  readonly source: string;
  readonly target: string;
  /** Of the kernel's FUSE: `default_permissions`, `allow_other`. */
  readonly kernelOptions: readonly string[];
  /** Of mount(2). */
  readonly flags: number;
  readonly readerCount: number;
  /** Set on the device's queue where this process may: the kernel's own is 128 KiB. */
  readonly readaheadSize: number;
  readonly session: SessionOptions;
}

/** Requests with content that lie here at once. */
const slotCount = 64;

/** A mount that is served by this process. */
export class Mount {
  readonly target: string;
  readonly session: FuseSession;
  readonly #nativeDirectory: string;
  readonly #device: FuseDevice;
  #isGone = false;

  constructor(target: string, nativeDirectory: string, device: FuseDevice, session: FuseSession) {
    this.target = target;
    this.#nativeDirectory = nativeDirectory;
    this.#device = device;
    this.session = session;
    void session.ended.then(() => (this.#isGone = true));
  }
  /** Takes it off the tree at once; who has a file open is served on. Nothing happens the second time. */
  unmount(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    unmountFuse(this.#nativeDirectory, this.target, true);
  }
  /** After the session's end, or to end it: what is open fails. */
  [Symbol.dispose](): void {
    this.unmount();
    this.#device[Symbol.dispose]();
  }
}

/** Once the kernel has looked at the mount's first request; false where this process may not. */
function setReadahead(target: string, size: number): boolean {
  const device = findMount(target)?.device;
  if (device === undefined) return false;
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(Math.ceil(size / 1024)));
    return true;
  } catch (reason) {
    if (reason instanceof Error && "code" in reason) return false; // not root, or no sysfs here
    throw reason;
  }
}

/**
 * Mounts, and serves `fileSystem`. A dead mount of ours at the target is replaced.
 *
 * @throws {MountPointError | MountError} in words for people.
 */
export async function openMount(options: MountOptions, fileSystem: FileSystem): Promise<Mount> {
  const { nativeDirectory, source, flags, kernelOptions } = options;
  const target = resolveTarget(options.target);
  await prepareMountPoint(nativeDirectory, target);
  const descriptor = mountFuse({
    nativeDirectory,
    source,
    target,
    options: [...kernelOptions, `max_read=${payloadSizeMax}`],
    flags,
  });
  const device = new FuseDevice(descriptor, {
    nativeDirectory,
    slotCount,
    slotSize: requestSizeMax,
    readerCount: options.readerCount,
  });
  const mount = new Mount(
    target,
    nativeDirectory,
    device,
    new FuseSession(device, fileSystem, { ...options.session, root: target }),
  );
  try {
    await mount.session.agreed;
    if (!setReadahead(target, options.readaheadSize))
      options.session.log("readahead left as it is", { target });
    return mount;
  } catch (reason) {
    mount[Symbol.dispose]();
    throw reason;
  }
}
