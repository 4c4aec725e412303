import {
  fromHex,
  millis,
  namespaceId,
  newBytes,
  operationId,
  type Prng,
  toUtf8,
  wallTime,
} from "@kiseki/base";
import { ChunkStoreError } from "@kiseki/chunk-store";
import type { CustomerCipher } from "@kiseki/keys";
import type { Conditions, ExtrasChanges, NewContent, Operation } from "@kiseki/composition";
import type { ObjectAttributes } from "@kiseki/format";
import { type Outcome, writeContent } from "@kiseki/node/sim";
import { type Body, bodyBytes, bodyMd5, md5Of, sizeOf, sliceBody } from "./sim-body.ts";
import { isCustomers, sealForCustomer } from "./sim-customer.ts";
import { SimChoices } from "./sim-choices.ts";
import {
  checkpoint,
  collect,
  compact,
  matchAllOrphans,
  repair,
  resync,
  scrub,
  setClock,
  widen,
} from "./sim-housekeeping.ts";
import { applyRules } from "./sim-lifecycle.ts";
import { add, evacuate, moveLeaving, remove } from "./sim-members.ts";
import { currentOf, type ModelBucket } from "./sim-model.ts";
import { must, SimNodeDied, type SimNode } from "./sim-node.ts";
import { subscription } from "./sim-receiver.ts";
import { listPage, readObject } from "./sim-reads.ts";
import { checkThickness, SimSource } from "./sim-source.ts";
import type { SimTrace } from "./sim-trace.ts";

const bucketNames = ["red", "green", "blue"] as const;
/** Later than every clock of a run, so that the model needs none. */
const lockEnd = wallTime(250_000_000_000_000);
const noAttributes = { headers: [], userMetadata: [], checksums: [] } as const;

interface Stored {
  readonly content: NewContent;
  readonly body: Body;
  readonly md5: Uint8Array;
  readonly size: number;
}

type Act = (client: SimClients, node: SimNode) => Promise<string>;
/** Acts by weight. Names are those of the counts. */
const acts: readonly (readonly [weight: number, name: string, act: Act])[] = [
  [24, "put", (c) => c.put()],
  [6, "put twice at once", (c) => c.putTwice()],
  [4, "put if absent, at once", (c) => c.race()],
  [3, "put if match", (c) => c.putIfMatch()],
  [18, "get", (c) => c.get(false)],
  [6, "get version", (c) => c.get(true)],
  [12, "delete", (c) => c.delete()],
  [4, "delete version", (c) => c.deleteVersion()],
  [1, "delete prefix", (c) => c.deletePrefix()],
  [6, "list", async (c) => c.list()],
  [6, "copy", (c) => c.copy()],
  [4, "create upload", (c) => c.createUpload()],
  [8, "put part", (c) => c.putPart()],
  [2, "copy part", (c) => c.copyPart()],
  [5, "complete", (c) => c.complete()],
  [1, "abort", (c) => c.abort()],
  [2, "create bucket", (c) => c.createBucket()],
  [1, "delete bucket", (c) => c.deleteBucket()],
  [1, "set versioning", (c) => c.setVersioning()],
  [1, "set lock", (c) => c.setLock()],
  [1, "set hold", (c) => c.setHold()],
  [3, "release hold", (c) => c.releaseHold()],
  [2, "subscribe", (c) => c.subscribe()],
  [4, "set extras", (c) => c.setExtras()],
  [2, "apply rules", (c) => c.applyRules()],
  [5, "collect", (_, node) => collect(node)],
  [1, "compact", (_, node) => compact(node)],
  [1, "repair", (_, node) => repair(node)],
  [1, "widen", (_, node) => widen(node)],
  [1, "scrub", (_, node) => scrub(node)],
  [1, "match orphans", (_, node) => matchAllOrphans(node)],
  [1, "resync device", (_, node) => resync(node)],
  [1, "evacuate device", (_, node) => evacuate(node)],
  [4, "move leaving", (_, node) => moveLeaving(node)],
  [2, "remove device", (_, node) => remove(node)],
  [1, "add device", (_, node) => add(node)],
  [1, "checkpoint", async (_, node) => checkpoint(node)],
  [1, "set clock", async (_, node) => setClock(node)],
];
const ofMembers = new Set(["evacuate device", "move leaving", "remove device", "add device"]);
const fewerActs = acts.filter(([, name]) => !ofMembers.has(name));

