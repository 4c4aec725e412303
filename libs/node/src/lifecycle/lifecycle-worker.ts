import { millis, type TenantId, toUuid } from "@kiseki/base";
import { listNamespaces, lookupSetting } from "@kiseki/composition";
import type { NamespaceRow } from "@kiseki/format";
import { activeRules, type ActiveRules, type LifecycleDay, lifecycleSetting } from "@kiseki/s3";
import { TenantKeysError } from "@kiseki/kms";
import type { Logger } from "@kiseki/telemetry";
import { newOperationId } from "../gateway/scope.ts";
import type { Tenants } from "../node/tenants.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { LifecycleRefusedError, runRound } from "./bucket-round.ts";
import { decodeProgress, encodeProgress, noCounts, type Progress } from "./progress.ts";

export interface LifecycleParts {
  readonly ports: DataPorts;
  readonly tenants: Pick<Tenants, "open">;
  /** All there are: a tenant whom nobody asks for anything has rules too. */
  readonly tenantIds: () => readonly TenantId[];
  readonly log: Pick<Logger, "info" | "warn">;
  readonly day: LifecycleDay;
  readonly ratePerSecond: number;
}

/** Where a bucket stands. */
export interface LifecycleStanding {
  readonly bucket: string;
  /** Rules that are enabled; undefined: the rules cannot be read, and nothing is done. */
  readonly ruleCount: number | undefined;
  readonly progress: Progress | undefined;
  /** When the next round begins; undefined: one goes on. */
  readonly nextAt: number | undefined;
}

/** A bucket whose rules are read. */
interface Candidate {
  readonly row: NamespaceRow;
  readonly rules: ActiveRules | undefined;
  readonly progress: Progress | undefined;
}

const bucketsPerPage = 200;
/** Requests go on meanwhile. */
const betweenPages = millis(1);
/** Rounds a day. */
const roundsPerDay = 24;
const pauseMsMin = 500;
/** Progress is written once in this time, and at the end. */
const saveMs = 1000;

/**
 * Applies buckets' lifecycle rules: a round per bucket and hour, bucket after bucket, tenant after tenant.
 * Deletes as a client would, through the shard's operations, under conditions on what it saw.
 */
