import { failpoint, millis, type Millis } from "@kiseki/base";
import { listUploads, type Operation, type Origin } from "@kiseki/composition";
import type { NamespaceRow } from "@kiseki/format";
import {
  abortionOf,
  type ActiveRules,
  decideVersion,
  type LifecycleDay,
  needsTags,
  transitionOf,
} from "@kiseki/s3";
import { newOperationId } from "../gateway/scope.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import type { Outcome } from "../shard/shard-owner.ts";
import { moveVersion } from "./move-version.ts";
import { noCounts, type Progress, type RoundCounts } from "./progress.ts";
import { readVersions, type SeenVersion, type VersionCursor } from "./read-versions.ts";

/** Versions or uploads of one step; what a step deletes joins a batch or two. */
const pageSize = 200;

export interface RoundParts {
  readonly ports: DataPorts;
  /** The tenant with keys that may write. Asked before each step: they grow old. */
  readonly openTenant: () => Promise<OpenTenant>;
  readonly namespace: NamespaceRow["id"];
  /** As they are now: a change counts from the next step on. Undefined: there are none any more. */
  readonly rules: (tenant: OpenTenant) => ActiveRules | undefined;
  readonly day: LifecycleDay;
  /** Versions and uploads that may be looked at in a second. */
  readonly ratePerSecond: number;
  /** Called after each step, when all up to `progress.after` is done durably. */
  readonly onStep: (tenant: OpenTenant, progress: Progress) => Promise<void>;
}

type Kind = Exclude<keyof RoundCounts, "looked" | "changed" | "held" | "skipped">;
interface Action {
  readonly kind: Kind;
  readonly operation: Operation;
}

/** Runs a bucket's round from where `from` stands to its end. Rejects when aborted, or when the shard takes no writes. */
export async function runRound(
  parts: RoundParts,
  from: Progress,
  signal: AbortSignal,
): Promise<Progress> {
  let progress = from;
  if (progress.phase === "versions") progress = await walkVersions(parts, progress, signal);
  if (progress.finished === undefined) progress = await walkUploads(parts, progress, signal);
  return progress;
}

async function walkVersions(
  parts: RoundParts,
  from: Progress,
  signal: AbortSignal,
): Promise<Progress> {
  let progress = from;
  let cursor: VersionCursor | undefined =
    from.after === undefined ? undefined : { after: { key: from.after }, open: undefined };
  for (;;) {
    const tenant = await parts.openTenant();
    const rules = parts.rules(tenant);
    if (rules === undefined) return finish(parts, tenant, progress);
    const withTags = needsTags(rules);
    const page = readVersions(tenant, {
      namespace: parts.namespace,
      cursor,
      countMax: pageSize,
      withTags,
    });
    const now = parts.ports.clock.realtime();
    const actions = page.versions.flatMap((seen) => {
      const action = decideVersion(rules, seen, parts.day);
      return action === undefined || action.at > now
        ? []
        : [toAction(parts, seen, action.kind, withTags)];
    });
    const done = await perform(parts, tenant, actions, page.versions.length);
    const counts = sum(done, await moveDue(parts, rules, page.versions, signal));
    const isOver = page.next === undefined;
    progress = {
      ...progress,
      phase: isOver ? "uploads" : "versions",
      after: isOver ? undefined : (page.doneUpTo ?? progress.after),
      counts: sum(progress.counts, counts),
    };
    await parts.onStep(tenant, progress);
    if (isOver) return progress;
    cursor = page.next;
    await parts.ports.clock.sleep(pauseOf(parts, page.versions.length), signal);
  }
}

async function walkUploads(
  parts: RoundParts,
  from: Progress,
  signal: AbortSignal,
): Promise<Progress> {
  let progress = from;
  const none = new Uint8Array(0);
  let after: Parameters<typeof listUploads>[2]["after"] =
    from.after === undefined ? undefined : { key: from.after };
  for (;;) {
    const tenant = await parts.openTenant();
    const rules = parts.rules(tenant);
    if (rules === undefined) return finish(parts, tenant, progress);
    const dirKeys = tenant.dirKeys(tenant.keys("read"));
    const { namespace } = parts;
    const query = { namespace, prefix: none, delimiter: none, after, countMax: pageSize };
    const page = tenant.store.view((map) => listUploads(map, dirKeys, query));
    if (page.kind === "refused") return finish(parts, tenant, progress);
    const now = parts.ports.clock.realtime();
    const actions = page.items.flatMap((item): readonly Action[] => {
      if (item.kind !== "upload") return [];
      const { key, upload, row } = item;
      const due = abortionOf(rules, { key, initiated: row.initiated }, parts.day);
      if (due === undefined || due.at > now) return [];
      return [{ kind: "aborted", operation: { kind: "abort_upload", namespace, key, upload } }];
    });
    const counts = await perform(parts, tenant, actions, page.items.length);
    progress = { ...progress, counts: sum(progress.counts, counts) };
    if (page.next === undefined) return finish(parts, tenant, progress);
    after = page.next;
    // A key's uploads are few: a new start looks at those of the last key again.
    await parts.onStep(tenant, progress);
    await parts.ports.clock.sleep(pauseOf(parts, page.items.length), signal);
  }
}

