import { type Millis, millis, toHex } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import type { OpenTenant } from "../object/types.ts";

/** Plans made within it share a place among the readers. */
const shareMs = 5000;
/** A client's clock and ours do not run alike. */
const marginMs = 2000;
export const planLeaseMs = 60_000;

interface Place {
  readonly entered: Disposable;
  readonly openUntil: Millis;
  readonly leaves: Millis;
}

/**
 * Keeps what read plans name from being collected, for the plan's lease (STORE §4). A place is entered before the plan
 * is looked up, and left when the last plan that shares it is over, whatever became of its client.
 */
export class PlanLeases implements Disposable {
  readonly #clock: Clock;
  readonly #places: Place[] = [];
  readonly #current = new Map<string, Place>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  /** From here on, for `planLeaseMs`, nothing that the tenant's map names now is deleted. */
  hold(tenant: Pick<OpenTenant, "id" | "readers">): void {
    const now = this.#clock.monotonic();
    const name = toHex(tenant.id);
    const known = this.#current.get(name);
    if (known !== undefined && known.openUntil > now) return;
    const openUntil = millis(now + shareMs);
    const leaves = millis(openUntil + planLeaseMs + marginMs);
    const place = { entered: tenant.readers.enter(), openUntil, leaves };
    this.#current.set(name, place);
    this.#places.push(place);
  }
  /** Places are in the order in which they end. */
  sweep(now: Millis): void {
    while (this.#places.length > 0 && this.#places[0]!.leaves <= now) {
      this.#places.shift()!.entered[Symbol.dispose]();
    }
  }
  [Symbol.dispose](): void {
    for (const { entered } of this.#places) entered[Symbol.dispose]();
    this.#places.length = 0;
    this.#current.clear();
  }
}
