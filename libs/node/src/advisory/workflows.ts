import { budgetsUsual, readWorkflowRef, WorkflowBook } from "@kiseki/advisory";
import { type TenantId, toHex } from "@kiseki/base";
import { tenantOfCertificate } from "@kiseki/auth";
import type { Catalog } from "@kiseki/catalog";
import type { Clock, Metrics } from "@kiseki/ports";
import type { Peer } from "@kiseki/rpc";
import { findTenant } from "../native/identity.ts";

/** Whether a workflow runs. What is not answered at once is not waited for: the request belongs to none then. */
export type LookUp = (
  tenant: string | undefined,
  ref: string,
  now: number,
) => boolean | Promise<boolean>;

const certifiedMax = 10_000;

/**
 * What the data path knows of workflows: it looks an id up and counts. Nothing of a request hangs on what it finds, and
 * it never waits: the advisory service changes the book, and answers of the data path are made without it.
 */
export class Workflows {
  readonly book = new WorkflowBook(budgetsUsual);
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #lookUp: LookUp;
  readonly #catalog: Pick<Catalog, "tenants">;
  /** Tenants by the name that certificates have. */
  readonly #certified = new Map<string, TenantId>();

  constructor(
    clock: Clock,
    metrics: Metrics,
    catalog: Pick<Catalog, "tenants">,
    lookUp: LookUp = (...words) => this.book.has(...words),
  ) {
    this.#lookUp = lookUp;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#catalog = catalog;
    metrics.add("kiseki_data_path_blocked_on_advisory_total", 0);
    metrics.set("kiseki_advisory_workflows", 0);
  }

  /**
   * Counts a request that says `text` of its workflow. `tenant`: whose request it is; `any`: of one who speaks for every
   * tenant; `undefined`: of nobody.
   */
  note(
    protocol: "s3" | "rpc",
    text: string,
    isBinary: boolean,
    tenant: TenantId | "any" | undefined,
  ): void {
    const ref = readWorkflowRef(text, isBinary);
    const whose = tenant === "any" ? undefined : toHex(tenant ?? new Uint8Array());
    const found = ref !== undefined && this.#lookUp(whose, ref, this.#clock.monotonic());
    if (typeof found === "object") {
      this.#metrics.add("kiseki_data_path_blocked_on_advisory_total", 1);
      found.catch(() => undefined);
    }
    const result = ref === undefined ? "malformed" : found === true ? "known" : "unknown";
    this.#metrics.add("kiseki_workflow_refs_total", 1, { protocol, result });
  }

  /** As `note`, of a call by `peer`. */
  noteCall(text: string, isBinary: boolean, peer: Peer): void {
    const name = peer.kind === "certificate" ? (tenantOfCertificate(peer) ?? "") : undefined;
    this.note("rpc", text, isBinary, name === undefined ? "any" : this.#tenantNamed(name));
  }
  #tenantNamed(name: string): TenantId | undefined {
    const known = this.#certified.get(name);
    if (known !== undefined) return known;
    if (this.#certified.size >= certifiedMax) this.#certified.clear();
    const found = findTenant(this.#catalog, name);
    if (found !== undefined) this.#certified.set(name, found);
    return found;
  }

  /** After a change of the book. */
  count(): void {
    this.#metrics.set("kiseki_advisory_workflows", this.book.count);
  }
}