export class LifecycleWorker {
  readonly #parts: LifecycleParts;
  readonly #intervalMs: number;
  #nextAt = 0;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    this.#intervalMs = Math.max(pauseMsMin, Math.floor(parts.day.ms / roundsPerDay));
  }

  /** How long to wait between two looks at what is due. */
  get pause() {
    return millis(Math.min(this.#intervalMs, 30_000));
  }

  async runWhenDue(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts.ports;
    if (clock.monotonic() < this.#nextAt) return;
    const isComplete = await this.run(signal);
    this.#nextAt = clock.monotonic() + (isComplete ? this.#intervalMs : this.pause);
  }

  /** One look at all buckets. False: something was passed over, and the next look is due soon. */
  async run(signal: AbortSignal): Promise<boolean> {
    let isComplete = true;
    for (const id of this.#parts.tenantIds()) {
      try {
        isComplete = (await this.#runTenant(id, signal)) && isComplete;
      } catch (reason) {
        signal.throwIfAborted();
        if (reason instanceof TenantKeysError && reason.code === "shredded") continue;
        isComplete = false;
        const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
        const fields = { work: "lifecycle", tenant: toUuid(id), error };
        this.#parts.log.warn(fields, "a tenant is passed over, tries again");
      }
    }
    return isComplete;
  }

  /** False: a bucket was left where it is. */
  async #runTenant(id: TenantId, signal: AbortSignal): Promise<boolean> {
    const { ports } = this.#parts;
    let isComplete = true;
    for (let after: string | undefined; ;) {
      const tenant = await this.#parts.tenants.open(id, "write", signal);
      const page = readCandidates(tenant, after);
      for (const candidate of page.candidates) {
        signal.throwIfAborted();
        const { rules, progress, row } = candidate;
        if (rules === undefined) {
          this.#parts.log.warn({ bucket: row.name }, "lifecycle rules cannot be read");
          continue;
        }
        if (progress?.finished !== undefined) {
          const elapsed = ports.clock.realtime() - progress.started;
          // A clock that was set back must not put rounds off.
          if (elapsed >= 0 && elapsed < this.#intervalMs) continue;
        }
        isComplete = (await this.#tryBucket(id, candidate, signal)) && isComplete;
      }
      if (page.next === undefined) return isComplete;
      after = page.next;
      await ports.clock.sleep(betweenPages, signal);
    }
  }

  /** What one bucket's shard refuses keeps no other bucket waiting. */
  async #tryBucket(id: TenantId, candidate: Candidate, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#runBucket(id, candidate, signal);
      return true;
    } catch (reason) {
      if (!(reason instanceof LifecycleRefusedError)) throw reason;
      const fields = { work: "lifecycle", bucket: candidate.row.name, error: reason.message };
      this.#parts.log.warn(fields, "a bucket is left where it is, tries again");
      return false;
    }
  }

  async #runBucket(id: TenantId, { row, progress }: Candidate, signal: AbortSignal) {
    const { ports, tenants, day, ratePerSecond, log } = this.#parts;
    const isNew = progress === undefined || progress.finished !== undefined;
    const from: Progress = isNew
      ? {
          started: ports.clock.realtime(),
          finished: undefined,
          phase: "versions",
          after: undefined,
          counts: noCounts,
        }
      : progress;
    let savedAt: number = ports.clock.monotonic();
    const end = await runRound(
      {
        ports,
        namespace: row.id,
        day,
        ratePerSecond,
        openTenant: () => tenants.open(id, "write", signal),
        rules: (tenant) => tenant.store.view((map) => readRules(map, row.id)),
        async onStep(tenant, now) {
          const isDue = now.finished !== undefined || ports.clock.monotonic() - savedAt >= saveMs;
          if (!isDue) return;
          savedAt = ports.clock.monotonic();
          await save(ports, tenant, row.id, now);
        },
      },
      from,
      signal,
    );
    const { looked, expired, removed, aborted, moved } = end.counts;
    if (expired + removed + aborted + moved === 0) return;
    const fields = { bucket: row.name, looked, expired, removed, aborted, moved };
    log.info(fields, "lifecycle round ended");
  }

  /** Buckets with rules, in order of their names. */
  async standings(tenant: OpenTenant, signal: AbortSignal): Promise<readonly LifecycleStanding[]> {
    const standings: LifecycleStanding[] = [];
    for (let after: string | undefined; ;) {
      const page = readCandidates(tenant, after);
      for (const { row, rules, progress } of page.candidates) {
        const isOver = progress === undefined || progress.finished !== undefined;
        standings.push({
          bucket: row.name,
          ruleCount: rules?.length,
          progress,
          nextAt: isOver ? (progress?.started ?? row.created) + this.#intervalMs : undefined,
        });
      }
      if (page.next === undefined) return standings;
      after = page.next;
      await this.#parts.ports.clock.sleep(betweenPages, signal);
    }
  }
}

function readRules(
  map: Parameters<typeof lookupSetting>[0],
  namespace: NamespaceRow["id"],
): ActiveRules | undefined {
  const kept = lookupSetting(map, namespace, lifecycleSetting.stored);
  return kept === undefined ? undefined : activeRules(lifecycleSetting.decode(kept));
}

/** Buckets of one page of names that have rules, or whose rules cannot be read. */
function readCandidates(
  tenant: OpenTenant,
  after: string | undefined,
): { readonly candidates: readonly Candidate[]; readonly next: string | undefined } {
  return tenant.store.view((map) => {
    const page = listNamespaces(map, after, bucketsPerPage);
    const candidates = page.namespaces.flatMap((row): readonly Candidate[] => {
      if (lookupSetting(map, row.id, lifecycleSetting.stored) === undefined) return [];
      const kept = lookupSetting(map, row.id, "lifecycle-progress");
      const progress = kept && decodeProgress(kept);
      try {
        return [{ row, rules: readRules(map, row.id), progress }];
      } catch {
        return [{ row, rules: undefined, progress }];
      }
    });
    return { candidates, next: page.next };
  });
}

async function save(
  { prng }: DataPorts,
  tenant: OpenTenant,
  namespace: NamespaceRow["id"],
  progress: Progress,
): Promise<void> {
  const outcome = await tenant.owner.submit(
    {
      kind: "put_setting",
      namespace,
      setting: "lifecycle-progress",
      value: encodeProgress(progress),
    },
    newOperationId(prng),
  );
  // The bucket went meanwhile: there is nothing to go on with.
  if (outcome.kind === "done" || outcome.code === "no_such_namespace") return;
  throw new LifecycleRefusedError(outcome.code);
}
