/**
 * A tenant's life in `TenantKeys`. `open`: reads and writes; `reads_only`: the last validation is too
 * old for writes; `closed`: no key is held; `opening`: the KMS was asked; `shredded`: for good.
 */
export type TenantState = "closed" | "opening" | "open" | "reads_only" | "shredded";
/**
 * `write_limit`, `read_limit`: the last validation is min(TTL, 30 s), TTL old. `lost`: the KMS says that
 * the KEK is gone or somebody closed the tenant; `failed`: it did not say anything of use.
 */
export type TenantEvent =
  | "requested"
  | "opened"
  | "validated"
  | "failed"
  | "write_limit"
  | "read_limit"
  | "lost"
  | "shredded";

/** All 5 × 8 cells are decided; `null` says "a bug if it happens". */
export const tenantTransition: Record<TenantState, Record<TenantEvent, TenantState | null>> = {
  closed: {
    requested: "opening",
    opened: null,
    validated: null,
    failed: "closed",
    write_limit: "closed",
    read_limit: "closed",
    lost: "closed",
    shredded: "shredded",
  },
  opening: {
    requested: "opening",
    opened: "open",
    validated: null,
    failed: "closed",
    write_limit: null,
    read_limit: null,
    lost: "closed",
    shredded: "shredded",
  },
  open: {
    requested: "open",
    opened: null,
    validated: "open",
    failed: "open",
    write_limit: "reads_only",
    read_limit: "closed",
    lost: "closed",
    shredded: "shredded",
  },
  reads_only: {
    requested: "reads_only",
    opened: null,
    validated: "open",
    failed: "reads_only",
    write_limit: "reads_only",
    read_limit: "closed",
    lost: "closed",
    shredded: "shredded",
  },
  shredded: {
    requested: "shredded",
    opened: null,
    validated: null,
    failed: "shredded",
    write_limit: "shredded",
    read_limit: "shredded",
    lost: "shredded",
    shredded: "shredded",
  },
};

export type BreakerState = "shut" | "open" | "probing";
export type BreakerEvent = "answered" | "failed_last" | "probe_due";

/** Circuit breaker of one tenant's KMS: `open` refuses calls, `probing` lets one pass. `failed_last`: the fifth failure in a row, or the probe's. */
export const breakerTransition: Record<BreakerState, Record<BreakerEvent, BreakerState>> = {
  shut: { answered: "shut", failed_last: "open", probe_due: "shut" },
  open: { answered: "open", failed_last: "open", probe_due: "probing" },
  probing: { answered: "shut", failed_last: "open", probe_due: "probing" },
};
