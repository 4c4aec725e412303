/** Puts planned users and policies into the node. */
import { toRpcError } from "@kiseki/rpc";
import type { Session } from "../session.ts";
import type { IdentityPlan, PlannedUser } from "./plan-identities.ts";
import type { NotCarried } from "./report.ts";

/** Keys in one call; a call's message has a limit. */
const keysPerCall = 8;

/** What could not be carried. Names alone are said in a dry run. */
export async function importIdentities(
  session: Session,
  plan: IdentityPlan,
  isDry: boolean,
): Promise<readonly NotCarried[]> {
  const { console } = session;
  const notCarried: NotCarried[] = [];
  const tell = (kind: string, name: string): void => {
    console.emit({ kind, name, isDry });
    console.say(`${isDry ? "Would carry" : "Carried"} ${kind} ${name}`);
  };
  for (const { name, document } of plan.policies) {
    try {
      if (!isDry) {
        const client = await session.client();
        await client.importPolicy({ name, document }, { signal: session.signal });
      }
      tell("policy", name);
    } catch (reason) {
      notCarried.push({ kind: "policy", name, reason: refusalOf(reason) });
    }
  }
  for (const user of plan.users) {
    const label = user.name === "" ? "(root)" : user.name;
    try {
      if (!isDry) notCarried.push(...(await importUser(session, user, label)));
      tell("user", label);
    } catch (reason) {
      notCarried.push({ kind: "user", name: label, reason: refusalOf(reason) });
    }
  }
  return notCarried;
}

async function importUser(
  session: Session,
  { name, isDisabled, policies, keys }: PlannedUser,
  label: string,
): Promise<readonly NotCarried[]> {
  const client = await session.client();
  const notCarried: NotCarried[] = [];
  for (let at = 0; at === 0 || at < keys.length; at += keysPerCall) {
    const batch = keys.slice(at, at + keysPerCall).map((key) => ({
      accessKeyId: key.id,
      secretAccessKey: key.secret,
      isDisabled: key.isDisabled,
      policy: key.policy,
      description: key.description,
      expiresUnixMs: BigInt(key.expires),
    }));
    const request = { name, isDisabled, policies: at === 0 ? [...policies] : [], keys: batch };
    const { refusals } = await client.importUser(request, { signal: session.signal });
    for (const { what, name: which, reason } of refusals) {
      const isPolicy = what === "policy";
      const why = isPolicy
        ? `${reason}; the user is disabled, since it may be what denies`
        : reason;
      notCarried.push({
        kind: isPolicy ? "policy of a user" : what,
        name: `${label}: ${which}`,
        reason: why,
      });
    }
  }
  return notCarried;
}

/** @throws what is no refusal: without a node nothing can go on. */
function refusalOf(reason: unknown): string {
  const error = toRpcError(reason);
  if (error.code === "invalid" || error.code === "exists" || error.code === "not_found") {
    return error.message;
  }
  throw reason;
}
