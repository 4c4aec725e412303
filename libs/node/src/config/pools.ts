import { resolve } from "node:path";
import { isStorageClass, type StorageClass } from "@kiseki/format";

/** A pool beside the default one, as the settings have it. */
export interface NamedPool {
  readonly name: string;
  readonly devices: readonly string[];
}
/** The pool of `--devices`, number 0. */
export const defaultPoolName = "default";
const poolsMax = 16;

interface Read<T> {
  readonly value: T;
  readonly faults: readonly string[];
}

/** `NAME=device,device;NAME=…`. Faults are ends of a sentence that begins with the setting's name. */
export function readPools(text: string): Read<readonly NamedPool[]> {
  const faults: string[] = [];
  const value: NamedPool[] = [];
  for (const part of text.split(";").filter((each) => each.trim() !== "")) {
    const [name, list] = splitAt(part);
    const devices = list.split(",").flatMap((path) => (path.trim() === "" ? [] : [path.trim()]));
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(name) || name === defaultPoolName) {
      faults.push(
        `cannot name a pool ${JSON.stringify(name.slice(0, 64))}: it takes a-z, 0-9 and -, begins with a letter, is at most 32 long and not "${defaultPoolName}", which is that of --devices`,
      );
    } else if (value.some((other) => other.name === name)) {
      faults.push(`names pool ${name} twice`);
    } else if (devices.length === 0) faults.push(`gives pool ${name} no device`);
    else value.push({ name, devices });
  }
  if (value.length > poolsMax) faults.push(`names more than ${poolsMax} pools`);
  return { value, faults };
}
function splitAt(part: string): readonly [string, string] {
  const at = part.indexOf("=");
  return at === -1 ? [part.trim(), ""] : [part.slice(0, at).trim(), part.slice(at + 1)];
}

/** What tools expect of these is that a GET waits for a restore, which there is none of here. */
const restored: readonly string[] = ["GLACIER", "DEEP_ARCHIVE"];

/** `CLASS=NAME` each. STANDARD is the default pool, always. */
export function readStorageClasses(
  items: readonly string[],
  pools: readonly NamedPool[],
): Read<ReadonlyMap<StorageClass, string>> {
  const faults: string[] = [];
  const value = new Map<StorageClass, string>();
  const names = [defaultPoolName, ...pools.map(({ name }) => name)];
  for (const item of items) {
    const [name, pool] = splitAt(item);
    if (restored.includes(name)) {
      faults.push(
        `cannot map ${name}: its objects are read after a restore only; GLACIER_IR is read at once`,
      );
    } else if (!isStorageClass(name) || name === "STANDARD") {
      faults.push(
        `cannot map ${JSON.stringify(name.slice(0, 64))}: it takes STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR and REDUCED_REDUNDANCY; STANDARD is the default pool`,
      );
    } else if (value.has(name)) faults.push(`maps ${name} twice`);
    else if (!names.includes(pool.trim())) {
      faults.push(
        `maps ${name} to ${JSON.stringify(pool.trim().slice(0, 64))}, which is no pool: there are ${names.join(", ")}`,
      );
    } else value.set(name, pool.trim());
  }
  return { value, faults };
}

/** Each device has one place: paths that several pools name, or one twice. */
export function sharedDevices(
  devices: readonly string[],
  pools: readonly NamedPool[],
): readonly string[] {
  const seen = new Set(devices.map((path) => resolve(path)));
  return pools.flatMap((pool) =>
    pool.devices.filter((path) => {
      const isSeen = seen.has(resolve(path));
      seen.add(resolve(path));
      return isSeen;
    }),
  );
}
