import type { CachePolicy } from "@kiseki/cache";
import { CommandError, exitCode } from "@kiseki/cli";
import { guardCache, resolvePolicy } from "@kiseki/client";
import { systemClock } from "@kiseki/host";
import { clampSettings } from "../cli/settings.ts";
import type { Connected } from "../connect.ts";
import type { StagePlan } from "./plan.ts";

/** What policy leaves of a plan. @throws {CommandError} where it allows no staging. */
export async function stageUnderPolicy(
  plan: StagePlan,
  { client }: Connected,
  note: (text: string) => void,
): Promise<{ readonly plan: StagePlan; readonly policy: CachePolicy }> {
  const { cacheDirectory } = plan.settings;
  const { policy } = await resolvePolicy(client.cachePolicy(), cacheDirectory, client.tenant);
  const { settings, notes } = clampSettings(plan.settings, policy);
  for (const text of notes) note(text);
  const isAllowed = policy.isEnabled && policy.isStagingEnabled && settings.cacheMode !== "bypass";
  if (isAllowed) return { plan: { ...plan, settings }, policy };
  const message = `Cannot stage ${plan.dataset}: policy does not allow it`;
  throw new CommandError(
    exitCode.general,
    message,
    "Read from the mount, or ask whoever runs the cluster.",
  );
}

/** Aborts `ending`, with the reason, when the tenant's key is destroyed or no node answers for too long; until it is over. */
export function guardStaging(
  { client }: Connected,
  policy: CachePolicy,
  ending: AbortController,
): void {
  const guard = {
    policy,
    ask: (timeoutMs: number) => client.keyHealth(timeoutMs),
    trust: () => undefined, // nothing is read here
    wipe: async (why: string) => ending.abort(new WipeError(why)),
  };
  void guardCache(systemClock, guard, ending.signal);
}

/** What is staged must go, at once. */
export class WipeError extends Error {
  override readonly name = "WipeError";
}
