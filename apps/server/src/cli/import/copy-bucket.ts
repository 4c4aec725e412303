/** All of a bucket's objects and versions, key after key in the order of the listing. */
import { type CopyOptions, copyVersion, isSameContent, type Sides } from "./copy-version.ts";
import { messageOf } from "./export-files.ts";
import type { NotCarried } from "./report.ts";
import { codeOf, type Marker, type Side, statusOf, type Version } from "./s3.ts";
import type { ImportState } from "./state.ts";

const versionsOfKeyMax = 100_000;
const attemptsMax = 3;
/** The state is synced so often; what is copied again after a crash is found there. */
const noteMs = 1000;

export interface BucketCopy {
  readonly bucket: string;
  /** Whether versions are copied; else the current objects alone. */
  readonly isVersioned: boolean;
  readonly parallel: number;
  readonly options: CopyOptions;
}
export interface Totals {
  /** Versions and delete markers. */
  objects: number;
  bytes: number;
  /** Among them: found there, copied by an earlier run. */
  found: number;
}
export interface Watch {
  readonly totals: Totals;
  readonly notCarried: NotCarried[];
  onStep(): void;
}

/** Keys with their versions, oldest first; a key's versions may come on several pages. */
async function* keysOf(
  side: Side,
  { bucket, isVersioned }: BucketCopy,
  after: string,
): AsyncGenerator<readonly Version[]> {
  let from: Marker | undefined = after === "" ? undefined : { key: after, version: "" };
  let versions: Version[] = [];
  do {
    const page = await side.list(bucket, isVersioned, from);
    for (const version of page.versions) {
      if (versions.length > 0 && versions[0]!.key !== version.key) {
        yield versions.toReversed();
        versions = [];
      }
      versions.push(version);
      if (versions.length > versionsOfKeyMax) {
        throw new Error(`${version.key} has more than ${versionsOfKeyMax} versions`);
      }
    }
    from = page.next;
  } while (from !== undefined);
  if (versions.length > 0) yield versions.toReversed();
}

/** How many keys, versions and bytes a copy would carry. */
export async function countBucket(side: Side, copy: BucketCopy, after: string): Promise<Totals> {
  const totals: Totals = { objects: 0, bytes: 0, found: 0 };
  for await (const versions of keysOf(side, copy, after)) {
    totals.objects += versions.length;
    for (const { size } of versions) totals.bytes += size;
  }
  return totals;
}

/** Copies what the state does not name as done. A key that fails is noted and stops the state, not the copy. */
export async function copyBucket(
  sides: Sides,
  copy: BucketCopy,
  state: ImportState,
  watch: Watch,
): Promise<void> {
  const { bucket } = copy;
  const known = state.bucket(bucket);
  if (known.isDone) return;
  let isWhole = true;
  let noted = -noteMs;
  let last = known.after;
  let batch: (readonly Version[])[] = [];
  const flush = async (): Promise<void> => {
    const done = await Promise.all(batch.map((versions) => copyKey(sides, copy, versions, watch)));
    isWhole &&= done.every((isDone) => isDone);
    last = batch.at(-1)?.[0]?.key ?? last;
    batch = [];
    if (!isWhole || performance.now() - noted < noteMs) return;
    await state.set(bucket, { after: last, isDone: false });
    noted = performance.now();
  };
  for await (const versions of keysOf(sides.from, copy, known.after)) {
    batch.push(versions);
    if (batch.length >= copy.parallel) await flush();
  }
  await flush();
  if (isWhole) await state.set(bucket, { after: last, isDone: true });
}

/** Whether all versions of a key are there now. */
async function copyKey(
  sides: Sides,
  copy: BucketCopy,
  versions: readonly Version[],
  watch: Watch,
): Promise<boolean> {
  const { bucket, options } = copy;
  const { key } = versions[0]!;
  try {
    const there = await thereOf(sides.to, copy, key);
    let at = await countSame(sides, bucket, versions, there);
    if (at < there.length && !options.isOverwriting) {
      throw new Error("there is another object of this name; --overwrite replaces it");
    }
    for (const version of versions.slice(0, at)) step(watch, version, true);
    for (; at < versions.length; at += 1) {
      await attempt(sides, () => copyVersion(sides, bucket, versions[at]!, options));
      step(watch, versions[at]!, false);
    }
    return true;
  } catch (reason) {
    sides.to.options.abortSignal.throwIfAborted();
    const code = codeOf(reason);
    const why = code === "" ? messageOf(reason) : `${code}: ${messageOf(reason)}`;
    watch.notCarried.push({ kind: "object", name: `${bucket}/${key}`, reason: why });
    watch.onStep();
    return false;
  }
}

function step(watch: Watch, version: Version, isFound: boolean): void {
  watch.totals.objects += 1;
  watch.totals.bytes += version.size;
  if (isFound) watch.totals.found += 1;
  watch.onStep();
}

/** What the node has of a key, oldest first. */
async function thereOf(to: Side, { bucket, isVersioned }: BucketCopy, key: string) {
  const there: Version[] = [];
  let from: Marker | undefined;
  do {
    const page = await to.list(bucket, isVersioned, from, key);
    there.push(...page.versions.filter((version) => version.key === key));
    const hasMore = page.versions.at(-1)?.key === key; // longer keys with this beginning follow
    from = hasMore ? page.next : undefined;
  } while (from !== undefined);
  return there.toReversed();
}

/** How many of the oldest versions are there already, in the same order. */
async function countSame(
  sides: Sides,
  bucket: string,
  versions: readonly Version[],
  there: readonly Version[],
): Promise<number> {
  for (const [at, version] of versions.entries()) {
    const other = there[at];
    if (other?.isDeleteMarker !== version.isDeleteMarker || other.size !== version.size) return at;
    const isSame = other.etag === version.etag || isSameContent(sides, bucket, version, other);
    if (!(await isSame)) return at;
  }
  return versions.length;
}

/** Tries again what a busy or restarting side refused or broke off. */
async function attempt(sides: Sides, work: () => Promise<void>): Promise<void> {
  for (let turn = 1; ; turn += 1) {
    try {
      await work();
      return;
    } catch (reason) {
      sides.to.options.abortSignal.throwIfAborted();
      const status = statusOf(reason);
      const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
      if (isFinal || turn === attemptsMax) throw reason;
      await Bun.sleep(200 * turn);
    }
  }
}
