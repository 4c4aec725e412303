import { type LogIndex, logIndex, millis, type TenantId, toHex } from "@kiseki/base";
import type { NoticePlace } from "@kiseki/format";
import { type NotificationConfig, notificationTarget } from "@kiseki/s3";
import type { Logger } from "@kiseki/telemetry";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import type { RetryPace } from "./delivery.ts";
import { type EventScope, testMessage } from "./event-record.ts";
import { NoticeMarks } from "./log-notices.ts";
import {
  type ConsumerStatus,
  isConsumerName,
  consumerName,
  isTooFarBehind,
  TargetConsumer,
} from "./target-consumer.ts";
import { type DeadLetter, listDead, retryDead } from "./shelves.ts";
import { DeliveryError, type NotificationTarget } from "./target.ts";

export interface NotifierParts {
  readonly ports: Pick<DataPorts, "clock" | "metrics" | "crypto" | "prng">;
  readonly log: Pick<Logger, "warn">;
  readonly targets: readonly NotificationTarget[];
  readonly pace: RetryPace;
  readonly scopeOf: (tenant: OpenTenant) => EventScope;
}

interface Watched {
  readonly tenant: OpenTenant;
  readonly marks: NoticeMarks;
  readonly consumers: readonly TargetConsumer[];
  readonly abort: AbortController;
}

const againMs = millis(1000);
const sweepMs = millis(5000);
const deadMax = 10_000;
const queuedMax = 100_000;
const testMs = 5000;

/** Every target's way through every open tenant's log. */
export class Notifier implements AsyncDisposable {
  readonly #parts: NotifierParts;
  readonly #watched = new Map<string, Watched>();
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: NotifierParts) {
    this.#parts = parts;
    this.#track(this.#sweep());
  }

  get targets(): readonly NotificationTarget[] {
    return this.#parts.targets;
  }

  /** A tenant opens; nothing was written under this opening yet. */
  opened(tenant: OpenTenant): void {
    const name = toHex(tenant.id);
    this.#watched.get(name)?.abort.abort();
    const { targets, scopeOf, ...parts } = this.#parts;
    const marks = new NoticeMarks(tenant.store.head().index);
    const scope = scopeOf(tenant);
    const consumers = targets.map(
      (target) =>
        new TargetConsumer({
          ...parts,
          ...{ tenant, target, marks, scope, queuedMax, deadMax },
          isTooFar: isTooFarBehind,
        }),
    );
    const abort = new AbortController();
    const watched = { tenant, marks, consumers, abort };
    this.#watched.set(name, watched);
    for (const consumer of consumers) this.#track(this.#run(watched, consumer));
  }

  /** The entry at `index` holds notices, or will once it is committed; told again then. */
  noticed(id: TenantId, index: LogIndex): void {
    const watched = this.#watched.get(toHex(id));
    if (watched === undefined || watched.consumers.length === 0) return;
    watched.marks.add(index);
    for (const consumer of watched.consumers) consumer.wake();
  }

  /** `undefined` where the tenant is not open, or there is no such target. */
  status(id: TenantId, targetId: string): ConsumerStatus | undefined {
    const watched = this.#watched.get(toHex(id));
    return watched?.consumers.find((each) => each.targetId === targetId)?.status;
  }

  /** What the target would not take, in the order of the log. */
  dead(
    tenant: OpenTenant,
    targetId: string,
    countMax = deadMax,
    after?: NoticePlace,
  ): readonly DeadLetter[] {
    return listDead(tenant, targetId, countMax, after);
  }
  /** Sends all of that once more, before what is new. */
  async retry(tenant: OpenTenant, targetId: string): Promise<number> {
    const count = await retryDead(this.#parts.ports, tenant, targetId);
    for (const consumer of this.#watched.get(toHex(tenant.id))?.consumers ?? []) consumer.wake();
    return count;
  }

  /** ARNs of a bucket's rules that name no target of this node. */
  unknownArns({ rules }: NotificationConfig): readonly string[] {
    return rules.flatMap(({ arn }) => (this.#targetOf(arn) === undefined ? [arn] : []));
  }

  /** Sends AWS's test event to each target that the rules name. Answers the ARNs of those that did not take it. */
  async test(
    { rules }: NotificationConfig,
    { bucket, requestId, hostId }: Readonly<Record<"bucket" | "requestId" | "hostId", string>>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const arns = [...new Set(rules.map(({ arn }) => arn))];
    const message = testMessage(bucket, requestId, hostId, this.#parts.ports.clock.realtime());
    const limit = AbortSignal.any([signal, AbortSignal.timeout(testMs)]);
    const failed = await Promise.all(
      arns.map(async (arn) => {
        try {
          await this.#targetOf(arn)?.send(message, limit);
          return [];
        } catch (reason) {
          signal.throwIfAborted();
          const isTold = reason instanceof DeliveryError || limit.aborted;
          if (!isTold) throw reason;
          return [arn];
        }
      }),
    );
    return failed.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("stopping"));
    for (const { abort } of this.#watched.values()) abort.abort();
    await Promise.all(this.#running);
    await Promise.all(this.targets.map((target) => target[Symbol.asyncDispose]()));
  }

  #targetOf(arn: string): NotificationTarget | undefined {
    const named = notificationTarget(arn);
    return this.targets.find(({ id, type }) => id === named?.id && type === named.type);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** Until its tenant closes: a failure is logged, and it goes on from its mark. */
  async #run({ abort, tenant }: Watched, consumer: TargetConsumer): Promise<void> {
    const { ports, log } = this.#parts;
    const signal = AbortSignal.any([this.#abort.signal, abort.signal]);
    while (!signal.aborted) {
      try {
        await consumer.run(signal);
      } catch (reason) {
        if (signal.aborted) return;
        if (isClosed(reason)) {
          if (this.#watched.get(toHex(tenant.id))?.tenant === tenant) {
            this.#watched.delete(toHex(tenant.id));
          }
          return;
        }
        const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
        log.warn({ work: "notifications", target: consumer.targetId, error }, "tries again");
        await ports.clock.sleep(againMs, signal).catch(() => undefined);
      }
    }
  }

  /** Marks of targets that are configured no more hold no log; what everybody has passed is forgotten. */
  async #sweep(): Promise<void> {
    const { clock } = this.#parts.ports;
    const { signal } = this.#abort;
    const names = new Set(this.targets.map(({ id }) => consumerName(id)));
    while (!signal.aborted) {
      await clock.sleep(sweepMs, signal).catch(() => undefined);
      for (const { tenant, marks, consumers } of this.#watched.values()) {
        if (signal.aborted) return;
        try {
          const { index } = tenant.store.head();
          for (const name of tenant.store.consumers().keys()) {
            if (isConsumerName(name) && !names.has(name)) tenant.store.advanceConsumer(name, index);
          }
          const passed = consumers.map(({ position }) => position);
          marks.forget(logIndex(passed.reduce((low, each) => (each < low ? each : low), index)));
        } catch (reason) {
          if (!isClosed(reason)) throw reason;
        }
      }
    }
  }
}

const isClosed = (reason: unknown): boolean =>
  reason instanceof Error && "code" in reason && reason.code === "closed";
