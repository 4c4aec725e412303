import { assert, idText, type Millis, millis, type TenantId, toHex } from "@kiseki/base";
import type { TenantKeyring } from "@kiseki/keys";
import type { Clock } from "@kiseki/ports";
import { type TenantEvent, type TenantState, tenantTransition } from "./lifecycle.ts";
import type { KeyNeed, LossReason } from "./tenant-keys.ts";
import type { TtlLimits } from "./ttl.ts";

/** A tenant that is not `closed`, or whose life ended for good. */
export interface TenantEntry {
  readonly tenant: TenantId;
  state: TenantState;
  keyring: TenantKeyring | undefined;
  limits: TtlLimits | undefined;
  /** Monotonic time at which the last successful KMS call was sent. */
  validatedAt: Millis;
  /** The opening or refresh in flight; never rejects unhandled. */
  pending: Promise<void> | undefined;
  /** Ends what runs for this opening. */
  readonly ended: AbortController;
}

/**
 * Which tenants are open, and how long still. Ages are looked at on each call, so a late timer never
 * hands out an old key; the timer only wipes. Knows no KMS.
 */
export class OpenTenants {
  readonly #clock: Clock;
  readonly #entries = new Map<string, TenantEntry>();
  readonly #listeners = new Set<(tenant: TenantId, reason: LossReason) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  get entries(): Iterable<TenantEntry> {
    return this.#entries.values();
  }
  find(tenant: TenantId): TenantEntry | undefined {
    return this.#entries.get(idText(tenant));
  }
  /** A new entry in `opening`. */
  begin(tenant: TenantId): TenantEntry {
    assert(this.find(tenant) === undefined, "a tenant is opened once");
    const entry: TenantEntry = {
      tenant,
      state: "closed",
      keyring: undefined,
      limits: undefined,
      validatedAt: millis(0),
      pending: undefined,
      ended: new AbortController(),
    };
    this.#entries.set(toHex(tenant), entry);
    this.step(entry, "requested");
    return entry;
  }
  /** True while `entry` is the tenant's present one: ask after every wait. */
  isPresent(entry: TenantEntry): boolean {
    return this.find(entry.tenant) === entry;
  }
  step(entry: TenantEntry, event: TenantEvent): void {
    const next = tenantTransition[entry.state][event];
    assert(next !== null, `${event} does not happen in ${entry.state}`);
    entry.state = next;
  }
  /** Takes over `keyring`, valid since `validatedAt`. */
  opened(entry: TenantEntry, keyring: TenantKeyring, limits: TtlLimits, validatedAt: Millis): void {
    assert(this.isPresent(entry), "only the present entry opens");
    this.step(entry, "opened");
    entry.keyring = keyring;
    entry.limits = limits;
    entry.validatedAt = validatedAt;
    void this.#expire(entry);
  }
  /** Takes over `keyring` in the place of the one that is open, which is wiped, and tells the listeners. */
  replace(entry: TenantEntry, keyring: TenantKeyring): void {
    assert(this.isPresent(entry), "only the present entry has keys");
    const old = entry.keyring;
    assert(old !== undefined, "the entry is open");
    entry.keyring = keyring;
    old[Symbol.dispose]();
    for (const listener of this.#listeners) listener(entry.tenant, "keyset");
  }
  validated(entry: TenantEntry, validatedAt: Millis): void {
    this.step(entry, "validated");
    entry.validatedAt = validatedAt;
  }
  /** The keyring if it is young enough for `need`. */
  usable(entry: TenantEntry, need: KeyNeed): TenantKeyring | undefined {
    this.#settle(entry);
    if (entry.state === "open") return entry.keyring;
    return entry.state === "reads_only" && need === "read" ? entry.keyring : undefined;
  }
  /** True when a call should start a validation. */
  isRefreshDue(entry: TenantEntry): boolean {
    return entry.limits !== undefined && this.#age(entry) >= entry.limits.refresh;
  }
  #age(entry: TenantEntry): number {
    return this.#clock.monotonic() - entry.validatedAt;
  }
  #settle(entry: TenantEntry): void {
    if (entry.limits === undefined) return;
    const age = this.#age(entry);
    if (age >= entry.limits.read) this.end(entry, "read_limit", "ttl");
    else if (age >= entry.limits.write) this.step(entry, "write_limit");
  }
  /** Wipes the entry's keys when their time is over, asked for or not. */
  async #expire(entry: TenantEntry): Promise<void> {
    while (entry.limits !== undefined && !entry.ended.signal.aborted) {
      const left = millis(Math.max(1, entry.limits.read - this.#age(entry)));
      try {
        await this.#clock.sleep(left, entry.ended.signal);
      } catch {
        return; // ended
      }
      this.#settle(entry);
    }
  }
  /** Wipes and forgets the entry, then tells the listeners. */
  end(entry: TenantEntry, event: TenantEvent, reason: LossReason): void {
    if (!this.isPresent(entry)) return;
    this.step(entry, event);
    this.#entries.delete(toHex(entry.tenant));
    const { keyring } = entry;
    entry.keyring = undefined;
    entry.limits = undefined;
    entry.ended.abort();
    if (keyring === undefined) return;
    keyring[Symbol.dispose]();
    for (const listener of this.#listeners) listener(entry.tenant, reason);
  }
  onLost(listener: (tenant: TenantId, reason: LossReason) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
