import { type ChunkId, chunkId, type SealId, sealId } from "@kiseki/base";
import { capabilitySize } from "@kiseki/format";
import type { Clock, Crypto } from "@kiseki/ports";
import type { WriteKey } from "@kiseki/rpc";
import { rpcVerdict } from "../retry/fates.ts";
import type { Attempted } from "../retry/persist.ts";
import { within } from "../retry/within.ts";
import type { Asking } from "../service/asking.ts";
import type { Session } from "../service/sessions.ts";

/** For one sealing, never a second (KEYS §4). */
export interface LeasedKey {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** Wiped by whoever sealed with it. */
  readonly dek: Uint8Array;
  readonly capability: Uint8Array;
}
interface Batch {
  readonly session: Session;
  /** Keys are begun with until half of the lease is over: the rest is for sending, and for naming what was sent. */
  readonly until: number;
  readonly keys: LeasedKey[];
}
interface Ports {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly asking: Asking;
}

const countMin = 4;
const countMax = 64;

/** Keys that the owner gave for content to come, a batch ahead: asked for in larger batches while they are used up. */
export class KeyLeases {
  readonly #ports: Ports;
  #batch: Batch | undefined;
  #count = countMin;
  #leasing: Promise<Attempted<Batch>> | undefined;
  readonly #batches = new WeakMap<LeasedKey, Batch>();

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** One attempt to come by a key of the session. */
  async take(session: Session, leftMs: number): Promise<Attempted<LeasedKey>> {
    for (;;) {
      const key = this.#ready(session);
      if (key) return { kind: "done", value: key };
      this.#leasing ??= this.#lease(session).finally(() => (this.#leasing = undefined));
      const late = { kind: "failed", verdict: rpcVerdict.timeout } as const;
      const ended = await within<Attempted<Batch>>(this.#leasing, leftMs, late);
      if (ended.kind === "failed") return ended;
    }
  }

  #ready(session: Session): LeasedKey | undefined {
    const batch = this.#batch;
    if (batch === undefined) return undefined;
    const isOver = this.#ports.clock.monotonic() >= batch.until;
    if (!isOver && batch.session === session) {
      const key = batch.keys.shift();
      if (key === undefined) this.#count = Math.min(countMax, this.#count * 2);
      return key;
    }
    this.#drop(batch);
    this.#batch = undefined;
    this.#count = countMin;
    return undefined;
  }

  async #lease(session: Session): Promise<Attempted<Batch>> {
    const { clock, asking } = this.#ports;
    const sentAt = clock.monotonic();
    const ended = await asking.once(session, (client, { id }, options) =>
      client.data.leaseKeys({ session: id, count: this.#count }, options),
    );
    if (ended.kind === "failed") return ended;
    const keys = ended.value.keys.map(readKey);
    const known = keys.filter((key) => key !== undefined);
    if (known.length === 0 || known.length !== keys.length) {
      return { kind: "failed", verdict: rpcVerdict.not_supported };
    }
    const batch = { session, until: sentAt + ended.value.leaseMs / 2, keys: known };
    for (const key of known) this.#batches.set(key, batch);
    this.#batch = batch;
    return { kind: "done", value: batch };
  }

  /** The node will not have a key: then none of its batch, which may be of a node that has started anew since. */
  distrust(key: LeasedKey): void {
    const batch = this.#batches.get(key);
    if (batch === undefined || batch !== this.#batch) return;
    this.#drop(batch);
    this.#batch = undefined;
  }

  #drop({ keys }: Batch): void {
    for (const { dek } of keys.splice(0)) this.#ports.crypto.wipe(dek);
  }

  /** Gives back what was not used; the lease ends anyway. */
  async close(): Promise<void> {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) return;
    const sealIds = batch.keys.map((key) => key.sealId);
    this.#drop(batch);
    if (sealIds.length === 0) return;
    await this.#ports.asking.once(batch.session, (client, { id }) =>
      client.data.returnKeys({ session: id, sealIds }, { timeoutMs: 2_000 }),
    );
  }
}

function readKey({ chunkId: id, sealId: seal, dek, capability }: WriteKey): LeasedKey | undefined {
  const isSized = id.byteLength === 32 && seal.byteLength === 16 && dek.byteLength === 32;
  if (!isSized || capability.byteLength !== capabilitySize) return undefined;
  const own = Uint8Array.from(dek);
  dek.fill(0); // in the message, which may live on
  return {
    chunkId: chunkId(Uint8Array.from(id)),
    sealId: sealId(Uint8Array.from(seal)),
    dek: own,
    capability: Uint8Array.from(capability),
  };
}
