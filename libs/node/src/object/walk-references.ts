import { millis } from "@kiseki/base";
import { listReferences, type Reference } from "@kiseki/composition";
import type { Clock } from "@kiseki/ports";
import type { OpenTenant } from "./types.ts";

const rowsPerPage = 2048;

/**
 * All that the tenant's shard names, in pages between which requests go on; a seal that moves meanwhile is
 * not missed. @throws `signal.reason`, and what a store throws that was closed.
 */
export async function* walkReferences(
  clock: Clock,
  tenant: Pick<OpenTenant, "store">,
  signal: AbortSignal,
): AsyncGenerator<readonly Reference[]> {
  let after: Uint8Array | undefined;
  do {
    signal.throwIfAborted();
    const from = after;
    const page = tenant.store.view((map) => listReferences(map, from, rowsPerPage));
    yield page.references;
    after = page.next;
    await clock.sleep(millis(0), signal);
  } while (after !== undefined);
}
