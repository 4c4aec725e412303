import { assert } from "@kiseki/base";
import type { AdvisoryErrorCode } from "./error-codes.ts";

export const workflowRefSize = 16;
const tagSizeMax = 256;
const ttlUsual = 3600;
const ttlMax = 86_400;
const profiles: ReadonlySet<string> = new Set([
  "",
  "ai-training",
  "ai-inference",
  "hpc-checkpoint",
  "batch-etl",
  "interactive",
]);

/** How much one may have (spec §9.3). A workload is a client process until there are names for more. */
export interface Budgets {
  readonly workflowsPerClient: number;
  readonly workflowsPerTenant: number;
  readonly phasesPerWorkflow: number;
  readonly declaresPerSecond: number;
  readonly declaresPerSecondOfTenant: number;
  /** Of all tenants; memory is bounded by it. */
  readonly workflowsMax: number;
}
export const budgetsUsual: Budgets = {
  workflowsPerClient: 4,
  workflowsPerTenant: 1024,
  phasesPerWorkflow: 64,
  declaresPerSecond: 10,
  declaresPerSecondOfTenant: 200,
  workflowsMax: 65_536,
};

interface Workflow {
  readonly ref: string;
  readonly tenant: string;
  readonly client: string;
  /** On the clock of `now`. */
  readonly until: number;
  phase: bigint;
  tag: string;
  phaseCount: number;
}
interface Count {
  second: number;
  count: number;
}
/** All that runs of one tenant. */
interface Share {
  readonly workflows: Map<string, Workflow>;
  readonly declares: Count;
  /** Of clients, this second. */
  readonly clients: Map<string, Count>;
}

export interface Declaration {
  /** Whose, in hex. */
  readonly tenant: string;
  readonly client: string;
  readonly profile: string;
  readonly phase: bigint;
  readonly tag: string;
  /** 0: as usual. */
  readonly ttlSeconds: number;
}
export interface WorkflowStatus {
  readonly phase: bigint;
  readonly tag: string;
  readonly secondsLeft: number;
}
const sizeOf = (text: string): number => new TextEncoder().encode(text).byteLength;

function isOver(count: Count, second: number, max: number): boolean {
  if (count.second !== second) {
    count.second = second;
    count.count = 0;
  }
  count.count += 1;
  return count.count > max;
}

/** Which workflows run. `now`: milliseconds that only grow. Errors are values. */
export class WorkflowBook {
  readonly #budgets: Budgets;
  readonly #workflows = new Map<string, Workflow>();
  readonly #shares = new Map<string, Share>();

  constructor(budgets: Budgets) {
    this.#budgets = budgets;
  }

  get count(): number {
    return this.#workflows.size;
  }

  /** `ref`: 16 new random bytes in hex. The seconds for which it runs, or why not. */
  declare(asked: Declaration, ref: string, now: number): number | AdvisoryErrorCode {
    assert(ref.length === workflowRefSize * 2 && !this.#workflows.has(ref), "an id is new");
    const { tenant, client, profile, phase, tag } = asked;
    const ttlSeconds = asked.ttlSeconds === 0 ? ttlUsual : asked.ttlSeconds;
    if (!profiles.has(profile)) return "profile_not_allowed";
    if (sizeOf(tag) > tagSizeMax) return "hint_too_large";
    if (ttlSeconds > ttlMax || client.length !== workflowRefSize * 2)
      return "forbidden_target_field";
    const share = this.#share(tenant);
    if (this.#isTooFast(share, client, now)) return "declare_rate_exceeded";
    this.#forgetEnded(share, now);
    const own = [...share.workflows.values()].filter((each) => each.client === client).length;
    const { workflowsPerClient, workflowsPerTenant, workflowsMax } = this.#budgets;
    if (own >= workflowsPerClient || share.workflows.size >= workflowsPerTenant)
      return "budget_exceeded";
    if (this.#workflows.size >= workflowsMax) return "advisory_unavailable";
    const until = now + ttlSeconds * 1000;
    const workflow = { ref, tenant, client, until, phase, tag, phaseCount: 1 };
    this.#workflows.set(ref, workflow);
    share.workflows.set(ref, workflow);
    return ttlSeconds;
  }

  end(tenant: string, ref: string, now: number): AdvisoryErrorCode | undefined {
    const workflow = this.#own(tenant, ref, now);
    if (workflow === undefined) return "scope_not_found";
    this.#forget(workflow);
    return undefined;
  }

  advance(
    tenant: string,
    ref: string,
    next: { readonly phase: bigint; readonly tag: string },
    now: number,
  ): AdvisoryErrorCode | undefined {
    const workflow = this.#own(tenant, ref, now);
    if (workflow === undefined) return "scope_not_found";
    if (sizeOf(next.tag) > tagSizeMax) return "hint_too_large";
    if (next.phase <= workflow.phase) return "phase_not_monotonic";
    if (workflow.phaseCount >= this.#budgets.phasesPerWorkflow) return "budget_exceeded";
    workflow.phase = next.phase;
    workflow.tag = next.tag;
    workflow.phaseCount += 1;
    return undefined;
  }

  status(tenant: string, ref: string, now: number): WorkflowStatus | AdvisoryErrorCode {
    const workflow = this.#own(tenant, ref, now);
    if (workflow === undefined) return "scope_not_found";
    const { phase, tag, until } = workflow;
    return { phase, tag, secondsLeft: Math.ceil((until - now) / 1000) };
  }

  /** Whether the workflow runs; `tenant` `undefined`: of whomever. Never waits and allocates nothing. */
  has(tenant: string | undefined, ref: string, now: number): boolean {
    const workflow = this.#workflows.get(ref);
    if (workflow === undefined || workflow.until <= now) return false;
    return tenant === undefined || workflow.tenant === tenant;
  }

  #own(tenant: string, ref: string, now: number): Workflow | undefined {
    return this.has(tenant, ref, now) ? this.#workflows.get(ref) : undefined;
  }
  #share(tenant: string): Share {
    const known = this.#shares.get(tenant);
    if (known !== undefined) return known;
    const made = { workflows: new Map(), declares: { second: -1, count: 0 }, clients: new Map() };
    this.#shares.set(tenant, made);
    return made;
  }
  #isTooFast(share: Share, client: string, now: number): boolean {
    const second = Math.floor(now / 1000);
    const { declaresPerSecond, declaresPerSecondOfTenant } = this.#budgets;
    if (share.declares.second !== second) share.clients.clear();
    if (isOver(share.declares, second, declaresPerSecondOfTenant)) return true;
    let count = share.clients.get(client);
    if (count === undefined) share.clients.set(client, (count = { second, count: 0 }));
    return isOver(count, second, declaresPerSecond);
  }
  #forgetEnded(share: Share, now: number): void {
    for (const workflow of share.workflows.values())
      if (workflow.until <= now) this.#forget(workflow);
  }
  #forget({ ref, tenant }: Workflow): void {
    this.#workflows.delete(ref);
    this.#shares.get(tenant)?.workflows.delete(ref);
  }
}
