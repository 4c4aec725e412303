/** Notifications beside clients: a receiver that is away, loses answers and refuses, and what it must have got in the end. */
import { fromUtf8, millis, toUtf8 } from "@kiseki/base";
import {
  DeliveryError,
  type Message,
  notificationSetting,
  type NotificationTarget,
  Notifier,
} from "@kiseki/node/sim";
import type { ModelBucket, ModelNotice, PlainModel } from "./sim-model.ts";
import { must, type SimNode } from "./sim-node.ts";

export const receiverId = "hook";
/** Of quiet times' waiting. */
const roundMs = millis(50);
const roundsMax = 10_000;
const pace = { firstMs: 5, longestMs: 100 };

interface Received extends ModelNotice {
  readonly id: string;
  readonly bucket: string;
  readonly sequencer: string;
  readonly body: string;
  readonly wasRefused: boolean;
  isSettled: boolean;
}

/** What is looked at of a message. */
interface SentMessage {
  readonly Records: readonly [
    {
      readonly eventName: string;
      readonly s3: {
        readonly configurationId: string;
        readonly object: {
          readonly key: string;
          readonly sequencer: string;
          readonly eTag?: string;
        };
      };
    },
  ];
}

/** What stands at the other end, whatever becomes of the node. */
export class SimReceiver {
  /** By id, in the order of their first coming. */
  readonly #received = new Map<string, Received>();
  readonly #refused = new Set<string>();
  /** Takes everything at once. */
  isWilling = false;
  /** What was wrong with a message. */
  fault: string | undefined;

  /** As one process of the node sees it. */
  target(node: SimNode): NotificationTarget {
    return {
      id: receiverId,
      type: "webhook",
      place: "simulated",
      send: (message) => this.#send(node, message),
      async [Symbol.asyncDispose]() {},
    };
  }
  /** What has come since it was compared last. */
  get received(): readonly Received[] {
    return [...this.#received.values()].filter(({ isSettled }) => !isSettled);
  }
  /** It was compared; what comes again of it is known. */
  settle(): void {
    for (const one of this.#received.values()) one.isSettled = true;
  }

  async #send(node: SimNode, message: Message): Promise<void> {
    const { prng, clock } = node.world;
    node.effect("notice_begins");
    await node.alive(clock.background.sleep(millis(prng.below(4)), node.signal));
    if (!this.isWilling) this.#object(node, message);
    this.#take(node, message);
    node.effect("notice_taken");
    if (node.isDead || (!this.isWilling && prng.chance(1, 30))) {
      node.world.count("fault: notice's answer lost");
      throw new DeliveryError("unreachable", "The answer was lost");
    }
  }
  #object({ world }: SimNode, { id }: Message): void {
    const { prng } = world;
    if (prng.chance(1, 10)) {
      world.count("fault: receiver away");
      throw new DeliveryError("unreachable", "Nobody is there");
    }
    if (!this.#received.has(id) && prng.chance(1, 40)) this.#refused.add(id);
    if (!this.#refused.has(id)) return;
    world.count("fault: notice refused");
    throw new DeliveryError("refused", "It is not wanted");
  }
  #take({ world }: SimNode, { id, body }: Message): void {
    const text = fromUtf8(body) ?? "";
    const known = this.#received.get(id);
    world.count(known === undefined ? "notices delivered" : "notices delivered again");
    if (known !== undefined) {
      if (known.body !== text) this.fault = `what is delivered again is the same: ${id}`;
      return;
    }
    const {
      Records: [record],
    } = JSON.parse(text) as SentMessage;
    const { configurationId: bucket, object } = record.s3;
    const key = decodeURIComponent(object.key.replaceAll("+", " "));
    const { sequencer, eTag: etag = "" } = object;
    const wasRefused = this.#refused.has(id);
    const what = { event: record.eventName, key, etag };
    this.#received.set(id, {
      ...what,
      id,
      bucket,
      sequencer,
      body: text,
      wasRefused,
      isSettled: false,
    });
  }
}