/** Clients and housekeeping at work on one process, several at once. */
export class SimClients {
  readonly #node: SimNode;
  readonly #prng: Prng;
  readonly #trace: SimTrace;
  readonly #choices: SimChoices;
  #left = 0;

  constructor(node: SimNode, trace: SimTrace) {
    this.#node = node;
    this.#prng = node.world.prng;
    this.#trace = trace;
    this.#choices = new SimChoices(node, 1000 + trace.operations * 8);
  }
  /** Runs `count` operations on `clients` clients; fewer when the process dies. */
  async run(clients: number, count: number): Promise<void> {
    this.#left = count;
    const results = await Promise.allSettled(Array.from({ length: clients }, () => this.#client()));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
  async #client(): Promise<void> {
    const { world } = this.#node;
    try {
      while (this.#left > 0) {
        this.#left -= 1;
        await this.#node.alive(world.clock.sleep(millis(this.#prng.below(4)), this.#node.signal));
        await this.#act();
      }
    } catch (reason) {
      if (reason instanceof SimNodeDied) return;
      this.#left = 0;
      throw reason;
    }
  }
  async #act(): Promise<void> {
    const list = this.#node.world.membersChange ? acts : fewerActs;
    let at = this.#prng.below(list.reduce((sum, [weight]) => sum + weight, 0));
    const [, name, act] = list.find(([weight]) => (at -= weight) < 0)!;
    const number = this.#trace.operations++;
    let result: string;
    try {
      result = await this.#node.during(name, () => act(this, this.#node));
    } catch (reason) {
      if (
        !(reason instanceof ChunkStoreError) ||
        !["no_space", "unavailable"].includes(reason.code)
      ) {
        this.#trace.note(`${number} ${name} → ${String(reason)}`);
        throw reason;
      }
      this.#node.world.count(`refused: ${reason.code}`);
      result = reason.code;
    }
    this.#node.world.count(`did ${name}`);
    this.#trace.note(`${number} ${name} ${result}`);
  }

  // --- writing

  /** Stores a body, lets `commit` name it, and takes it back when that is refused: as the gateway does. */
  async #store(
    { seed, size }: { readonly seed: number; readonly size: number },
    commit: (stored: Stored) => Promise<Outcome>,
    cipher?: CustomerCipher,
  ): Promise<Outcome> {
    const node = this.#node;
    const source = new SimSource(node, this.#prng, bodyBytes(seed, size));
    using written = await writeContent(node.ports, node.tenant, source, {
      operationId: operationId(node.world.nodePrng.fill(newBytes(16))),
      size,
      algorithms: new Set(),
      signal: node.signal,
      cipher,
      pool: 0,
    });
    const { content } = written;
    const md5 = written.digests.get("md5")!;
    must(Buffer.compare(md5, bodyMd5(seed, size)) === 0, "a body's MD5 is that of its bytes");
    checkThickness(content);
    if (this.#prng.chance(1, 5))
      await node.alive(node.ports.clock.sleep(millis(this.#prng.below(12)), node.signal));
    const isSmall = content.kind === "small" || cipher !== undefined;
    const body = size === 0 ? [] : [{ seed, size, start: 0, end: size, isSmall }];
    const outcome = await commit({ content, body, md5, size });
    if (outcome.kind === "refused") written.discard();
    return outcome;
  }
  #putBody(
    bucket: string,
    key: string,
    made: { seed: number; size: number },
    conditions?: Conditions,
  ) {
    const sealed = isCustomers(made) ? sealForCustomer(this.#node, made.seed) : undefined;
    const attributes = sealed ? { ...noAttributes, encryption: sealed.encryption } : noAttributes;
    if (sealed) this.#node.world.count("put under a customer's key");
    const commit = ({ content, body, md5, size }: Stored) =>
      this.#node.submit(
        {
          kind: "put_object",
          namespace: namespaceId(fromHex(bucket)),
          key: toUtf8(key),
          content,
          size,
          etag: { md5, parts: 0 },
          attributes: { ...attributes, ...this.#locks(bucket) },
          ...(conditions && { conditions }),
        },
        body,
      );
    return this.#store(made, commit, sealed?.cipher);
  }
  /** Now and then a lock; few that hold a bucket for ever. */
  #locks(bucket: string): Pick<ObjectAttributes, "retention" | "legalHold"> {
    const { buckets } = this.#node.model;
    if (buckets.get(bucket)?.isLockEnabled !== true || !this.#prng.chance(1, 3)) return {};
    const all = [...buckets.values()].flatMap(({ keys }) => [...keys.values()].flat());
    const kept = all.filter(({ extras }) => extras.hold === true || extras.mode === "compliance");
    const kind = this.#prng.below(6);
    if (kind === 0 && kept.length < 8) return { legalHold: true };
    const mode = kind === 1 && kept.length < 8 ? "compliance" : "governance";
    return { retention: { mode, until: lockEnd } };
  }
  async put(): Promise<string> {
    const key = this.#choices.key();
    if (this.#choices.isFull) return this.delete();
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return this.createBucket();
    const body = this.#choices.body();
    const outcome = await this.#putBody(bucket.id, key, body);
    return `${bucket.name}/${key} ${body.seed}:${body.size} ${textOfOutcome(outcome)}`;
  }
  /** The same bytes under two names at once: one seal must win. */
  async putTwice(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined || this.#choices.isFull) return "skipped";
    const { chunkSize } = this.#node.world.shape;
    const body = { seed: this.#choices.seed(), size: 2000 + this.#prng.below(chunkSize) };
    const names = [this.#choices.key(), this.#choices.key()];
    const outcomes = await allDone(names.map((key) => this.#putBody(bucket.id, key, body)));
    return `${names.join(" and ")} ${outcomes.map(textOfOutcome).join(" and ")}`;
  }
  /** Several create the same name: the model knows which one may. */
  async race(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined || this.#choices.isFull) return "skipped";
    const key = `race/${this.#choices.seed()}`;
    const outcomes = await allDone(
      Array.from({ length: 3 }, () =>
        this.#putBody(bucket.id, key, this.#choices.body(), { ifNoneMatch: ["*"] }),
      ),
    );
    if (this.#prng.chance(4, 5)) await this.#submitDelete(bucket, key);
    return `${key} ${outcomes.map(textOfOutcome).join(" ")}`;
  }
  async putIfMatch(): Promise<string> {
    const found = this.#choices.object();
    if (found === undefined || this.#choices.isFull) return "skipped";
    const current = currentOf(found.bucket.keys.get(found.key));
    const ifMatch = [
      this.#prng.chance(1, 4) || current === undefined ? "0".repeat(32) : current.etag,
    ];
    const outcome = await this.#putBody(found.bucket.id, found.key, this.#choices.body(), {
      ifMatch,
    });
    return `${found.bucket.name}/${found.key} ${textOfOutcome(outcome)}`;
  }
  async copy(): Promise<string> {
    const source = this.#choices.version();
    const target = this.#choices.bucket();
    if (source === undefined || target === undefined || this.#choices.isFull) return "skipped";
    const { number } = source.one;
    const key = this.#choices.key();
    const outcome = await this.#node.submit({
      kind: "copy_object",
      namespace: namespaceId(fromHex(target.id)),
      key: toUtf8(key),
      source: {
        namespace: namespaceId(fromHex(source.bucket.id)),
        key: toUtf8(source.key),
        ...(number !== undefined && this.#prng.chance(1, 2) && { version: number }),
      },
    });
    return `${source.bucket.name}/${source.key} → ${target.name}/${key} ${textOfOutcome(outcome)}`;
  }

  // --- reading

  async get(isVersion: boolean): Promise<string> {
    const version = this.#choices.version();
    const found = version ?? this.#choices.object();
    if (found === undefined) return "skipped";
    const number = version?.one.number;
    const size = version === undefined ? 0 : sizeOf(version.one.body);
    const prng = this.#prng;
    const range =
      prng.chance(1, 2) && size > 0
        ? { from: prng.below(size), length: 1 + prng.below(size) }
        : undefined;
    const query = {
      bucket: found.bucket.id,
      key: found.key,
      ...(isVersion && number !== undefined && { version: number }),
    };
    const pause = prng.chance(1, 4) ? 1 + prng.below(20) : 0;
    return `${found.bucket.name}/${found.key} ${await readObject(this.#node, query, range, pause)}`;
  }
  list(): string {
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return "skipped";
    const prng = this.#prng;
    const page = listPage(this.#node, bucket.id, {
      prefix: this.#choices.pick(["", "", "a", "a/", "dir/", "v/", "x/", "nothing"])!,
      delimiter: this.#choices.pick(["", "/", "/", "b"])!,
      after: prng.chance(1, 3) ? this.#choices.key() : undefined,
      countMax: 1 + prng.below(20),
    });
    return `${bucket.name} ${page.length}`;
  }

  // --- deleting

  async #submitDelete(
    bucket: ModelBucket,
    key: string,
    version?: bigint | "null",
    isBypassing = false,
  ): Promise<Outcome> {
    return this.#node.submit({
      kind: "delete_object",
      namespace: namespaceId(fromHex(bucket.id)),
      key: toUtf8(key),
      ...(version !== undefined && { version }),
      isBypassing,
    });
  }
  async delete(): Promise<string> {
    const found = this.#choices.object();
    if (found === undefined) return "skipped";
    if (this.#choices.isFull && found.bucket.holds.size > 0) return this.releaseHold(found.bucket);
    // Versions would pile up: a versioned name that is long goes for good.
    const versions = found.bucket.keys.get(found.key) ?? [];
    if (versions.length > 3 || (this.#choices.isFull && versions.length > 1))
      return this.deleteVersion(found);
    return `${found.bucket.name}/${found.key} ${textOfOutcome(await this.#submitDelete(found.bucket, found.key))}`;
  }
  async deleteVersion(found = this.#choices.object()): Promise<string> {
    const versions = found?.bucket.keys.get(found.key) ?? [];
    const one = this.#choices.pick(versions);
    if (found === undefined || one?.number === undefined) return "skipped";
    const version = one.isNull && this.#prng.chance(1, 2) ? "null" : one.number;
    const isBypassing = this.#choices.isFull || this.#prng.chance(1, 2);
    const outcome = await this.#submitDelete(found.bucket, found.key, version, isBypassing);
    return `${found.bucket.name}/${found.key} ${version} ${textOfOutcome(outcome)}`;
  }
  async applyRules(): Promise<string> {
    const bucket = this.#choices.bucket();
    return bucket === undefined ? "skipped" : applyRules(this.#node, bucket);
  }
  /** Everything under a prefix at once; where versions are kept, they lie under a prefix that has vanished. */
  async deletePrefix(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return "skipped";
    const prefix = this.#choices.pick(["v/", "dir/", "a/"])!;
    const list = [...bucket.keys.keys()].filter((key) => key.startsWith(prefix));
    await Promise.all(list.map((key) => this.#submitDelete(bucket, key)));
    return `${bucket.name}/${prefix} ${list.length}`;
  }

  // --- uploads

  async createUpload(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined || bucket.uploads.size > 6) return "skipped";
    const key = this.#choices.key();
    const outcome = await this.#node.submit({
      kind: "create_upload",
      namespace: namespaceId(fromHex(bucket.id)),
      key: toUtf8(key),
      random: this.#node.world.nodePrng.fill(newBytes(16)),
      attributes: noAttributes,
    });
    return `${bucket.name}/${key} ${textOfOutcome(outcome)}`;
  }
  async putPart(): Promise<string> {
    const found = this.#choices.upload();
    const upload = found?.upload.id;
    if (found === undefined || upload === undefined || this.#choices.isFull) return "skipped";
    const part = 1 + this.#prng.below(4);
    const outcome = await this.#store(this.#choices.body(), ({ content, body, md5, size }) =>
      this.#node.submit(
        {
          kind: "put_part",
          namespace: namespaceId(fromHex(found.bucket.id)),
          key: toUtf8(found.upload.key),
          upload,
          part,
          content,
          size,
          md5,
          checksums: [],
        },
        body,
      ),
    );
    return `${found.name} ${part} ${textOfOutcome(outcome)}`;
  }
  async copyPart(): Promise<string> {
    const found = this.#choices.upload();
    const upload = found?.upload.id;
    const source = this.#choices.version();
    const size = source ? sizeOf(source.one.body) : 0;
    if (
      found === undefined ||
      upload === undefined ||
      source?.one.number === undefined ||
      size === 0
    )
      return "skipped";
    const start = this.#prng.below(size);
    const end = start + 1 + this.#prng.below(size - start);
    const outcome = await this.#node.submit({
      kind: "copy_part",
      namespace: namespaceId(fromHex(found.bucket.id)),
      key: toUtf8(found.upload.key),
      upload,
      part: 1 + this.#prng.below(4),
      source: {
        namespace: namespaceId(fromHex(source.bucket.id)),
        key: toUtf8(source.key),
        version: source.one.number,
      },
      start,
      end,
      md5: md5Of(sliceBody(source.one.body, start, end)),
      checksums: [],
    });
    return `${found.name} ${start}-${end} ${textOfOutcome(outcome)}`;
  }
  /** Completes an upload, now and then twice at once. */
  async complete(): Promise<string> {
    const found = this.#choices.upload();
    const upload = found?.upload.id;
    if (found === undefined || upload === undefined) return "skipped";
    const numbers = [...found.upload.parts.keys()].toSorted((a, b) => a - b);
    const operation: Operation = {
      kind: "complete_upload",
      namespace: namespaceId(fromHex(found.bucket.id)),
      key: toUtf8(found.upload.key),
      upload,
      parts: numbers.map((part) => ({ part, etag: found.upload.parts.get(part)!.md5 })),
      checksums: [],
    };
    const times = this.#prng.chance(1, 4) ? 2 : 1;
    const outcomes = await Promise.all(
      Array.from({ length: times }, () => this.#node.submit(operation)),
    );
    return `${found.name} ${numbers.join(",")} ${outcomes.map(textOfOutcome).join(" and ")}`;
  }
  async abort(): Promise<string> {
    const found = this.#choices.upload();
    const upload = found?.upload.id;
    if (found === undefined || upload === undefined) return "skipped";
    const outcome = await this.#node.submit({
      kind: "abort_upload",
      namespace: namespaceId(fromHex(found.bucket.id)),
      key: toUtf8(found.upload.key),
      upload,
    });
    return `${found.name} ${textOfOutcome(outcome)}`;
  }

  // --- buckets

  async createBucket(): Promise<string> {
    const name = this.#choices.pick(bucketNames)!;
    const versioning = this.#choices.pick(["off", "off", "enabled", "suspended"] as const)!;
    const id = namespaceId(this.#node.world.nodePrng.fill(newBytes(16)));
    const isLockEnabled = this.#prng.chance(1, 4);
    const made = { id, name, versioning, isLockEnabled };
    const outcome = await this.#node.submit({ kind: "create_namespace", ...made });
    return `${name} ${versioning} ${isLockEnabled} ${textOfOutcome(outcome)}`;
  }
  async deleteBucket(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return "skipped";
    if (this.#prng.chance(1, 3)) {
      // Emptied first; a put in between may still keep it.
      const all = [...bucket.keys].flatMap(([key, list]) =>
        list.map(({ number }) => ({ key, number })),
      );
      await Promise.all(
        all.map(({ key, number }) => this.#submitDelete(bucket, key, number, true)),
      );
    }
    const namespace = namespaceId(fromHex(bucket.id));
    const outcome = await this.#node.submit({ kind: "delete_namespace", namespace });
    return `${bucket.name} ${textOfOutcome(outcome)}`;
  }
  async setVersioning(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return "skipped";
    const versioning = this.#choices.pick(["off", "enabled", "enabled", "suspended"] as const)!;
    const namespace = namespaceId(fromHex(bucket.id));
    const outcome = await this.#node.submit({ kind: "set_versioning", namespace, versioning });
    return `${bucket.name} ${versioning} ${textOfOutcome(outcome)}`;
  }
  async setLock(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined) return "skipped";
    const namespace = namespaceId(fromHex(bucket.id));
    const outcome = await this.#node.submit({ kind: "set_object_lock", namespace });
    return `${bucket.name} ${textOfOutcome(outcome)}`;
  }
  /** Few and short: where deletes are refused little else happens. */
  async setHold(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined || this.#choices.isFull || !this.#prng.chance(1, 4)) return "skipped";
    const hold = { id: this.#choices.pick(["one", "two"])! };
    const namespace = namespaceId(fromHex(bucket.id));
    const outcome = await this.#node.submit({ kind: "set_hold", namespace, hold });
    return `${bucket.name} ${hold.id} ${textOfOutcome(outcome)}`;
  }
  async releaseHold(bucket = this.#choices.bucket()): Promise<string> {
    const id = this.#choices.pick([...(bucket?.holds ?? []), "one"]);
    if (bucket === undefined || id === undefined) return "skipped";
    const namespace = namespaceId(fromHex(bucket.id));
    const outcome = await this.#node.submit({ kind: "release_hold", namespace, id });
    return `${bucket.name} ${id} ${textOfOutcome(outcome)}`;
  }
  /** To what is made and removed in a bucket, or under a prefix of it; the rule is named after the bucket. */
  async subscribe(): Promise<string> {
    const bucket = this.#choices.bucket();
    if (bucket === undefined || bucket.told !== undefined) return "skipped";
    const namespace = namespaceId(fromHex(bucket.id));
    const value = subscription(bucket.id, this.#choices.pick(["", "", "a"])!);
    const setting = { kind: "put_setting", setting: "notification" } as const;
    const outcome = await this.#node.submit({ ...setting, namespace, value });
    return `${bucket.name} ${textOfOutcome(outcome)}`;
  }
  /** Tags and holds that come and go, and attempts to loosen retention. */
  async setExtras(): Promise<string> {
    const found = this.#choices.version();
    if (found === undefined) return "skipped";
    const { number } = found.one;
    const changes = this.#choices.pick<ExtrasChanges>([
      { tags: [["n", String(this.#prng.below(100))]] },
      { tags: null },
      { legalHold: false },
      { legalHold: null },
      { retention: { mode: "governance", until: lockEnd } },
      { retention: null },
    ])!;
    const outcome = await this.#node.submit({
      kind: "set_object_extras",
      namespace: namespaceId(fromHex(found.bucket.id)),
      key: toUtf8(found.key),
      ...(number !== undefined && this.#prng.chance(3, 4) && { version: number }),
      changes,
      isBypassing: this.#prng.chance(1, 2),
    });
    return `${found.bucket.name}/${found.key} ${Object.keys(changes).join()} ${textOfOutcome(outcome)}`;
  }
}

const textOfOutcome = (outcome: Outcome): string =>
  outcome.kind === "refused" ? outcome.code : outcome.answer.kind;

/** What all of them came to; when one is refused, only after the others have ended too: none goes on by itself. */
async function allDone<T>(works: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(works);
  return await Promise.all(works);
}
