import { millis, type TenantId, toHex, toUuid } from "@kiseki/base";
import { TenantKeysError } from "@kiseki/kms";
import type { Logger } from "@kiseki/telemetry";
import type { DataPorts } from "../object/types.ts";
import type { KeysetFollower } from "../keys/follow-keysets.ts";
import type { LifecycleWorker } from "../lifecycle/lifecycle-worker.ts";
import { collectGarbage, matchOrphans } from "./collector.ts";
import { noteRepairs, repairChunks } from "./repairs.ts";
import type { SealedScrub } from "./sealed-scrub.ts";
import type { SpaceWatch } from "./space.ts";
import type { Tenants } from "./tenants.ts";
import type { HealthWatch } from "./watch-health.ts";
import { Merging } from "./merging.ts";
import { Widening } from "./widening.ts";

export interface HousekeepingParts {
  readonly ports: DataPorts;
  readonly tenants: Tenants;
  readonly space: SpaceWatch;
  readonly keysets: KeysetFollower;
  readonly health: HealthWatch;
  readonly lifecycle: LifecycleWorker;
  /** Tenants whose events somebody waits for: all there are, none where there are no targets. */
  readonly notifiedTenants: () => readonly TenantId[];
  readonly scrub: SealedScrub;
  readonly log: Logger;
  readonly collectSeconds: number;
  readonly scrubHours: number;
}

const spaceMs = millis(1000);
const resyncMs = millis(1000);
const repairMs = millis(2000);
const evacuationMs = millis(2000);
const compactMs = millis(10_000);
const checkpointMs = millis(60_000);
const orphanMs = millis(15_000);
const keysetMs = millis(1000);
const notifiedMs = millis(1000);
/** When a tenant that could not be opened is tried again. */
const notifiedAgainMs = 30_000;
const wideningMs = millis(1000);
const mergingMs = millis(1000);
const scrubPauseMs = millis(60_000);
const sealedScrubMs = millis(3600_000);

