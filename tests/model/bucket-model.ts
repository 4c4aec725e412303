/** What a bucket holds by AWS's documentation of versioning, as plainly as it can be said. */
import { listedName } from "../support/s3-client.ts";

export type Versioning = "off" | "enabled" | "suspended";

/** One version of a key. `id` undefined: made by a request whose answer was lost; the first listing tells it. */
export interface Version {
  id: string | undefined;
  /** Undefined: a delete marker. */
  readonly content: { readonly hash: string; readonly size: number } | undefined;
  /** Value of its one tag; empty: it has none. */
  tag: string;
  /** Under legal hold. */
  isHeld: boolean;
  /** Under governance for longer than any run. */
  isRetained: boolean;
}

export interface ListedVersion {
  readonly key: string;
  readonly id: string;
  readonly isLatest: boolean;
  readonly size: number | undefined;
}

const nullId = "null";

const unlocked = { isHeld: false, isRetained: false };

export class BucketModel {
  versioning: Versioning;
  /** With object lock: versioning stays on. */
  readonly isLockEnabled: boolean;
  /** Newest first; keys as latin1 of their bytes, which sorts as bytes do. */
  readonly keys: Map<string, Version[]>;

  constructor(
    isLockEnabled: boolean,
    versioning: Versioning = isLockEnabled ? "enabled" : "off",
    keys = new Map<string, Version[]>(),
  ) {
    this.isLockEnabled = isLockEnabled;
    this.versioning = versioning;
    this.keys = keys;
  }

  clone(): BucketModel {
    const keys = [...this.keys].map(
      ([key, versions]) => [key, versions.map((version) => ({ ...version }))] as const,
    );
    return new BucketModel(this.isLockEnabled, this.versioning, new Map(keys));
  }

  versionsOf(key: string): readonly Version[] {
    return this.keys.get(listedName(key)) ?? [];
  }
  /** The object that a plain GET answers. */
  current(key: string): Version | undefined {
    const [newest] = this.versionsOf(key);
    return newest?.content === undefined ? undefined : newest;
  }

  /** The `at`-th newest version, the oldest when there are fewer. */
  chosen(key: string, at: number): Version | undefined {
    const versions = this.versionsOf(key);
    return versions[Math.min(at, versions.length - 1)];
  }

  /** `id`: as the answer says; undefined while it is not known. */
  put(
    key: string,
    { content, tag }: { readonly content: NonNullable<Version["content"]>; readonly tag: string },
    id: string | undefined,
  ): void {
    const named = this.versioning === "enabled" ? id : nullId;
    this.#place(key, { id: named, content, tag, ...unlocked });
  }
  /** DELETE without a version. */
  delete(key: string, id: string | undefined): void {
    if (this.versioning === "off") {
      this.keys.delete(listedName(key));
      return;
    }
    const named = this.versioning === "enabled" ? id : nullId;
    this.#place(key, { id: named, content: undefined, tag: "", ...unlocked });
  }
  /** Whether that version may go. */
  isFree(key: string, id: string, isBypassing = false): boolean {
    const version = this.versionsOf(key).find((each) => each.id === id);
    return version === undefined || !(version.isHeld || (version.isRetained && !isBypassing));
  }
  deleteVersion(key: string, id: string): void {
    const name = listedName(key);
    const left = this.versionsOf(key).filter((version) => version.id !== id);
    if (left.length === 0) this.keys.delete(name);
    else this.keys.set(name, left);
  }

  #place(key: string, version: Version): void {
    const others = this.versionsOf(key).filter(({ id }) => version.id !== nullId || id !== nullId);
    this.keys.set(listedName(key), [version, ...others]);
  }

  /** What ListObjects shows below `prefix`, prefixes among them, in order. */
  list(prefix: string, delimiter: string): string[] {
    const shown: string[] = [];
    for (const [key, [newest]] of this.#ordered()) {
      if (!key.startsWith(prefix) || newest?.content === undefined) continue;
      const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      const name = cut < 0 ? key : key.slice(0, cut + delimiter.length);
      if (shown.at(-1) !== name) shown.push(name);
    }
    return shown;
  }

  /** What ListObjectVersions shows. */
  listVersions(): ListedVersion[] {
    return this.#ordered().flatMap(([key, versions]) =>
      versions.map(({ id, content }, at) => ({
        key,
        id: id ?? "",
        isLatest: at === 0,
        size: content?.size,
      })),
    );
  }

  /**
   * Whether `listed` is this state, ids that are not known yet aside; those are learned from it then.
   */
  matches(listed: readonly ListedVersion[]): boolean {
    const expected = this.listVersions();
    if (expected.length !== listed.length) return false;
    const isEqual = expected.every((want, at) => {
      const { key, id, isLatest, size } = listed[at]!;
      const isSameId = want.id === "" ? id !== nullId : want.id === id;
      return want.key === key && isSameId && want.isLatest === isLatest && want.size === size;
    });
    if (!isEqual) return false;
    const versions = this.#ordered().flatMap(([, all]) => all);
    versions.forEach((version, at) => {
      version.id = listed[at]!.id;
    });
    return true;
  }

  #ordered(): [string, Version[]][] {
    return [...this.keys].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}
