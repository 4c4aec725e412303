import { newBytes, operationId } from "@kiseki/base";
import type { Operation } from "@kiseki/composition";
import type { OpenTenant } from "../object/types.ts";
import { refusalError } from "./failure.ts";
import type { AdminParts } from "./types.ts";

/** Submits and waits for the commit. @throws {RpcError} for every refusal. */
export async function submitAdmin(
  { prng }: Pick<AdminParts, "prng">,
  tenant: OpenTenant,
  operation: Operation,
) {
  const outcome = await tenant.owner.submit(operation, operationId(prng.fill(newBytes(16))));
  if (outcome.kind === "refused") throw refusalError(outcome.code);
}