/** What a node does by itself: collection, repair, compaction, scrub, checkpoints. One loop each, until disposed. */
export class Housekeeping implements AsyncDisposable {
  readonly #parts: HousekeepingParts;
  readonly #abort = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #resynced = new Set<string>();
  /** Chunks may lack fragments that no queue names: it is gone with each process, and holds only so many. */
  #isThinUnknown = true;
  /** When tenants are opened for those who wait for their events. */
  #notifiedAt = 0;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    const { chunkStore } = parts.ports;
    this.#repeat("space", spaceMs, () => this.#watch());
    this.#repeat("collection", millis(parts.collectSeconds * 1000), () => this.#collect());
    this.#repeat("repair", repairMs, () => this.#repair());
    this.#repeat("resync", resyncMs, () => this.#resync());
    this.#repeat("compaction", compactMs, async () => {
      await chunkStore.compact({ signal: this.#abort.signal });
    });
    this.#repeat("evacuation", evacuationMs, () => this.#evacuate());
    this.#repeat("checkpoint", checkpointMs, async () => chunkStore.checkpoint());
    this.#repeat("orphans", orphanMs, async () => {
      if (chunkStore.status().candidates === 0) return;
      await matchOrphans(parts.ports, parts.tenants.all, { signal: this.#abort.signal });
    });
    this.#repeat("keysets", keysetMs, () => parts.keysets.runWhenDue(this.#abort.signal));
    const { lifecycle } = parts;
    this.#repeat("lifecycle", lifecycle.pause, () => lifecycle.runWhenDue(this.#abort.signal));
    this.#repeat("notifications", notifiedMs, () => this.#openNotified());
    const widening = new Widening(parts);
    this.#repeat("widening", wideningMs, () => widening.runWhenDue(this.#abort.signal));
    const merging = new Merging(parts);
    this.#repeat("merging", mergingMs, async () => {
      await merging.runRound(this.#abort.signal);
    });
    this.#repeat("scrub", scrubPauseMs, () => this.#scrub());
    const { scrub, log, ports } = parts;
    this.#repeat("scrub of sealed files", sealedScrubMs, async () => {
      await scrub.run(ports.clock, log, this.#abort.signal);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("stopping"));
    await Promise.all(this.#loops);
  }

  /** Runs `work` after each `pause`; a failure is logged and the loop goes on. */
  #repeat(name: string, pause: ReturnType<typeof millis>, work: () => Promise<void>): void {
    const { ports, log } = this.#parts;
    const { signal } = this.#abort;
    const loop = async (): Promise<void> => {
      while (!signal.aborted) {
        try {
          await ports.clock.sleep(pause, signal);
          await work();
        } catch (reason) {
          if (signal.aborted) return;
          log.warn({ work: name, error: describe(reason) }, "housekeeping failed, tries again");
        }
      }
    };
    this.#loops.push(loop());
  }

  /** One round over every record, spread over the interval; then what nobody names any more goes. */
  async #scrub(): Promise<void> {
    const { chunkStore } = this.#parts.ports;
    const living = chunkStore.status().devices.reduce((sum, device) => sum + device.living, 0);
    const seconds = this.#parts.scrubHours * 3600;
    const { signal } = this.#abort;
    await chunkStore.scrub({ bytesPerSecond: Math.max(1, Math.ceil(living / seconds)), signal });
    const { ports, tenants } = this.#parts;
    await matchOrphans(ports, tenants.all, { all: true, signal });
    for (const tenant of [...tenants.all]) await noteRepairs(ports, tenant, signal);
    this.#isThinUnknown = true;
  }

  /** No tenant waits for another's readers. */
  async #collect(): Promise<void> {
    const collections = [...this.#parts.tenants.all].map(async ({ id }) => {
      try {
        await this.#collectOf(id);
      } catch (reason) {
        if (this.#abort.signal.aborted) return;
        // A tenant whose keys do not answer keeps its own garbage; the others' goes.
        const fields = { work: "collection", tenant: toUuid(id), error: describe(reason) };
        this.#parts.log.warn(fields, "a tenant is passed over, tries again");
      }
    });
    await Promise.all(collections);
  }

  /** What a tenant's targets have not got waits in its log: it is opened though nobody asks it for anything. */
  async #openNotified(): Promise<void> {
    const { tenants, notifiedTenants, ports, log } = this.#parts;
    if (ports.clock.monotonic() < this.#notifiedAt) return;
    for (const id of notifiedTenants()) {
      if (tenants.openNow(id, "read") !== undefined) continue;
      try {
        await tenants.open(id, "write", this.#abort.signal);
      } catch (reason) {
        this.#abort.signal.throwIfAborted();
        if (reason instanceof TenantKeysError && reason.code === "shredded") continue;
        this.#notifiedAt = ports.clock.monotonic() + notifiedAgainMs;
        const fields = { work: "notifications", tenant: toUuid(id), error: describe(reason) };
        log.warn(fields, "a tenant is passed over, tries again");
      }
    }
  }

  async #collectOf(id: TenantId): Promise<void> {
    const { ports, tenants } = this.#parts;
    const tenant = await tenants.open(id, "write", this.#abort.signal);
    let deleted = 1;
    while (deleted > 0 && !this.#abort.signal.aborted) {
      deleted = await collectGarbage(ports, tenant);
    }
  }

  async #repair(): Promise<void> {
    const { ports, tenants } = this.#parts;
    const isUnknown = this.#isThinUnknown;
    const refs = isUnknown ? undefined : ports.chunkStore.repairQueue();
    if (refs?.length === 0) return;
    const { signal } = this.#abort;
    this.#isThinUnknown = false; // before: a scrub may ask again meanwhile
    let outcome;
    try {
      outcome = await repairChunks(ports, () => tenants.all, { refs, signal });
    } catch (reason) {
      this.#isThinUnknown ||= isUnknown;
      throw reason;
    }
    if (outcome.repaired === 0 && outcome.lost.length === 0) return;
    this.#parts.log.info(
      { repaired: outcome.repaired, lost: outcome.lost.length, waiting: outcome.waiting.length },
      "repaired",
    );
  }

  /** Devices that leave are emptied, whoever asked for it is there or not. */
  async #evacuate(): Promise<void> {
    const { ports, log } = this.#parts;
    const { signal } = this.#abort;
    for (const { id, isLeaving, path, living, state } of ports.chunkStore.status().devices) {
      if (!isLeaving || living === 0 || state === "failed" || state === "missing") continue;
      const { moved, left, waiting } = await ports.chunkStore.moveLeaving(id, undefined, signal);
      if (moved > 0) log.info({ device: path, moved, left, waiting }, "a device is evacuated");
    }
  }

  /** Devices that were away and were there again at the start are read and compared, once each. */
  async #resync(): Promise<void> {
    const { ports, log } = this.#parts;
    for (const { id, state, path } of ports.chunkStore.status().devices) {
      if (state !== "missing" || path === undefined || this.#resynced.has(toHex(id))) continue;
      this.#resynced.add(toHex(id));
      await ports.chunkStore.resyncDevice({ path });
      this.#isThinUnknown = true;
      const now = ports.chunkStore.status().devices.find((device) => device.path === path);
      log.info({ device: path, state: now?.state }, "a device that was away is compared");
    }
  }

  async #watch(): Promise<void> {
    await this.#parts.space.refresh();
    this.#parts.health.look();
  }
}

const describe = (reason: unknown): string =>
  reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
