import { type TenantId, toUuid } from "@kiseki/base";
import type { ShredReport } from "@kiseki/kms";
import type { Logger } from "@kiseki/telemetry";
import { type ShredParts, shredTenant, unsweptTenants } from "./shred-tenant.ts";

/** Shreds of a node at work: who asked may go, the shred goes on. Closing cuts it short, and the next start ends it. */
export class Shredding implements AsyncDisposable {
  readonly #parts: ShredParts;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(parts: ShredParts, log: Logger) {
    this.#parts = parts;
    this.#log = log;
  }

  /** See `shredTenant`. */
  async shred(
    tenant: TenantId,
    onDestroyed: (report: ShredReport) => void = () => undefined,
  ): Promise<ShredReport> {
    const id = toUuid(tenant);
    this.#log.warn({ tenant: id }, "a tenant is shredded");
    const destroyed = (report: ShredReport): void => {
      this.#log.warn({ tenant: id, ...report }, "a tenant's key is destroyed");
      onDestroyed(report);
    };
    const shred = shredTenant(this.#parts, tenant, this.#closing.signal, destroyed);
    const running = shred.then(
      () => this.#log.warn({ tenant: id }, "what a shredded tenant stored is freed"),
      (reason: unknown) => {
        const error = reason instanceof Error ? reason.message : "unknown";
        this.#log.error(
          { tenant: id, error },
          "a shred is not finished yet; the next start goes on",
        );
      },
    );
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
    return shred;
  }

  /** Shreds that were cut short are done again: nobody may read those tenants, and what they stored is in the way. */
  async finish(): Promise<void> {
    const begun = [...this.#parts.tenantKeys.unfinishedShreds(), ...unsweptTenants(this.#parts)];
    for (const tenant of begun) await this.shred(tenant).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running);
  }
}
