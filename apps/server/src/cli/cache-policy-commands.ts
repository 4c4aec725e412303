import { type CacheChoice, cacheChoices, type CacheRules, faultsOfRules } from "@kiseki/cache";
import { CommandError, exitCode } from "@kiseki/cli";
import { fromRulesMessage, toRulesMessage } from "@kiseki/rpc";
import type { Command } from "commander";
import { countOption, type Session, sizeOption, textOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });
const whose = (session: Session): string => textOption(session, "tenant") ?? "";

/** How a rule is named in JSON and in options. */
const names: { readonly [Name in keyof CacheRules]-?: string } = {
  isEnabled: "cache_enabled",
  modesAllowed: "allowed_modes",
  sizeMax: "max_cache_bytes",
  nodeSizeMax: "max_node_cache_bytes",
  metadataTtlMs: "metadata_ttl_ms",
  disconnectSecondsMax: "max_disconnect_seconds",
  keyHealthIntervalMs: "key_health_interval_ms",
  isStagingEnabled: "staging_enabled",
};
const optionOf = (name: keyof CacheRules): string => `--${names[name].replaceAll("_", "-")}`;
const ruleNames = Object.keys(names) as (keyof CacheRules)[];

const toJson = (rules: CacheRules): object =>
  Object.fromEntries(
    ruleNames.filter((name) => rules[name] !== undefined).map((name) => [names[name], rules[name]]),
  );

type Answer = Parameters<typeof fromRulesMessage>[0];
function tell(
  session: Session,
  {
    rules: rulesMessage,
    policy: policyMessage,
  }: { readonly rules?: Answer; readonly policy?: Answer },
): void {
  const rules = fromRulesMessage(rulesMessage) ?? {};
  const policy = fromRulesMessage(policyMessage) ?? {};
  const tenant = whose(session);
  session.console.emit({ tenant: tenant || null, rules: toJson(rules), policy: toJson(policy) });
  const width = Math.max(...ruleNames.map((name) => names[name].length));
  const text = (value: unknown): string => (Array.isArray(value) ? value.join(",") : String(value));
  const lines = ruleNames.map((name) => {
    const shown = policy[name] === undefined ? "80% of the file system" : text(policy[name]);
    return `${names[name].padEnd(width)}  ${shown}${rules[name] === undefined ? "" : "  (set here)"}`;
  });
  session.console.say(lines.join("\n"));
}

function flagOption(session: Session, name: string): boolean | undefined {
  const text = textOption(session, name);
  if (text === undefined) return undefined;
  if (text === "yes" || text === "no") return text === "yes";
  throw new CommandError(exitCode.arguments, `Cannot use ${JSON.stringify(text)}: write yes or no`);
}
const numberOf = (value: bigint | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

/** What the options say. @throws {CommandError} */
function rulesOf(session: Session): CacheRules {
  const modes = textOption(session, "allowedModes")?.split(",").filter(Boolean);
  const said: { readonly [Name in keyof CacheRules]-?: CacheRules[Name] | undefined } = {
    isEnabled: flagOption(session, "cacheEnabled"),
    modesAllowed: modes as CacheChoice[] | undefined,
    sizeMax: numberOf(sizeOption(session, "maxCacheBytes")),
    nodeSizeMax: numberOf(sizeOption(session, "maxNodeCacheBytes")),
    metadataTtlMs: numberOf(countOption(session, "metadataTtlMs")),
    disconnectSecondsMax: numberOf(countOption(session, "maxDisconnectSeconds")),
    keyHealthIntervalMs: numberOf(countOption(session, "keyHealthIntervalMs")),
    isStagingEnabled: flagOption(session, "stagingEnabled"),
  };
  const given = ruleNames.filter((name) => said[name] !== undefined);
  const rules = Object.fromEntries(given.map((name) => [name, said[name]])) as CacheRules;
  const [fault] = faultsOfRules(rules) as (keyof CacheRules)[];
  if (fault !== undefined)
    throw new CommandError(exitCode.arguments, `Cannot use this ${optionOf(fault)}`);
  if (given.length === 0)
    throw new CommandError(
      exitCode.arguments,
      "Cannot set a cache policy without a rule",
      '"kiseki cache-policy clear" takes all rules away',
    );
  return rules;
}

const showCachePolicy: Work = async (session) => {
  const client = await session.client();
  tell(session, await client.getCacheRules({ tenant: whose(session) }, call(session)));
  return exitCode.ok;
};
/** Rules that no option names stay. */
const setCachePolicy: Work = async (session) => {
  const rules = rulesOf(session);
  const client = await session.client();
  const tenant = whose(session);
  const before = await client.getCacheRules({ tenant }, call(session));
  const all = { ...fromRulesMessage(before.rules), ...rules };
  tell(session, await client.setCacheRules({ tenant, rules: toRulesMessage(all) }, call(session)));
  return exitCode.ok;
};
const clearCachePolicy: Work = async (session) => {
  const client = await session.client();
  tell(session, await client.setCacheRules({ tenant: whose(session), rules: {} }, call(session)));
  return exitCode.ok;
};

type Add = (parent: Command, words: string, description: string, work: Work) => Command;
const yesNo = "yes or no";

export function addCachePolicy(parent: Command, add: Add): void {
  const tenant = ["--tenant <name>", "name or id of a tenant; the cluster when left out"] as const;
  const shown = "show the rules of a level and what holds below it";
  add(parent, "show", shown, showCachePolicy).option(...tenant);
  add(parent, "clear", "take the rules of a level away", clearCachePolicy).option(...tenant);
  add(parent, "set", "set rules; those that are left out stay", setCachePolicy)
    .option(...tenant)
    .option("--cache-enabled <flag>", yesNo)
    .option("--allowed-modes <modes>", `comma-separated, of ${cacheChoices.join(", ")}`)
    .option("--max-cache-bytes <size>", "of one client's pool, such as 50GiB")
    .option("--max-node-cache-bytes <size>", "of all pools of a compute node")
    .option("--metadata-ttl-ms <count>", "how long clients may believe an answer")
    .option("--max-disconnect-seconds <count>", "without a node for so long clients erase all")
    .option("--key-health-interval-ms <count>", "how often clients ask after the tenant's key")
    .option("--staging-enabled <flag>", yesNo);
}
