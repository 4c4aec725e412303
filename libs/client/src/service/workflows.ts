import { isIP } from "node:net";
import { newBytes, type Prng, toHex } from "@kiseki/base";
import { advisoryCodeOf, type AdvisoryClient, openAdvisoryClient } from "@kiseki/rpc";
import type { Cluster } from "../discovery/cluster.ts";
import type { Identity } from "../discovery/node-link.ts";

/** Nobody waits longer for advice. */
const timeoutMs = 5_000;
const clientIdSize = 16;

/** Why the advisory service did not do it, by its code of the specification. */
export interface WorkflowRefusal {
  readonly kind: "refused";
  readonly code: string;
}
export interface WorkflowWords {
  readonly profile: string;
  readonly phase: bigint;
  readonly tag: string;
  /** 0: an hour. */
  readonly ttlSeconds: number;
}
export interface WorkflowState {
  readonly phase: bigint;
  readonly tag: string;
  readonly secondsLeft: number;
}

/**
 * Workflows of this client. What it declared last goes with its calls of the data path, which neither wait for the
 * advisory service nor care whether there is one.
 */
export class ClientWorkflows {
  readonly #cluster: Cluster;
  readonly #identity: Identity;
  readonly #tenant: string;
  readonly #clientId: Uint8Array<ArrayBuffer>;
  /** Those that run, in hex, the last one last; of the command line first. */
  readonly #refs: string[];

  constructor(
    ports: { readonly cluster: Cluster; readonly prng: Prng; readonly identity: Identity },
    options: { readonly tenant: string; readonly workflow: string | undefined },
  ) {
    this.#cluster = ports.cluster;
    this.#identity = ports.identity;
    this.#tenant = options.tenant;
    this.#clientId = ports.prng.fill(newBytes(clientIdSize));
    this.#refs = options.workflow === undefined ? [] : [options.workflow];
  }

  /** To which workflow calls belong. */
  get current(): string | undefined {
    return this.#refs.at(-1);
  }

  /** The id of a new workflow. */
  declare(words: WorkflowWords): Promise<Uint8Array | WorkflowRefusal> {
    const { profile, phase, tag, ttlSeconds } = words;
    const clientId = this.#clientId;
    const asked = { clientId, profile, initialPhaseId: phase, tag, ttlSeconds };
    return this.#ask(async (client, tenant) => {
      const { workflowRef } = await client.declareWorkflow({ ...asked, tenant }, { timeoutMs });
      this.#refs.push(toHex(workflowRef));
      return workflowRef;
    });
  }
  end(workflowRef: Uint8Array<ArrayBuffer>): Promise<undefined | WorkflowRefusal> {
    const at = this.#refs.indexOf(toHex(workflowRef));
    if (at >= 0) this.#refs.splice(at, 1);
    return this.#ask(async (client, tenant) => {
      await client.endWorkflow({ workflowRef, tenant }, { timeoutMs });
      return undefined;
    });
  }
  advance(
    workflowRef: Uint8Array<ArrayBuffer>,
    nextPhaseId: bigint,
    tag: string,
  ): Promise<undefined | WorkflowRefusal> {
    return this.#ask(async (client, tenant) => {
      await client.phaseAdvance({ workflowRef, nextPhaseId, tag, tenant }, { timeoutMs });
      return undefined;
    });
  }
  status(workflowRef: Uint8Array<ArrayBuffer>): Promise<WorkflowState | WorkflowRefusal> {
    return this.#ask(async (client, tenant) => {
      const found = await client.getWorkflowStatus({ workflowRef, tenant }, { timeoutMs });
      return { phase: found.phaseId, tag: found.tag, secondsLeft: found.ttlSecondsLeft };
    });
  }

  async #ask<T>(
    call: (client: AdvisoryClient, tenant: string) => Promise<T>,
  ): Promise<T | WorkflowRefusal> {
    const endpoint = await this.#cluster.advisoryEndpoint();
    if (!URL.canParse(endpoint)) return { kind: "refused", code: "advisory_unavailable" };
    const { hostname } = new URL(endpoint);
    const serverName = isIP(hostname.replace(/^\[|\]$/g, "")) === 0 ? { serverName: hostname } : {};
    using client = openAdvisoryClient({ ...this.#identity, endpoint, ...serverName });
    try {
      return await call(client, this.#tenant);
    } catch (reason) {
      return { kind: "refused", code: advisoryCodeOf(reason) };
    }
  }
}
