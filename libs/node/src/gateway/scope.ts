import type { PayloadMode } from "@kiseki/auth";
import { assert, operationId, type OperationId, type Prng, toHex } from "@kiseki/base";
import type { AliasedBucket, AliasQueue } from "@kiseki/catalog";
import type { Answer, Operation, Origin } from "@kiseki/composition";
import { lookupNamespace } from "@kiseki/composition";
import type { NamespaceRow, NamespaceSetting } from "@kiseki/format";
import type { ObjectOwnership, Owner } from "@kiseki/s3";
import type { Access } from "./access/access.ts";
import type { FrontRequest } from "../front/types.ts";
import type { Notifier } from "../notify/notifier.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import type { RequestContent } from "./content.ts";
import { conditionDetails, fail, refusalFailure } from "./failure.ts";

/** Everything one S3 call works with; made by the handler once signature and policy have said yes. */
export interface CallScope {
  readonly ports: DataPorts;
  readonly tenant: OpenTenant;
  readonly request: FrontRequest;
  readonly payload: PayloadMode;
  /** Reading it asks the client to go on (`100 Continue`). */
  readonly content: RequestContent;
  /** Who owns what this tenant stores, as S3 shows it. */
  readonly owner: Owner;
  /** What answers say: the configured region, or S3's first. */
  readonly region: string;
  /** The only region that a bucket may be made in; `undefined`: any. */
  readonly regionOnly: string | undefined;
  readonly aliases: AliasQueue;
  readonly buckets: BucketCache;
  /** Where a copy reads from, when that is another tenant's. */
  readonly source?: CallScope;
  /** What the caller may do; there is none without having been asked. */
  readonly access: Access;
  readonly notifier: Pick<Notifier, "test" | "unknownArns">;
  /** Who asks, as those are told who subscribed to what changes. */
  readonly origin: Origin;
  /** Name of the tenant with that canonical id. */
  readonly nameOfAccount: (canonicalId: string) => string | undefined;
  readonly defaultOwnership: ObjectOwnership;
}

export function newOperationId(prng: Prng): OperationId {
  return operationId(prng.fill(new Uint8Array(16)));
}

type Done<Kind extends Answer["kind"]> = Extract<Answer, { kind: Kind }>;

/** Submits and waits for the commit. @throws {GatewayFailure} for every refusal. */
export async function submit<Kind extends Answer["kind"]>(
  scope: CallScope,
  operation: Operation,
  kind: Kind,
  id: OperationId = newOperationId(scope.ports.prng),
): Promise<Done<Kind>> {
  const { clock, metrics } = scope.ports;
  const started = clock.monotonic();
  const outcome = await scope.tenant.owner.submit(operation, id, scope.origin);
  if (operation.kind === "put_object") {
    const seconds = (clock.monotonic() - started) / 1000;
    metrics.observe("kiseki_gateway_put_phase_duration_seconds", seconds, record);
  }
  if (outcome.kind === "refused") throw refusedFailure(operation, outcome.code);
  assert(outcome.answer.kind === kind, `an operation of kind ${operation.kind} answers ${kind}`);
  return outcome.answer as Done<Kind>;
}

const record = { phase: "composition_record" };

function refusedFailure(operation: Operation, code: Parameters<typeof refusalFailure>[0]) {
  if (code === "precondition_failed" && "conditions" in operation) {
    return refusalFailure(code, conditionDetails(operation.conditions));
  }
  if (code === "no_such_upload" && "upload" in operation) {
    return refusalFailure(code, [["UploadId", toHex(operation.upload)]]);
  }
  return refusalFailure(code);
}

interface CachedBucket {
  readonly row: NamespaceRow;
  /** Decoded, `undefined` where nothing is set; only those that were asked for. */
  readonly settings: Map<NamespaceSetting, unknown>;
}
/** Rows of namespaces and their settings by name: every request asks, and they seldom change. Who makes or changes one, forgets it. */
export class BucketCache {
  readonly #buckets = new Map<string, CachedBucket>();
  /** Names that no bucket has: to ask for one again is no more work than to ask for a bucket that is there. */
  readonly #missing = new Set<string>();
  readonly #countMax = 10_000;

  find(tenant: OpenTenant, name: string): NamespaceRow | undefined {
    const known = this.#buckets.get(name);
    if (known) return known.row;
    if (this.#missing.has(name)) return undefined;
    const row = tenant.store.view((map) => lookupNamespace(map, name));
    if (row === undefined) {
      if (this.#missing.size >= this.#countMax) this.#missing.clear();
      this.#missing.add(name);
      return undefined;
    }
    if (this.#buckets.size >= this.#countMax) this.#buckets.clear();
    this.#buckets.set(name, { row, settings: new Map() });
    return row;
  }
  /** `load` runs at once, when nobody has asked since the bucket was forgotten. */
  findSetting(name: string, setting: NamespaceSetting, load: () => unknown): unknown {
    const settings = this.#buckets.get(name)?.settings;
    if (settings?.has(setting) === true) return settings.get(setting);
    const value = load();
    settings?.set(setting, value);
    return value;
  }
  forget(name: string): void {
    this.#buckets.delete(name);
    this.#missing.delete(name);
  }
}

/** Virtual-host names are one space for all tenants; the first to claim one has it. */
export function aliasedBucket({ tenant, buckets }: CallScope, name: string): AliasedBucket {
  return { tenant: tenant.id, name, exists: () => buckets.find(tenant, name) !== undefined };
}

/** @throws {GatewayFailure} `NoSuchBucket`, naming it: a copy speaks of two. */
export function findBucket(
  scope: Pick<CallScope, "tenant" | "buckets">,
  name: string,
): NamespaceRow {
  const row = scope.buckets.find(scope.tenant, name);
  if (row === undefined) throw fail("NoSuchBucket", undefined, [["BucketName", name]]);
  return row;
}
