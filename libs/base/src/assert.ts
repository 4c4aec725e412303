/** A bug in this program, never bad input. Caught nowhere but in `main`, which logs it and exits. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Stays on in production: a wrong write costs more than a restart. */
export function assert(holds: boolean, property: string): asserts holds {
  if (!holds) throw new AssertionError(`Must hold: ${property}`);
}

/** The `default` of every switch over a union: a new member fails to compile here. */
export function unreachable(x: never): never {
  throw new AssertionError(`Unreachable: ${String(x)}`);
}
