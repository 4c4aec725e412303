import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";
import { resolvePolicy } from "@kiseki/client";
import type { Console } from "../cli/console.ts";
import { connect } from "../connect.ts";
import { nativeDirectory } from "../native-directory.ts";
import { keepPool } from "./keep-pool.ts";
import type { StagePlan } from "./plan.ts";
import { findStaged } from "./pools.ts";
import { openPoolOf } from "./staging-pool.ts";
import { guardStaging } from "./staging-policy.ts";

/** Erases a dataset; keeps the pool for what else is staged in it. Runs in the background of the command. */
export async function runRelease(plan: StagePlan, console: Console): Promise<ExitCode> {
  await using connected = await connect(plan.connection, nativeDirectory);
  const { namespace, tenant } = connected.client;
  const found = (await findStaged(plan.settings.cacheDirectory)).find(
    ({ dataset, pool, ...staged }) =>
      dataset === plan.dataset &&
      staged.namespace === namespace &&
      pool.tenant === tenant &&
      (plan.pool === undefined || plan.pool === pool.id),
  );
  if (found === undefined)
    throw new CommandError(exitCode.general, `${plan.dataset} is not staged here`);
  const note = (text: string): void => console.note(text);
  const { cacheDirectory } = plan.settings;
  const { policy } = await resolvePolicy(connected.client.cachePolicy(), cacheDirectory, tenant);
  const pool = await openPoolOf({ ...plan, pool: found.pool.id }, connected, policy, note);
  await pool.images.release(plan.dataset);
  const left = pool.images.manifests.map(({ dataset }) => dataset);
  if (left.length === 0) await pool.close();
  console.emit({ ready: true, left });
  if (left.length === 0) return exitCode.ok;
  const ending = new AbortController();
  guardStaging(connected, policy, ending);
  return keepPool(pool, ending);
}
