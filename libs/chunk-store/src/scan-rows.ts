import type { Pool } from "./pool.ts";

const rowsPerTurn = 512;

/** Visits every row, in turns so that others get on; rows may be changed by `visit`, new ones may be missed. */
export async function scanRows(
  pool: Pool,
  visit: (key: Uint8Array, value: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  let after: Uint8Array | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const batch: [Uint8Array, Uint8Array][] = [];
    pool.ports.index.scan(after, rowsPerTurn, (key, value) => void batch.push([key, value]));
    const last = batch.at(-1);
    if (last === undefined) return;
    for (const [key, value] of batch) visit(key, value);
    after = last[0];
    await yieldTurn(pool);
  }
}
/** Lets other work of this thread run: a sleep of nothing. */
export const yieldTurn = (pool: Pool): Promise<void> =>
  pool.ports.clock.sleep(0 as Parameters<typeof pool.ports.clock.sleep>[0], never);
const never = new AbortController().signal;
