import type { Logger } from "@kiseki/telemetry";
import { resealBytesPerSecond } from "../keys/follow-keysets.ts";
import { resealWhere } from "../keys/reseal.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";

/** Between two rounds while some is left that no round could widen. */
const pauseMsMin = 1000;
const pauseMsMax = 60_000;

export interface WideningParts {
  readonly ports: DataPorts;
  readonly tenants: { readonly all: Iterable<OpenTenant> };
  readonly log: Pick<Logger, "info">;
}

/**
 * What was written while devices were out has the profile of those that were left (STORE §4). Once the pool
 * takes whole chunks of its own profile again, such content is sealed anew under it: same chunk id, new seal,
 * and the old one goes to `drop` in the same change. What is done is done: cut short, the next round goes on.
 */
export class Widening {
  readonly #parts: WideningParts;
  #pauseMs = pauseMsMin;
  #dueAt = 0;

  constructor(parts: WideningParts) {
    this.#parts = parts;
  }

  /** A round when it is time: less and less often while narrow content stays. The first walk of repair counts it. */
  async runWhenDue(signal: AbortSignal): Promise<void> {
    const { clock, chunkStore, metrics } = this.#parts.ports;
    if (clock.monotonic() < this.#dueAt) return;
    let isStuck = false;
    try {
      if (this.#isDue()) {
        isStuck = true; // until it is seen to move
        isStuck = (await this.runRound(signal)) === 0;
      }
    } finally {
      metrics.set("kiseki_chunks_narrow", chunkStore.status().narrow);
      this.#pauseMs = isStuck ? Math.min(2 * this.#pauseMs, pauseMsMax) : pauseMsMin;
      this.#dueAt = clock.monotonic() + this.#pauseMs;
    }
  }

  /** Some pool has narrow content and takes whole chunks now. */
  #isDue(): boolean {
    const { chunkStore } = this.#parts.ports;
    return chunkStore
      .pools()
      .some(({ number, status }) => (status?.narrow ?? 0) > 0 && chunkStore.takesWhole(number));
  }

  /** One round over the open tenants; the seals replaced. */
  async runRound(signal: AbortSignal): Promise<number> {
    const { ports, tenants, log } = this.#parts;
    const taking = new Set(
      ports.chunkStore.pools().flatMap(({ number }) => {
        return ports.chunkStore.takesWhole(number) ? [number] : [];
      }),
    );
    let widened = 0;
    for (const tenant of [...tenants.all]) {
      const { resealed } = await resealWhere(ports, tenant, {
        isDue: ({ chunkId, sealId, pool }) =>
          taking.has(pool) && ports.chunkStore.isNarrow(chunkId, sealId),
        counter: "kiseki_chunks_widened_total",
        bytesPerSecond: resealBytesPerSecond,
        signal,
      });
      widened += resealed;
    }
    await ports.chunkStore.countNarrow(signal);
    if (widened > 0) log.info({ widened }, "sealed again what was written while devices were out");
    return widened;
  }
}
