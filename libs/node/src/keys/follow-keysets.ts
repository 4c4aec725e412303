import { failpoint, type Keyset, type TenantId, toHex } from "@kiseki/base";
import { canDropKeyset } from "@kiseki/keys";
import type { TenantKeys } from "@kiseki/kms";
import type { MemberSet } from "@kiseki/sealed-sqlite";
import type { Logger } from "@kiseki/telemetry";
import type { Tenants } from "../node/tenants.ts";
import type { DataPorts } from "../object/types.ts";
import { resealCustomerSalts } from "./customer-salts.ts";
import { countUses, type CountedUse } from "./keyset-use.ts";
import { resealWhere } from "./reseal.ts";

export interface FollowParts {
  readonly ports: DataPorts;
  readonly tenants: Tenants;
  readonly tenantKeys: Pick<TenantKeys, "dropKeyset">;
  readonly members: Pick<MemberSet, "listFiles">;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** How far a tenant's content has followed its newest keyset. */
export interface KeysetStanding {
  readonly current: Keyset;
  /** Older keysets that live still, with what the last round counted under them. */
  readonly old: ReadonlyMap<Keyset, CountedUse>;
  /** Seals that could not be read in the last round. */
  readonly unreadable: number;
}

interface RoundOutcome {
  /** Some tenant has an older keyset that lives. */
  readonly hasOld: boolean;
  readonly hasMoved: boolean;
}

/** Between two rounds; a round that finds an older keyset walks all that the shard names. */
const pauseMsMin = 1000;
const pauseMsMax = 60_000;
/** Plaintext that is sealed again in a second; a disk of the cheapest kind keeps half of its time. */
export const resealBytesPerSecond = 64 << 20;

/**
 * Brings what open tenants have stored under their newest keysets, and deletes the shares of those that a
 * scan found empty. One round at a time; cut short, the next one goes on where it was.
 */
export class KeysetFollower {
  readonly #parts: FollowParts;
  #running: Promise<RoundOutcome> | undefined;
  #pauseMs = pauseMsMin;
  #dueAt = 0;
  readonly #standings = new Map<string, KeysetStanding>();

  constructor(parts: FollowParts) {
    this.#parts = parts;
  }

  /** As of the last round; `undefined` before the first and while only one keyset lives. */
  standing(tenant: TenantId): KeysetStanding | undefined {
    return this.#standings.get(toHex(tenant));
  }

  /** A round when it is time: less and less often while older keysets live and nothing moves. */
  async runWhenDue(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts.ports;
    if (clock.monotonic() < this.#dueAt) return;
    const { hasOld, hasMoved } = await this.runRound(signal);
    this.#pauseMs = hasMoved || !hasOld ? pauseMsMin : Math.min(2 * this.#pauseMs, pauseMsMax);
    this.#dueAt = clock.monotonic() + this.#pauseMs;
  }

  /** One round over the open tenants, or the one that is under way. */
  runRound(signal: AbortSignal): Promise<RoundOutcome> {
    this.#running ??= this.#run(signal).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #run(signal: AbortSignal): Promise<RoundOutcome> {
    let [left, hasOld, hasMoved] = [0, false, false];
    for (const { id } of [...this.#parts.tenants.all]) {
      const outcome = await this.#follow(id, signal);
      left += outcome.left;
      hasOld ||= outcome.hasOld;
      hasMoved ||= outcome.hasMoved;
    }
    this.#parts.ports.metrics.set("kiseki_seals_old_keyset", left);
    return { hasOld, hasMoved };
  }

  async #follow(id: TenantId, signal: AbortSignal): Promise<RoundOutcome & { left: number }> {
    const { ports, tenants, members } = this.#parts;
    const tenant = await tenants.open(id, "write", signal);
    const { current, keysets } = tenant.keys("write");
    if ([...keysets].every((keyset) => keyset === current)) {
      this.#standings.delete(toHex(id));
      return { hasOld: false, hasMoved: false, left: 0 };
    }
    const { resealed, unreadable } = await resealWhere(ports, tenant, {
      isDue: ({ keyset }) => keyset < current,
      counter: "kiseki_chunks_resealed_total",
      bytesPerSecond: resealBytesPerSecond,
      signal,
    });
    const salts = await resealCustomerSalts(ports, tenant, signal);
    const old = await countUses(ports.clock, members, tenant, signal);
    this.#standings.set(toHex(id), { current, old, unreadable });
    if (unreadable > 0) {
      this.#parts.log.warn({ unreadable }, "content under an old keyset cannot be read");
    }
    const dropped = this.#drop(id, current, old);
    const left = [...old.values()].reduce(
      (sum, use) => sum + use.chunks + use.smallContents + use.customerSalts,
      0,
    );
    return { hasOld: true, hasMoved: resealed > 0 || salts > 0 || dropped > 0, left };
  }

  /** The tenant closes and opens again without the keysets. */
  #drop(id: TenantId, current: Keyset, uses: ReadonlyMap<Keyset, CountedUse>): number {
    let dropped = 0;
    for (const [keyset, use] of uses) {
      if (!canDropKeyset(keyset, current, use)) continue;
      failpoint("keyset-drop");
      this.#parts.tenantKeys.dropKeyset(id, keyset, use);
      dropped += 1;
      this.#parts.log.info(
        { keyset },
        "nothing is left under an old keyset; its shares are deleted",
      );
    }
    return dropped;
  }
}
