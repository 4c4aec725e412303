import { toUuid } from "@kiseki/base";
import type { DeviceStatus, PoolStatus } from "@kiseki/chunk-store";
import type { Metrics } from "@kiseki/ports";
import type { MemberSet } from "@kiseki/sealed-sqlite";
import type { Logger } from "@kiseki/telemetry";

const deviceStates: readonly DeviceStatus["state"][] = [
  ...(["healthy", "degraded", "failed", "missing", "resyncing"] as const),
];

export interface WatchedParts {
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly pools: () => readonly PoolStatus[];
  readonly members: () => ReturnType<MemberSet["status"]>;
}

/**
 * Compares devices, mirrors and space with what the last look saw: gauges show the state, and each change is a
 * line of the log, a warning unless it is for the better.
 */
export class HealthWatch {
  readonly #parts: WatchedParts;
  /** Last state by name; what was never seen counts as good, so a start with a fault says so. */
  readonly #seen = new Map<string, string>();
  #pagesHealed = 0;

  constructor(parts: WatchedParts) {
    this.#parts = parts;
  }

  look(): void {
    for (const pool of this.#parts.pools()) this.#lookAtPool(pool);
    this.#lookAtMembers();
  }

  #lookAtPool({ name: pool, status }: PoolStatus): void {
    const { metrics } = this.#parts;
    const { devices, capacity, profile } = status ?? { devices: [], capacity: "healthy" };
    const sum = (field: "size" | "used"): number =>
      devices.reduce((total, device) => total + device[field], 0);
    metrics.set("kiseki_pool_capacity_total_bytes", sum("size"), { pool });
    metrics.set("kiseki_pool_capacity_used_bytes", sum("used"), { pool });
    for (const device of devices) this.#lookAtDevice(device);
    this.#compare(`capacity ${pool}`, capacity, "healthy", { what: "space of the devices", pool });
    const writes = profile === undefined ? "refused" : "taken";
    this.#compare(`writes ${pool}`, writes, "taken", { what: "writes", pool });
  }

  #lookAtDevice({ id, path, state, reason }: DeviceStatus): void {
    const device = toUuid(id);
    for (const one of deviceStates)
      this.#parts.metrics.set("kiseki_device_state", one === state ? 1 : 0, { device, state: one });
    this.#compare(`device ${device}`, state, "healthy", {
      ...{ what: "device", device, path: path ?? "", reason: reason ?? "" },
    });
  }

  #lookAtMembers(): void {
    const { metrics } = this.#parts;
    const { members, healedPages } = this.#parts.members();
    // A directory that was copied at this start is as good as one that never was away.
    const states = members.map(({ directory, state }) => ({
      directory,
      state: state === "copied" ? "good" : state,
    }));
    metrics.set("kiseki_mirror_members", states.filter(({ state }) => state === "good").length);
    metrics.add("kiseki_mirror_pages_healed_total", healedPages - this.#pagesHealed);
    this.#pagesHealed = healedPages;
    for (const { directory, state } of states)
      this.#compare(`mirror ${directory}`, state, "good", { what: "mirror", directory });
  }

  #compare(name: string, state: string, good: string, fields: Record<string, unknown>): void {
    const before = this.#seen.get(name) ?? good;
    this.#seen.set(name, state);
    if (before === state) return;
    const { log } = this.#parts;
    if (state === good) log.info({ ...fields, before, state }, "a state became good again");
    else log.warn({ ...fields, before, state }, "a state changed: kiseki status says what to do");
  }
}
