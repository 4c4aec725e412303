import { type AdvisoryErrorCode, workflowRefSize } from "@kiseki/advisory";
import { newBytes, type Prng, type TenantId, toHex } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import type { Clock } from "@kiseki/ports";
import { type AdvisoryBackend, AdvisoryError, type Peer } from "@kiseki/rpc";
import { NativeRefusal } from "../native/failure.ts";
import { tenantOfPeer } from "../native/identity.ts";
import type { Workflows } from "./workflows.ts";

export interface AdvisoryParts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly catalog: Pick<Catalog, "tenants">;
  readonly defaultTenant: TenantId;
  readonly workflows: Workflows;
  /** What pools of devices are called to those who declare a workflow. */
  readonly poolLabels: readonly string[];
}

const handleSize = 16;

/** @throws {AdvisoryError} where the book refuses. */
function given<T>(answer: T | AdvisoryErrorCode): T {
  if (typeof answer === "string") throw new AdvisoryError(answer);
  return answer;
}

/** The advisory service over the node's book of workflows. Whose certificate calls is looked at anew at each call. */
export function advisoryBackend(parts: AdvisoryParts): AdvisoryBackend {
  const { clock, prng, workflows } = parts;
  const { book } = workflows;
  const random = (size: number): Uint8Array => prng.fill(newBytes(size));
  const now = (): number => clock.monotonic();
  const whose = (peer: Peer, asked: string): string => {
    try {
      return toHex(tenantOfPeer(parts.catalog, parts.defaultTenant, peer, asked));
    } catch (reason) {
      // That there is such a tenant is none of the caller's business.
      if (reason instanceof NativeRefusal) throw new AdvisoryError("scope_not_found");
      throw reason;
    }
  };
  const refOf = (bytes: Uint8Array): string => {
    if (bytes.byteLength !== workflowRefSize) throw new AdvisoryError("scope_not_found");
    return toHex(bytes);
  };
  return {
    declareWorkflow: async (request, { peer }) => {
      const tenant = whose(peer, request.tenant);
      const ref = random(workflowRefSize);
      const ttlSeconds = given(
        book.declare(
          {
            tenant,
            client: toHex(request.clientId),
            profile: request.profile,
            phase: request.initialPhaseId,
            tag: request.tag,
            ttlSeconds: request.ttlSeconds,
          },
          toHex(ref),
          now(),
        ),
      );
      workflows.count();
      const pools = parts.poolLabels.map((label) => ({ handle: random(handleSize), label }));
      return { workflowRef: ref, pools, ttlSeconds };
    },
    endWorkflow: async (request, { peer }) => {
      given(book.end(whose(peer, request.tenant), refOf(request.workflowRef), now()));
      workflows.count();
      return {};
    },
    phaseAdvance: async (request, { peer }) => {
      const next = { phase: request.nextPhaseId, tag: request.tag };
      given(book.advance(whose(peer, request.tenant), refOf(request.workflowRef), next, now()));
      return {};
    },
    getWorkflowStatus: async (request, { peer }) => {
      const ref = refOf(request.workflowRef);
      const { phase, tag, secondsLeft } = given(
        book.status(whose(peer, request.tenant), ref, now()),
      );
      return { phaseId: phase, tag, ttlSecondsLeft: secondsLeft };
    },
  };
}