async function finish(
  parts: RoundParts,
  tenant: OpenTenant,
  progress: Progress,
): Promise<Progress> {
  const finished = { ...progress, after: undefined, finished: parts.ports.clock.realtime() };
  await parts.onStep(tenant, finished);
  return finished;
}

const pauseOf = ({ ratePerSecond }: RoundParts, count: number): Millis =>
  millis(Math.ceil((count * 1000) / ratePerSecond));

/**
 * `expire` is a DELETE of the key, `remove` one of the version. Both only while the key's newest version is the
 * one that was seen: what was written since is not expired, and what became current again is not removed. Where rules
 * look at tags, what was tagged or untagged since is left to the next round.
 */
function toAction(
  { namespace }: RoundParts,
  { key, version, newest, modified, tags }: SeenVersion,
  kind: "expire" | "remove",
  withTags: boolean,
): Action {
  const base = {
    ...({ kind: "delete_object", namespace, key, ifNewest: newest } as const),
    ...(withTags ? { ifTags: pairsOf(tags) } : {}),
  };
  if (kind === "expire") {
    return { kind: "expired", operation: { ...base, ifChanged: modified } };
  }
  return { kind: "removed", operation: { ...base, version } };
}

const pairsOf = (tags: SeenVersion["tags"]) => tags.map(({ key, value }) => [key, value] as const);

/** What those are told who subscribed to a bucket with rules. */
const origin: Origin = { principal: "", address: "", requestId: "", via: "lifecycle" };

/** All at once: they join the same batches. What fails for a reason of its own is counted; the rest is thrown. */
async function perform(
  { ports }: RoundParts,
  tenant: OpenTenant,
  actions: readonly Action[],
  looked: number,
): Promise<RoundCounts> {
  const counts: Record<keyof RoundCounts, number> = { ...noCounts, looked };
  ports.metrics.add("kiseki_lifecycle_looked_total", looked);
  const outcomes = await Promise.all(
    actions.map(({ operation }) =>
      tenant.owner.submit(operation, newOperationId(ports.prng), origin),
    ),
  );
  outcomes.forEach((outcome, i) => {
    const kind = kindOf(outcome, actions[i]!.kind);
    counts[kind] += 1;
    ports.metrics.add("kiseki_lifecycle_actions_total", 1, { action: kind });
  });
  if (actions.length > 0) failpoint("lifecycle-acted");
  return counts;
}

/** Moves what is due to another storage class and not to its end, one version after another. */
async function moveDue(
  parts: RoundParts,
  rules: ActiveRules,
  versions: readonly SeenVersion[],
  signal: AbortSignal,
): Promise<RoundCounts> {
  const { ports, day, namespace, openTenant } = parts;
  const counts: Record<keyof RoundCounts, number> = { ...noCounts };
  const withTags = needsTags(rules);
  for (const seen of versions) {
    const now = ports.clock.realtime();
    const storageClass = transitionOf(rules, seen, day, now);
    const end = storageClass && decideVersion(rules, seen, day);
    if (storageClass === undefined || (end !== undefined && end.at <= now)) continue;
    const { key, version, tags } = seen;
    const how = { ports, openTenant, origin, signal };
    const name = { namespace, key, version, ...(withTags ? { ifTags: pairsOf(tags) } : {}) };
    const moved = await moveVersion(how, name, storageClass);
    const kind = moved.kind === "skipped" ? "skipped" : kindOf(moved.outcome, "moved");
    counts[kind] += 1;
    ports.metrics.add("kiseki_lifecycle_actions_total", 1, { action: kind });
  }
  return counts;
}

/** A shard that takes no writes now. */
export class LifecycleRefusedError extends Error {
  override readonly name = "LifecycleRefusedError";
  constructor(code: string) {
    super(`Cannot apply a lifecycle rule: ${code}`);
  }
}

function kindOf(outcome: Outcome, done: Kind): keyof RoundCounts {
  if (outcome.kind === "done") return done;
  switch (outcome.code) {
    case "precondition_failed":
    case "chunk_gone":
    case "no_such_key":
    case "no_such_version":
    case "no_such_upload":
    case "no_such_namespace":
      return "changed";
    case "namespace_read_only":
    case "object_locked": // by retention, a legal hold or a hold of the bucket
      return "held";
    default:
      throw new LifecycleRefusedError(outcome.code);
  }
}

function sum(a: RoundCounts, b: RoundCounts): RoundCounts {
  const total: Record<string, number> = {};
  for (const name of Object.keys(noCounts) as (keyof RoundCounts)[])
    total[name] = a[name] + b[name];
  return total as unknown as RoundCounts;
}