/** A bucket's setting, as a client's document makes it. */
export function subscription(id: string, prefix: string): Uint8Array {
  const events = ["Created", "Removed"].map((one) => `<Event>s3:Object${one}:*</Event>`).join("");
  const rule = `<Name>prefix</Name><Value>${prefix}</Value>`;
  const filter = `<Filter><S3Key><FilterRule>${rule}</FilterRule></S3Key></Filter>`;
  const queue = `<Queue>arn:kiseki:sqs::${receiverId}:webhook</Queue>`;
  const inner = `<QueueConfiguration><Id>${id}</Id>${queue}${events}${filter}</QueueConfiguration>`;
  const document = `<NotificationConfiguration>${inner}</NotificationConfiguration>`;
  return notificationSetting.store(toUtf8(document)) as Uint8Array;
}

/** The node's own notifier, on simulated time. */
export function openNotifier(node: SimNode): Notifier {
  const { clock, crypto, nodePrng: prng, receiver } = node.world;
  return new Notifier({
    ports: { clock: clock.background, crypto, prng, metrics: node.ports.metrics },
    log: { warn() {} },
    targets: [receiver.target(node)],
    pace,
    scopeOf: () => ({ region: "", hostId: "", owner: "0".repeat(64), versionId: String }),
  });
}

/** With a receiver that takes everything: each acknowledged change that somebody subscribed to has come, in its order. */
export async function checkNotices(node: SimNode): Promise<void> {
  const { world, tenant, notifier, model } = node;
  const { receiver, clock } = world;
  receiver.isWilling = true;
  for (let round = 0; ; round++) {
    const status = notifier.status(tenant.id, receiverId);
    const isAtEnd = status?.state === "idle" && status.behind === 0;
    const again = isAtEnd ? await node.alive(notifier.retry(tenant, receiverId)) : 0;
    world.count("dead letters sent again", again);
    if (isAtEnd && again === 0) break;
    must(round < roundsMax, `notices end (${JSON.stringify(status)})`);
    await node.alive(clock.sleep(roundMs, node.signal));
  }
  receiver.isWilling = false;
  must(receiver.fault === undefined, `${receiver.fault}`);
  const byBucket = Map.groupBy(receiver.received, ({ bucket }) => bucket);
  for (const all of byBucket.values()) checkOrder(all);
  for (const bucket of model.buckets.values()) {
    checkBucket(model, bucket, byBucket.get(bucket.id) ?? []);
    bucket.notices.length = 0;
  }
  model.perhapsTold.length = 0;
  receiver.settle();
}

/** What was not put aside for the time being came in the order of the log, key by key. */
function checkOrder(received: readonly Received[]): void {
  const last = new Map<string, string>();
  for (const { key, sequencer, wasRefused } of received) {
    if (wasRefused) continue;
    const before = last.get(key);
    must(before === undefined || before < sequencer, `notices of ${key} come in order`);
    last.set(key, sequencer);
  }
}
const textOf = ({ event, etag }: ModelNotice): string => `${event} ${etag}`;

/** All that the model knows of has come, and what it is not sure of at most. */
function checkBucket(
  { perhapsTold }: PlainModel,
  { id, name, notices }: ModelBucket,
  received: readonly Received[],
): void {
  const wanted = Map.groupBy(notices, ({ key }) => key);
  const came = Map.groupBy(
    received.toSorted((a, b) => (a.sequencer < b.sequencer ? -1 : 1)),
    ({ key }) => key,
  );
  const perhaps = perhapsTold.filter(({ bucket }) => bucket === id);
  for (const key of new Set([...wanted.keys(), ...came.keys()])) {
    const list = wanted.get(key) ?? [];
    const unsure = perhaps.filter((one) => one.key === key).map(textOf);
    let next = 0;
    for (const one of came.get(key) ?? []) {
      const words = textOf(one);
      if (next < list.length && textOf(list[next]!) === words) {
        next += 1;
        continue;
      }
      const at = unsure.indexOf(words);
      must(at >= 0, `nobody told of ${name}/${key} what did not happen: ${words}`);
      unsure.splice(at, 1);
    }
    const [missed] = list.slice(next);
    must(missed === undefined, `${name}/${key} is told of: ${missed && textOf(missed)}`);
  }
}
