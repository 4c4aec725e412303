import { digest, listedName, type S3Client, xmlValues } from "./s3-client.ts";

/** What a version holds: undefined is a delete marker. */
export type Held = { readonly hash: string; readonly size: number } | undefined;

interface KeptKey {
  /** Acknowledged, oldest first. */
  versions: { readonly id: string; readonly held: Held }[];
  /** Asked to go and not answered: there or not. */
  readonly leaving: Set<string>;
  /** Under an acknowledged legal hold. */
  held: string | undefined;
  /** A legal hold on it was asked for and not answered. */
  holding: string | undefined;
}
interface Listed {
  readonly id: string;
  readonly isMarker: boolean;
  readonly isLatest: boolean;
}

const same = (a: Held, b: Held): boolean => a?.hash === b?.hash && a?.size === b?.size;
const newKey = (): KeptKey => ({
  versions: [],
  leaving: new Set(),
  held: undefined,
  holding: undefined,
});
/** Versions of a key above which the oldest one is deleted. */
const versionsWanted = 2;

/** Every version of a versioned bucket's keys that was acknowledged; after a crash all of them are there, in their order. */
export class VersionManifest {
  readonly #bucket: string;
  readonly #keys = new Map<string, KeptKey>();
  #checks = 0;

  constructor(bucket: string) {
    this.#bucket = bucket;
  }
  #key(name: string): KeptKey {
    let key = this.#keys.get(name);
    if (key === undefined) this.#keys.set(name, (key = newKey()));
    return key;
  }
  note(name: string, id: string | undefined, held: Held): void {
    if (id === undefined) throw new Error(`${name} was written and has no version id`);
    this.#key(name).versions.push({ id, held });
  }
  /** Puts the oldest version of a key that has many under a legal hold, if none is yet, else deletes the oldest that is free. */
  async trim(client: S3Client, name: string): Promise<void> {
    const key = this.#key(name);
    const oldest = key.versions.find(({ id }) => id !== key.held && id !== key.holding);
    if (oldest === undefined || key.versions.length <= versionsWanted) return;
    const isHolding = key.held === undefined && key.holding === undefined && oldest.held;
    if (isHolding) return this.#hold(client, name, oldest.id);
    key.leaving.add(oldest.id);
    const query = { versionId: oldest.id };
    const { status } = await client.call("DELETE", this.#bucket, name, { query });
    if (status === 500) throw new Error(`${name} answers 500 for a delete of a version`);
    key.leaving.delete(oldest.id);
    if (status === 204) key.versions.splice(key.versions.indexOf(oldest), 1); // else refused: it stays
  }
  async #hold(client: S3Client, name: string, id: string): Promise<void> {
    const key = this.#key(name);
    key.holding = id;
    const query = { "legal-hold": "", versionId: id };
    const body = "<LegalHold><Status>ON</Status></LegalHold>";
    const { status } = await client.call("PUT", this.#bucket, name, { query, body });
    if (status === 500) throw new Error(`${name} answers 500 for a legal hold`);
    key.holding = undefined;
    if (status === 200) key.held = id;
  }

  /**
   * Compares the listing with what was acknowledged and re-reads a third of the versions. `pendingOf` tells what was asked
   * for and not answered: what of it is there counts as found from now on. @throws {Error} naming what is wrong.
   */
  async check(client: S3Client, pendingOf: (name: string) => readonly Held[]): Promise<void> {
    this.#checks += 1;
    const listed = await listVersions(client, this.#bucket);
    const names = [...new Set([...this.#keys.keys(), ...listed.keys()])];
    for (let at = 0; at < names.length; at += 16) {
      const some = names.slice(at, at + 16);
      await Promise.all(some.map((name) => this.#checkKey(client, name, listed, pendingOf(name))));
    }
  }
  async #checkKey(
    client: S3Client,
    name: string,
    listed: ReadonlyMap<string, readonly Listed[]>,
    pending: readonly Held[],
  ): Promise<void> {
    const key = this.#key(name);
    const found = (listed.get(listedName(name)) ?? []).toReversed();
    const known = new Map(key.versions.map(({ id, held }) => [id, held]));
    const stay = key.versions.filter(({ id }) => !key.leaving.has(id)).map(({ id }) => id);
    const there = found.map(({ id }) => id).filter((id) => stay.includes(id));
    if (there.join() !== stay.join()) {
      throw new Error(`${name} has the versions ${there.join()}; acknowledged were ${stay.join()}`);
    }
    if (found.some(({ isLatest }, at) => isLatest !== (at === found.length - 1))) {
      throw new Error(`${name} has another latest version than its newest`);
    }
    if (key.held !== undefined) {
      const query = { versionId: key.held };
      const { status } = await client.call("DELETE", this.#bucket, name, { query });
      if (status !== 403) throw new Error(`${name} lost the legal hold of ${key.held}: ${status}`);
    }
    // All that nobody has seen yet, and by turns a third of the others: a check has little time.
    const held = await Promise.all(
      found.map((one, at) =>
        known.has(one.id) && (at + this.#checks) % 3 !== 0
          ? known.get(one.id)
          : this.#read(client, name, one),
      ),
    );
    const strangers = found.filter(({ id }) => !known.has(id));
    if (strangers.length > pending.length) {
      throw new Error(`${name} has ${strangers.length} versions that nobody asked for`);
    }
    for (const [at, { id }] of found.entries()) {
      const isRight = known.has(id)
        ? same(known.get(id), held[at])
        : pending.some((one) => same(one, held[at]));
      if (!isRight) throw new Error(`${name} has another content in its version ${id}`);
    }
    key.versions = found.map(({ id }, at) => ({ id, held: held[at] }));
    key.leaving.clear();
  }
  async #read(client: S3Client, name: string, { id, isMarker }: Listed): Promise<Held> {
    const answer = await client.call("GET", this.#bucket, name, { query: { versionId: id } });
    if (answer.status !== (isMarker ? 405 : 200)) {
      throw new Error(`${name} answers ${answer.status} for its version ${id}`);
    }
    return isMarker ? undefined : { hash: digest(answer.body), size: answer.body.byteLength };
  }
}

/** Every version by key, newest first; nothing of a bucket that is not there. */
async function listVersions(client: S3Client, bucket: string): Promise<Map<string, Listed[]>> {
  const all = new Map<string, Listed[]>();
  let marker: Record<string, string> = {};
  for (;;) {
    const query = { versions: "", "encoding-type": "url", "max-keys": "53", ...marker };
    const answer = await client.call("GET", bucket, "", { query });
    if (answer.status === 404) return all;
    const text = Buffer.from(answer.body).toString("utf8");
    const items = text.matchAll(
      /<(Version|DeleteMarker)><Key>([^<]*)<\/Key><VersionId>([^<]*)<\/VersionId><IsLatest>(\w+)</g,
    );
    for (const [, kind, escaped, id, latest] of items) {
      const name = listedName(decodeURIComponent(escaped!));
      const list = all.get(name) ?? [];
      list.push({ id: id!, isMarker: kind === "DeleteMarker", isLatest: latest === "true" });
      all.set(name, list);
    }
    if (xmlValues(text, "IsTruncated")[0] !== "true") return all;
    marker = {
      "key-marker": decodeURIComponent(xmlValues(text, "NextKeyMarker")[0]!),
      "version-id-marker": xmlValues(text, "NextVersionIdMarker")[0]!,
    };
  }
}
