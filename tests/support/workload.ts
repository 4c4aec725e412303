import { BrokenConnectionError } from "./raw-http.ts";
import { VersionManifest } from "./version-manifest.ts";
import { content, digest, listedName, type S3Client, S3Error } from "./s3-client.ts";

/** What a key may hold: `undefined` is nothing. */
type Version = { readonly hash: string; readonly size: number } | undefined;

interface KeyState {
  /** What was acknowledged last. */
  settled: Version;
  /** What was asked for and not answered: it may be there or not. */
  pending: Version[];
}

interface OpenUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly body: Uint8Array;
  readonly etag: string;
}

/** A seeded generator of numbers in [0, 1). */
export function chance(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const MiB = 1024 * 1024;
const bucket = "load";
/** Versioning and locks are on in it; the keys of every sixth worker are there. */
const versionedBucket = "kept";
const keysPerWorker = 10;
const sharedBodies = 8;

const versionOf = (body: Uint8Array): NonNullable<Version> => ({
  hash: digest(body),
  size: body.byteLength,
});
const same = (a: Version, b: Version): boolean => a?.hash === b?.hash && a?.size === b?.size;
const show = (version: Version): string =>
  version ? `${version.size} B ${version.hash.slice(0, 8)}` : "nothing";

/**
 * Several clients that write, overwrite, copy, delete and complete uploads at once, each on keys of its own, and
 * the manifest of what was acknowledged to them. After a crash `check` re-reads all of it.
 */
export class Workload {
  readonly #chance: () => number;
  readonly #workers: number;
  readonly #keys = new Map<string, KeyState>();
  readonly #versions = new VersionManifest(versionedBucket);
  readonly #uploads: OpenUpload[] = [];
  #client: S3Client | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #isStopping = false;
  #bodies = 0;
  acknowledged = 0;
  /** Answers that refused, by code. */
  readonly refusals = new Map<string, number>();

  constructor(seed: number, workers = 12) {
    this.#chance = chance(seed);
    this.#workers = workers;
    for (let worker = 0; worker < workers; worker += 1) {
      for (let at = 0; at < keysPerWorker; at += 1) {
        this.#keys.set(keyName(worker, at), { settled: undefined, pending: [] });
      }
    }
  }

  /** Makes the buckets that are not there yet; `check` needs them. */
  async prepare(client: S3Client): Promise<void> {
    for (const name of [bucket, versionedBucket]) {
      if ((await client.call("HEAD", name, "")).status !== 404) continue;
      const headers = name === versionedBucket ? locked : {};
      await client.expect("PUT", name, "", { headers });
    }
  }

  /** Sends until the connections break or `stop`. Makes the bucket when there is none. */
  async begin(client: S3Client): Promise<void> {
    this.#client = client;
    this.#isStopping = false;
    await this.prepare(client);
    const workers = Array.from({ length: this.#workers }, (_, worker) => this.#work(worker));
    this.#running = Promise.all(workers);
    this.#running.catch(() => undefined); // seen by whoever waits for the end
  }

  /** Every worker has had its last answer, or knows that none comes. */
  async ended(): Promise<void> {
    await this.#running;
  }
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  /**
   * Re-reads every key and the listing; what was not acknowledged is there whole or not at all, and from now
   * on counts as found. @throws {Error} naming the first key that is wrong.
   */
  async check(client: S3Client): Promise<void> {
    await this.#versions.check(client, (name) => this.#keys.get(name)?.pending ?? []);
    const listed = await client.list(bucket, 37);
    if ((await client.call("HEAD", versionedBucket, "")).status === 200) {
      for (const [name, item] of await client.list(versionedBucket, 37)) listed.set(name, item);
    }
    const names = [...this.#keys.keys()];
    for (let at = 0; at < names.length; at += 16) {
      await Promise.all(
        names.slice(at, at + 16).map((name) => this.#checkKey(client, name, listed)),
      );
    }
    for (const name of listed.keys()) {
      if (!this.#keys.has(name)) throw new Error(`listed, and nobody wrote it: ${name}`);
    }
    for (const upload of this.#uploads.splice(0)) await this.#finish(client, upload);
  }

  async #checkKey(
    client: S3Client,
    name: string,
    listed: ReadonlyMap<string, { readonly size: number }>,
  ): Promise<void> {
    const state = this.#keys.get(name)!;
    const got = await client.get(bucketOf(name), name);
    const found = got && versionOf(got);
    if (![state.settled, ...state.pending].some((version) => same(version, found))) {
      const pending = state.pending.map(show).join(", ");
      throw new Error(
        `${name} has ${show(found)}; acknowledged was ${show(state.settled)}, unanswered ${pending}`,
      );
    }
    const size = listed.get(listedName(name))?.size;
    if (size !== found?.size) {
      throw new Error(`${name} is listed with ${size}, and holds ${show(found)}`);
    }
    state.settled = found;
    state.pending = [];
  }

  /** An upload whose part was acknowledged before the crash is completed after it. */
  async #finish(client: S3Client, upload: OpenUpload): Promise<void> {
    const state = this.#keys.get(upload.key)!;
    const version = versionOf(upload.body);
    state.pending.push(version); // the node may be killed before it answers
    const into = bucketOf(upload.key);
    const id = await client.completeUpload(into, upload.key, upload.uploadId, [upload.etag]);
    if (into === versionedBucket) this.#versions.note(upload.key, id, version);
    state.settled = version;
    state.pending = [];
    const got = await client.get(into, upload.key);
    if (!got || !same(versionOf(got), version)) {
      throw new Error(`${upload.key} was completed and holds ${show(got && versionOf(got))}`);
    }
  }

  async #work(worker: number): Promise<void> {
    while (!this.#isStopping) {
      const key = keyName(worker, Math.floor(this.#chance() * keysPerWorker));
      try {
        await this.#operate(worker, key);
      } catch (reason) {
        if (reason instanceof BrokenConnectionError) return;
        throw reason;
      }
    }
  }

  #operate(worker: number, key: string): Promise<void> {
    const client = this.#client!;
    const into = bucketOf(key);
    const dice = this.#chance();
    if (dice < 0.6) {
      const body = this.#body();
      return this.#attempt(key, versionOf(body), () => client.put(into, key, body));
    }
    if (dice < 0.75) return this.#attempt(key, undefined, () => client.delete(into, key));
    if (dice < 0.88) {
      const from = keyName(worker, Math.floor(this.#chance() * keysPerWorker));
      const source = this.#keys.get(from)!.settled;
      if (from === key || source === undefined || this.#keys.get(from)!.pending.length > 0) {
        return Promise.resolve();
      }
      return this.#attempt(key, source, () => client.copy(into, from, key));
    }
    return dice < 0.99 ? this.#upload(key, 1) : this.#upload(key, 2);
  }

  async #upload(key: string, parts: number): Promise<void> {
    const client = this.#client!;
    const bodies = [this.#body()];
    if (parts === 2) bodies.unshift(this.#newBody(5 * MiB));
    const into = bucketOf(key);
    const uploadId = await client.createUpload(into, key);
    const etags = await Promise.all(
      bodies.map((body, at) => client.uploadPart(into, key, uploadId, at + 1, body)),
    );
    this.acknowledged += 1 + parts;
    const whole = Buffer.concat(bodies);
    if (parts === 1 && this.#chance() < 0.05) {
      this.#uploads.push({ key, uploadId, body: whole, etag: etags[0]! });
      return;
    }
    await this.#attempt(key, versionOf(whole), () =>
      client.completeUpload(into, key, uploadId, etags),
    );
  }

  /** Notes what is about to be asked, asks, and notes the answer. */
  async #attempt(
    key: string,
    version: Version,
    ask: () => Promise<string | undefined>,
  ): Promise<void> {
    const state = this.#keys.get(key)!;
    state.pending.push(version);
    try {
      const id = await ask();
      if (bucketOf(key) === versionedBucket) this.#versions.note(key, id, version);
    } catch (reason) {
      // A refusal says that nothing was done; a fault inside may have come after the commit.
      if (!(reason instanceof S3Error) || reason.status === 500) throw reason;
      state.pending.pop();
      this.refusals.set(reason.code, (this.refusals.get(reason.code) ?? 0) + 1);
      return;
    }
    state.settled = version;
    state.pending = [];
    this.acknowledged += 1;
    if (bucketOf(key) === versionedBucket) await this.#versions.trim(this.#client!, key);
  }

  /** Some bodies are the same for all, so that chunks are shared, dropped and taken back. */
  #body(): Uint8Array<ArrayBuffer> {
    const dice = this.#chance();
    if (dice < 0.15) return content(`shared ${Math.floor(this.#chance() * sharedBodies)}`, 90_000);
    if (dice < 0.6) return this.#newBody(Math.floor(this.#chance() * 5000));
    if (dice < 0.99) return this.#newBody(Math.floor(this.#chance() * 50_000));
    return this.#newBody(Math.floor(this.#chance() * 5 * MiB));
  }
  #newBody(size: number): Uint8Array<ArrayBuffer> {
    this.#bodies += 1;
    return content(`body ${this.#bodies} ${this.#chance()}`, size);
  }
}

const locked = { "x-amz-bucket-object-lock-enabled": "true" };
const bucketOf = (key: string): string =>
  Number(/^worker-(\d+)/.exec(key)?.[1]) % 6 === 2 ? versionedBucket : bucket;
const keyName = (worker: number, at: number): string =>
  at % 3 === 0 ? `worker-${worker}/key ${at}` : `worker-${worker}-${at}`;
