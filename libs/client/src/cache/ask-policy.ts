import { type CachePolicy, encodeRules, type KeyAnswer, parsePolicy } from "@kiseki/cache";
import { fromRulesMessage } from "@kiseki/rpc";
import type { Attempted } from "../retry/persist.ts";
import type { Asking } from "../service/asking.ts";

/** `undefined`: no node answers, or what it answers is no whole policy. */
export async function askCachePolicy(asking: Asking): Promise<CachePolicy | undefined> {
  const answer = await asking.ask((client, { id }, options) =>
    client.files.getCachePolicy({ session: id }, options),
  );
  if (answer.kind === "refused") return undefined;
  const rules = fromRulesMessage(answer.value.policy);
  return rules && parsePolicy(encodeRules(rules));
}

/** One attempt: who asks does so again. */
export async function askKeyHealth(asking: Asking, timeoutMs: number): Promise<KeyAnswer> {
  const session = await asking.session(timeoutMs);
  if (session.kind === "failed") return heardOf(session);
  const answer = await asking.once(
    session.value,
    (client, { id }, options) => client.files.getKeyHealth({ session: id }, options),
    timeoutMs,
  );
  if (answer.kind === "failed") return heardOf(answer);
  const { health } = answer.value;
  return health === "healthy" || health === "destroyed" ? health : "unreachable";
}
const heardOf = ({ verdict }: Extract<Attempted<never>, { kind: "failed" }>): KeyAnswer =>
  verdict.code === "forbidden" ? "refused" : "unanswered";
