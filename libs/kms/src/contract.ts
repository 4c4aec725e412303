/**
 * For tests and simulations: a key manager that does as it is told, and a clock that is moved by hand.
 */
export { FaultyKms } from "./faulty-kms.ts";
export { ManualClock } from "./manual-clock.ts";
