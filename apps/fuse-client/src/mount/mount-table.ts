import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** One mount, as the kernel lists it. */
export interface MountRow {
  /** `major:minor` of its files. */
  readonly device: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
}

/** Spaces, tabs, newlines and backslashes of paths stand there as octal numbers. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));

/** The rows of `/proc/self/mountinfo`; the last of a target is the one that is seen there. */
export function parseMountInfo(text: string): readonly MountRow[] {
  return text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ");
    const [, , device, , target] = left!.split(" ");
    const [type, source] = right?.split(" ") ?? [];
    if (device === undefined || target === undefined || type === undefined) return [];
    // Bytes beyond ASCII are plain there; the file was read byte by byte.
    const plain = (field: string): string => Buffer.from(unescape(field), "latin1").toString();
    return [{ device, target: plain(target), type, source: plain(source ?? "") }];
  });
}

/** What is mounted at `target`, asked without touching it: it may be dead. */
export function findMount(target: string): MountRow | undefined {
  const rows = parseMountInfo(readFileSync("/proc/self/mountinfo", "latin1"));
  return rows.findLast((row) => row.target === target);
}

/** The absolute path, symbolic links resolved but for those of a dead mount. */
export function resolveTarget(path: string): string {
  const absolute = resolve(path);
  if (absolute === "/") return absolute;
  const beside = join(realpathSync(dirname(absolute)), basename(absolute));
  return findMount(beside) === undefined ? realpathSync(absolute) : beside;
}
