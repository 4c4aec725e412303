import { AssertionError, failpoint, millis } from "@kiseki/base";
import { ChunkStoreError } from "@kiseki/chunk-store";
import {
  type FoundObject,
  isMovable,
  isUnderCustomerKey,
  lookupObject,
  type Operation,
  type Origin,
  readContent,
  readParts,
} from "@kiseki/composition";
import type { NamespaceRow, StorageClass, VersionNumber } from "@kiseki/format";
import { newOperationId } from "../gateway/scope.ts";
import { resealBytesPerSecond } from "../keys/follow-keysets.ts";
import { ContentReader, DamagedContentError } from "../object/read-content.ts";
import { takeTurn } from "../object/rewrite-turn.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { writeContent } from "../object/write-content.ts";
import type { Outcome } from "../shard/shard-owner.ts";

/** A part, or an object that is none of parts, is read and written again at once: S3 has none larger. */
const unitSizeMax = 5 * 1024 ** 3;
const partsMax = 10_000;
/** More than a unit has, cut as our writers cut it. */
const piecesMax = 4096;

export interface MoveParts {
  readonly ports: DataPorts;
  /** The tenant with keys that may write. */
  readonly openTenant: () => Promise<OpenTenant>;
  readonly origin: Origin;
  readonly signal: AbortSignal;
}
interface Name {
  readonly namespace: NamespaceRow["id"];
  readonly key: Uint8Array;
  readonly version: VersionNumber;
  /** What its tags must be still; absent: whatever they are. */
  readonly ifTags?: readonly (readonly [string, string])[];
}
/** A range of the object that is moved by one operation: all of it, or its part number `part`, counted from 0. */
interface Unit {
  readonly start: number;
  readonly end: number;
  readonly part?: number;
}
/** `skipped`: it cannot be moved, or not now. */
export type Moved =
  { readonly kind: "skipped" } | { readonly kind: "told"; readonly outcome: Outcome };
const skipped: Moved = { kind: "skipped" };

/**
 * Moves a version to another storage class: reads, seals into the class's pool, and swaps under a condition on what
 * was read; then the class. What is stored is durable before it is named, and what was named before is released by the
 * same operation: cut short anywhere, the version is whole, and the next round goes on with the parts that are left.
 */
export async function moveVersion(
  parts: MoveParts,
  name: Name,
  storageClass: StorageClass,
): Promise<Moved> {
  const { ports } = parts;
  const pool = ports.poolOf(storageClass);
  if (pool === undefined || ports.chunkStore.profileOf(pool) === undefined) return skipped;
  try {
    return await moveUnits(parts, name, { storageClass, pool });
  } catch (reason) {
    // Full, short of devices, or damaged: the version stays where it is, and others are not held up.
    if (reason instanceof ChunkStoreError || reason instanceof DamagedContentError) return skipped;
    throw reason;
  }
}

interface To {
  readonly storageClass: StorageClass;
  readonly pool: number;
}

async function moveUnits(parts: MoveParts, name: Name, to: To): Promise<Moved> {
  for (let next = 0; ; next++) {
    parts.signal.throwIfAborted();
    const tenant = await parts.openTenant();
    // Before it is looked up: then what it is made of is not collected under the read.
    using place = new DisposableStack();
    place.use(tenant.readers.enter());
    const found = find(tenant, name);
    if (found === undefined)
      return { kind: "told", outcome: { kind: "refused", code: "no_such_version" } };
    if (!isMovable(found.entry) || isUnderCustomerKey(found.cold.attributes)) return skipped;
    const units = unitsOf(tenant, found);
    const at = units.findIndex((unit, i) => i >= next && !isThere(tenant, found, unit, to.pool));
    const unit = at === -1 ? undefined : units[at];
    const isLast = unit?.part === undefined;
    if (unit !== undefined && unit.end - unit.start > unitSizeMax) return skipped;
    const base: MoveOperation = {
      kind: "move_content",
      ...name,
      before: found.cold.content,
      ...(isLast ? { storageClass: to.storageClass } : {}),
    };
    const outcome =
      unit === undefined
        ? await tenant.owner.submit(base, newOperationId(parts.ports.prng), parts.origin)
        : await moveUnit(parts, tenant, { found, unit, base, place: place.move() }, to);
    if (isLast || outcome.kind === "refused") return { kind: "told", outcome };
    next = at;
  }
}
type MoveOperation = Extract<Operation, { kind: "move_content" }>;

function find(tenant: OpenTenant, { namespace, key, version }: Name): FoundObject | undefined {
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const found = tenant.store.view((map) => lookupObject(map, dirKeys, { namespace, key, version }));
  return found.kind === "object" ? found : undefined;
}

function unitsOf(tenant: OpenTenant, { entry, cold }: FoundObject): readonly Unit[] {
  if (entry.size === 0) return [];
  const parts = tenant.store.view((map) => readParts(map, cold.content, 0, partsMax));
  if (parts === undefined) return [{ start: 0, end: entry.size }];
  return parts.map(({ offset, length }, part) => ({ start: offset, end: offset + length, part }));
}

/** Whether an earlier round has moved it, or another class means the same pool. */
function isThere(tenant: OpenTenant, found: FoundObject, unit: Unit, pool: number): boolean {
  const { pieces, next } = tenant.store.view((map) =>
    readContent(map, found.cold.content, unit, piecesMax),
  );
  const isElsewhere = pieces.some((piece) => piece.kind === "chunk" && piece.address.pool !== pool);
  return next === undefined && !isElsewhere;
}

async function moveUnit(
  { ports, origin, signal }: MoveParts,
  tenant: OpenTenant,
  work: {
    readonly found: FoundObject;
    readonly unit: Unit;
    readonly base: MoveOperation;
    readonly place: DisposableStack;
  },
  { pool }: To,
): Promise<Outcome> {
  const { found, unit, base } = work;
  const { start, end, part } = unit;
  const { clock, budget, prng } = ports;
  const begun = clock.monotonic();
  const operationId = newOperationId(prng);
  using place = work.place;
  using _turn = await takeTurn(budget, end - start, signal);
  using content = new ContentReader(ports, tenant, {
    found,
    start,
    end,
    place: place.move(),
    signal,
  });
  using written = await writeContent(ports, tenant, content, {
    operationId,
    size: end - start,
    algorithms: new Set(),
    signal,
    pool,
  });
  failpoint("move-stored");
  const operation = { ...base, content: written.content, ...(part === undefined ? {} : { part }) };
  let outcome: Outcome;
  try {
    outcome = await tenant.owner.submit(operation, operationId, origin);
  } catch (reason) {
    // After a bug nobody knows whether a commit names what was stored.
    if (!(reason instanceof AssertionError)) written.discard();
    throw reason;
  }
  if (outcome.kind === "refused") written.discard();
  failpoint("move-committed");
  const rest = ((end - start) / resealBytesPerSecond) * 1000 - (clock.monotonic() - begun);
  if (rest >= 1) await clock.sleep(millis(Math.ceil(rest)), signal);
  return outcome;
}
