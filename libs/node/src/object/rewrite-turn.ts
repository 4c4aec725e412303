import { Budget } from "./budget.ts";

/**
 * What rewrites content holds room for what it reads while it waits for room to write. Many at once would hold all
 * of it and wait for each other for ever, so few large ones, or many small ones, go at a time.
 */
const turnsAtOnce = 96;
const turnsOfLarge = 32;
const smallMax = 64 * 1024;
const turns = new WeakMap<Budget, Budget>();

/** A turn to rewrite `size` bytes; disposing ends it. */
export function takeTurn(budget: Budget, size: number, signal: AbortSignal): Promise<Disposable> {
  let shared = turns.get(budget);
  if (shared === undefined) turns.set(budget, (shared = new Budget(turnsAtOnce)));
  return shared.take(size <= smallMax ? 1 : turnsOfLarge, signal);
}
