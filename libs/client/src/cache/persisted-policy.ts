import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CachePolicy, encodeRules, parsePolicy, policyConservative } from "@kiseki/cache";

const policyName = "policy.json";
const policySizeMax = 64 * 1024;

export interface ResolvedPolicy {
  readonly policy: CachePolicy;
  readonly source: "node" | "persisted" | "conservative";
}

/**
 * The policy of a session (spec §7.8): as the node says; else as it said last to a client of the tenant on this machine;
 * else one that allows little. What the node said is kept for the next time.
 */
export async function resolvePolicy(
  asked: Promise<CachePolicy | undefined>,
  directory: string,
  tenant: string,
): Promise<ResolvedPolicy> {
  const path = join(directory, tenant, policyName);
  const policy = await asked;
  if (policy !== undefined) {
    // A folder that cannot be written keeps no cache either.
    await persist(path, policy).catch(() => undefined);
    return { policy, source: "node" };
  }
  const persisted = await read(path).catch(() => undefined);
  return persisted === undefined
    ? { policy: policyConservative, source: "conservative" }
    : { policy: persisted, source: "persisted" };
}

async function persist(path: string, policy: CachePolicy): Promise<void> {
  const folder = join(path, "..");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const next = `${path}.${process.pid}`;
  await writeFile(next, encodeRules(policy), { mode: 0o600 });
  await rename(next, path);
}
async function read(path: string): Promise<CachePolicy | undefined> {
  const { size, uid, mode } = await stat(path);
  if (size > policySizeMax || uid !== process.getuid?.() || (mode & 0o022) !== 0) return undefined;
  return parsePolicy(await readFile(path, "utf8"));
}
