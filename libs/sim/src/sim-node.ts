import {
  assert,
  AssertionError,
  epoch,
  type Keyset,
  keyset,
  newBytes,
  operationId,
  type ShardId,
} from "@kiseki/base";
import { ChunkPools, ChunkStore, type FragmentIndex, type MemoryIndex } from "@kiseki/chunk-store";
import { decide, defaultLimits, type DirKeys, type Operation } from "@kiseki/composition";
import { deriveChainKey, deriveRoot, KeysetKeyring, TenantKeyring } from "@kiseki/keys";
import {
  Budget,
  consumerName,
  type DataPorts,
  mapClasses,
  type Notifier,
  type OpenTenant,
  type Outcome,
  Tenants,
} from "@kiseki/node/sim";
import type { Metrics } from "@kiseki/ports";
import type { Body } from "./sim-body.ts";
import { drain } from "./sim-clock.ts";
import type { SimDatapath } from "./sim-datapath.ts";
import { type Expected, type ModelOperation, type PlainModel } from "./sim-model.ts";
import { openNotifier, receiverId } from "./sim-receiver.ts";
import type { SimWorld } from "./sim-world.ts";

const noMetrics: Metrics = { add() {}, set() {}, observe() {} };
const budgetShare = 0.85;

/** The process died under whoever waited. */
export class SimNodeDied extends Error {
  override readonly name = "SimNodeDied";
}
/** What the checkers found wrong. */
export class SimFinding extends Error {
  override readonly name = "SimFinding";
}
export function must(holds: boolean, property: string): asserts holds {
  if (!holds) throw new SimFinding(`Must hold: ${property}`);
}

interface Pending extends ModelOperation {
  readonly settle: (outcome: Outcome) => void;
}

/** One process of the node, from its start to its death: the program's own parts on simulated ports. */
export class SimNode {
  readonly world: SimWorld;
  /** Of what is acknowledged. */
  model: PlainModel;
  /** Submitted and not answered yet, in the order of submission, which is that of the log. */
  readonly pending: Pending[] = [];
  /** What is being done now, by name: what a crash struck. */
  readonly activities = new Map<string, number>();
  ports!: DataPorts;
  tenant!: OpenTenant;
  tenants!: Tenants;
  notifier!: Notifier;
  keyring!: TenantKeyring;
  dirKeys!: DirKeys;
  isDead = false;
  /** Why, when it was not a fault of the world. */
  fatal: AssertionError | undefined;
  /** Never aborted. One for each process: what a dead one waited for would be kept by one of all. */
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #datapath: SimDatapath;
  readonly #died = Promise.withResolvers<never>();

  constructor(world: SimWorld, model: PlainModel) {
    this.world = world;
    this.model = model;
    this.#datapath = world.connect();
    this.#datapath.onEffect = (effect) => this.effect(effect);
    this.#died.promise.catch(() => undefined); // seen by those who wait
  }

