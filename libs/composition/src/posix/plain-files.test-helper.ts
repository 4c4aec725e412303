import type { InodeId } from "@kiseki/base";
import { isComponent } from "../key-path.ts";
import { keyBytes } from "../plain-model.test-helper.ts";

/** The slow, obvious tree that the machine is compared with, as both S3 and POSIX see it, without versions. */
export interface PlainFile {
  readonly type: "file" | "symlink" | "fifo";
  links: number;
  mode: number;
  readonly size: number;
  /** As the machine named it. */
  inode: InodeId | undefined;
  isOpen: boolean;
}
export interface PlainDirectory {
  readonly directories: Map<string, PlainDirectory>;
  /** By row name: a component, a tail, or nothing. */
  readonly files: Map<string, PlainFile>;
  isExplicit: boolean;
  mode: number;
}
export const plainDirectory = (isExplicit: boolean, mode = 0o755): PlainDirectory => ({
  directories: new Map(),
  files: new Map(),
  isExplicit,
  mode,
});
export const plainFile = (type: PlainFile["type"], mode: number, size = 0): PlainFile => ({
  type,
  links: 1,
  mode,
  size,
  inode: undefined,
  isOpen: false,
});

export const isLiveDirectory = (directory: PlainDirectory): boolean =>
  directory.isExplicit ||
  directory.files.size > 0 ||
  [...directory.directories.values()].some(isLiveDirectory);

/** Names of directories and a row name, as STORE §3 cuts a key. */
export function cutKey(key: string): { readonly names: readonly string[]; readonly rest: string } {
  const parts = key.split("/");
  const isFit = (part: string): boolean => isComponent(keyBytes(part), 0, part.length);
  let count = 0;
  while (count < parts.length - 1 && isFit(parts[count]!)) count += 1;
  return { names: parts.slice(0, count), rest: parts.slice(count).join("/") };
}

export type PlainNode =
  | { readonly kind: "directory"; readonly directory: PlainDirectory }
  | { readonly kind: "file"; readonly file: PlainFile };

/** What POSIX finds under a plain name. */
export function plainFind(directory: PlainDirectory, name: string): PlainNode | undefined {
  const child = directory.directories.get(name);
  if (child !== undefined && isLiveDirectory(child)) return { kind: "directory", directory: child };
  const file = directory.files.get(name);
  return file === undefined ? undefined : { kind: "file", file };
}
/** The directory of a path, or `undefined`. */
export function plainWalk(root: PlainDirectory, path: string): PlainDirectory | undefined {
  let at: PlainDirectory | undefined = root;
  for (const name of path === "" ? [] : path.split("/")) {
    const found: PlainNode | undefined = at && plainFind(at, name);
    at = found?.kind === "directory" ? found.directory : undefined;
  }
  return at;
}
/** Implicit directories without anything go, from the leaves up. */
export function plainPrune(directory: PlainDirectory): void {
  for (const [name, child] of directory.directories) {
    plainPrune(child);
    const isEmpty = child.files.size === 0 && child.directories.size === 0;
    if (isEmpty && !child.isExplicit) directory.directories.delete(name);
  }
}

/** Every key that S3 lists. */
export function plainKeys(directory: PlainDirectory, path = ""): string[] {
  const keys = [...directory.files].flatMap(([name, file]) =>
    file.type === "file" ? [path + name] : [],
  );
  if (path !== "" && !directory.files.size) {
    const isEmpty = ![...directory.directories.values()].some(isLiveDirectory);
    if (isEmpty && directory.isExplicit) keys.push(path);
  }
  for (const [name, child] of directory.directories) {
    keys.push(...plainKeys(child, `${path}${name}/`));
  }
  return keys;
}
