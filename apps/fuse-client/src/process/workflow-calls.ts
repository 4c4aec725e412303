import { newBytes, toHex } from "@kiseki/base";
import type { ClientWorkflows, WorkflowRefusal } from "@kiseki/client";
import { systemPrng } from "@kiseki/host";
import type { Log } from "../open-namespace.ts";
import { type Call, CallError } from "./connection.ts";
import { type FieldReader, FieldWriter } from "./frame.ts";

const refSize = 16;
const localMax = 1000;
const unavailable = "advisory_unavailable";
/** Errno of Linux by the codes of spec §9.2. */
const errnoOf: Readonly<Record<string, number>> = {
  [unavailable]: 111, // ECONNREFUSED
  budget_exceeded: 122, // EDQUOT
  declare_rate_exceeded: 11, // EAGAIN
  profile_not_allowed: 1, // EPERM
  scope_not_found: 2, // ENOENT
};
const einval = 22;

function refusedIn(answer: unknown): answer is WorkflowRefusal {
  return typeof answer === "object" && answer !== null && "kind" in answer;
}
function given<T>(answer: T | WorkflowRefusal): T {
  if (refusedIn(answer)) throw new CallError(errnoOf[answer.code] ?? einval, answer.code);
  return answer;
}
const copyRef = (fields: FieldReader): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(fields.bytes(refSize));

/**
 * Calls about workflows. A job does not fail for want of advice: where no advisory service answers, a declaration brings an
 * id that is known here alone.
 */
export function workflowCalls(workflows: ClientWorkflows, log: Log) {
  const local = new Set<string>();
  return {
    declareWorkflow: async (fields) => {
      const profile = fields.text();
      const words = {
        profile,
        phase: BigInt(fields.u64()),
        tag: fields.text(),
        ttlSeconds: fields.u32(),
      };
      fields.end();
      const answer = await workflows.declare(words);
      if (!refusedIn(answer)) return new FieldWriter().bytes(answer);
      if (answer.code !== unavailable || local.size >= localMax) given(answer);
      log("no_advice", { code: answer.code });
      const ref = systemPrng.fill(newBytes(refSize));
      local.add(toHex(ref));
      return new FieldWriter().bytes(ref);
    },
    endWorkflow: async (fields) => {
      const ref = copyRef(fields);
      fields.end();
      if (!local.delete(toHex(ref))) given(await workflows.end(ref));
      return undefined;
    },
    advancePhase: async (fields) => {
      const ref = copyRef(fields);
      const phase = BigInt(fields.u64());
      const tag = fields.text();
      fields.end();
      if (!local.has(toHex(ref))) given(await workflows.advance(ref, phase, tag));
      return undefined;
    },
    workflowStatus: async (fields) => {
      const ref = copyRef(fields);
      fields.end();
      const { phase, tag, secondsLeft } = given(await workflows.status(ref));
      return new FieldWriter().i64(phase).u32(secondsLeft).text(tag);
    },
  } satisfies Readonly<Record<string, Call>>;
}