  /** The node's own start, as `openNode` does it. */
  async start(): Promise<void> {
    const { world } = this;
    const { clock, crypto, nodePrng: prng, shape, rules } = world;
    const open = (pool: number, paths: readonly string[], index: MemoryIndex) =>
      ChunkStore.open(
        {
          ...{ clock, prng, crypto, datapath: this.#datapath, metrics: noMetrics },
          index: this.#indexOf(index),
        },
        {
          devices: paths.map((path) => ({ path })),
          clusterId: world.clusterId,
          pool,
          allowSingleCopy: shape.allowSingleCopy,
          safeties: rules.chunkStore,
        },
      );
    const pools = [
      { number: 0, name: "default", store: await open(0, world.paths, world.index) },
      {
        number: 1,
        name: "archive",
        store: await open(1, [...world.archive.keys()], world.archiveIndex),
      },
    ];
    const chunkStore = new ChunkPools(pools);
    const noted = chunkStore.notedEpoch;
    const next = epoch((noted > world.configEpoch ? noted : world.configEpoch) + 1n);
    world.configEpoch = next;
    await chunkStore.noteEpoch(next);
    this.ports = {
      clock,
      prng,
      crypto,
      metrics: noMetrics,
      datapath: this.#datapath,
      chunkStore,
      poolOf: mapClasses(new Map([["GLACIER_IR", "archive"]]), pools),
      budget: new Budget(Math.floor(this.#datapath.arena.sizeTotal * budgetShare)),
      smallSizeMax: shape.smallSizeMax,
      chunkSize: shape.chunkSize,
      safeties: rules.node,
    };
    this.keyring = openKeyring(world);
    this.notifier = openNotifier(this);
    this.tenants = new Tenants({
      ports: this.ports,
      keys: {
        get: () => this.keyring,
        open: async () => this.keyring,
        onLost: () => ({ [Symbol.dispose]() {} }),
      },
      openShard: () => ({ store: world.members.open(), close() {} }),
      nodeEpoch: next,
      node: 1n,
      acceptLoss: false,
      admission: () => "all",
      limits: { ...defaultLimits, partSizeMin: 0 },
      ...(rules.machine && { decide: rules.machine(decide) }),
      onFatal: (reason) => this.die(reason),
      subscriber: this.#subscriber(),
    });
    this.tenant = await this.tenants.open(world.tenant, "write", this.signal);
    this.dirKeys = this.tenant.dirKeys(this.keyring);
  }

  #subscriber(): { opened(tenant: OpenTenant): void } & Pick<Notifier, "noticed"> {
    const { resumesNotices } = this.world.rules;
    return {
      opened: (tenant) => {
        const { store } = tenant;
        const name = consumerName(receiverId);
        const isLeft = !resumesNotices && store.consumers().has(name);
        if (isLeft) store.advanceConsumer(name, store.head().index);
        this.notifier.opened(tenant);
      },
      noticed: (id, index) => this.notifier.noticed(id, index),
    };
  }
  /** Something that a crash may strike before or after; more often where there is less of it, so that a hundred seeds see each. */
  effect(name: string): void {
    const { world } = this;
    const isRare = name.startsWith("index_") || (this.activities.get("repair") ?? 0) > 0;
    const rate = world.crashRate * (isRare ? 8 : 1);
    if (this.isDead || rate === 0 || !world.prng.chance(rate, 100_000)) return;
    world.count(`crash at ${name}`);
    this.die();
  }
  /** Ends the process at once. `reason`: an error of its own, kept if it is no fault of the world. */
  die(reason?: unknown): void {
    if (this.isDead) return;
    this.isDead = true;
    if (reason instanceof AssertionError) this.fatal = reason;
    for (const [activity, count] of this.activities)
      if (count > 0) this.world.count(`crash during ${activity}`);
    void this.notifier?.[Symbol.asyncDispose](); // nobody goes on
    this.#datapath.crash();
    this.world.members.crash();
    this.#died.reject(new SimNodeDied("The process died"));
  }
  /** Dies and lets what still runs come to its end, so that the next process is alone. */
  async bury(): Promise<void> {
    this.die();
    await drain();
    this.world.clock.forgetSleepers();
    await drain();
    if (this.fatal !== undefined) throw this.fatal;
  }
  /** The promise, or `SimNodeDied` as soon as the process is dead. */
  async alive<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, this.#died.promise]);
    } catch (reason) {
      if (this.isDead) throw new SimNodeDied("The process died");
      throw reason;
    }
  }
  /** Counts `work` among what a crash may strike. */
  async during<T>(activity: string, work: () => Promise<T>): Promise<T> {
    const change = (by: number): void => {
      this.activities.set(activity, (this.activities.get(activity) ?? 0) + by);
    };
    change(1);
    try {
      return await this.alive(work());
    } finally {
      change(-1);
    }
  }
  /** Sends an operation to the shard's owner and compares its outcome with the model's. */
  async submit(operation: Operation, body: Body = []): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const pending: Pending = { operation, body, settle: resolve };
    this.pending.push(pending);
    const id = operationId(this.world.nodePrng.fill(newBytes(16)));
    this.tenant.owner.submit(operation, id).then((outcome) => {
      if (this.isDead && outcome.kind === "refused") return; // closed while it died
      try {
        this.#answered(pending, outcome);
      } catch (reason) {
        reject(reason);
      }
    }, reject);
    return await this.alive(promise);
  }
  /** A move stores short pieces as small content, which the model does not follow: a part cannot be made of them by reference. */
  #isSmallSinceMove(operation: Operation, outcome: Outcome): boolean {
    if (operation.kind !== "copy_part" || outcome.kind !== "refused") return false;
    if (outcome.code !== "source_is_small") return false;
    const source = this.model.source(operation.source);
    return typeof source !== "string" && this.world.movedContent.has(source.etag);
  }
  #answered(pending: Pending, outcome: Outcome): void {
    must(this.pending[0] === pending, "answers come in the order of the log");
    this.pending.shift();
    if (this.#isSmallSinceMove(pending.operation, outcome)) return pending.settle(outcome);
    const answer = outcome.kind === "done" ? outcome.answer : undefined;
    const expected = this.model.apply(pending, answer);
    const { kind } = pending.operation;
    const code = outcome.kind === "refused" ? outcome.code : "done";
    const wanted = expected.kind === "refused" ? expected.code : "done";
    must(code === wanted, `${kind} answers ${wanted}, not ${code}`);
    if (answer?.kind === "object") checkObject(answer, expected);
    pending.settle(outcome);
  }
  /** States that the store may show: the model's, and those with what is submitted, in order. */
  *possible(): Generator<PlainModel> {
    yield this.model;
    if (this.pending.length === 0) return;
    const next = this.model.clone();
    for (const pending of this.pending) {
      next.apply(pending);
      yield next;
    }
  }

  /** The index as this process sees it; a dead one writes no more. */
  #indexOf(index: MemoryIndex): FragmentIndex {
    const living = (act: () => void): void => {
      if (!this.isDead) act();
    };
    const around = (name: string, act: () => void): void => {
      this.effect(`${name}_begins`);
      living(act);
      this.effect(`${name}_done`);
    };
    return {
      get: (key) => index.get(key),
      put: (key, value) => living(() => index.put(key, value)),
      delete: (key) => living(() => index.delete(key)),
      scan: (after, countMax, visit) => index.scan(after, countMax, visit),
      count: () => index.count(),
      meta: (name) => index.meta(name),
      putMeta: (name, value) => living(() => index.putMeta(name, value)),
      flush: () => around("index_flush", () => index.flush()),
      checkpoint: () => around("index_checkpoint", () => index.checkpoint()),
      clear: () => living(() => index.clear()),
      condemn: () => living(() => index.condemn()),
      [Symbol.dispose]() {},
    };
  }
}

function checkObject(
  answer: Extract<Extract<Outcome, { kind: "done" }>["answer"], { kind: "object" }>,
  expected: Expected,
): void {
  assert(expected.kind === "done", "the answer was compared before");
  const parts = answer.etag.parts === 0 ? "" : `-${answer.etag.parts}`;
  const etag = `${Buffer.from(answer.etag.md5).toString("hex")}${parts}`;
  must(expected.etag === undefined || expected.etag === etag, "an object's ETag is its content's");
}

function openKeyring({ crypto, tenant }: SimWorld): TenantKeyring {
  const openSecret = (size: number) => ({ bytes: newBytes(size), [Symbol.dispose]() {} });
  const tools = { crypto, openSecret };
  const share = (fill: number): Uint8Array => newBytes(32).fill(fill);
  const current = keyset(1);
  const root = deriveRoot(crypto, share(1), share(2));
  return new TenantKeyring(tools, {
    tenant,
    current,
    keysets: [new KeysetKeyring(tools, tenant, current, root)],
    idKey: share(3),
    dirSecret: share(4),
    chainKey: (_: Keyset, shard: ShardId) => deriveChainKey(crypto, share(1), shard),
  });
}
