/** Goes on with what is there or comes; waits only for what comes. */
export function whenReady<T, R>(
  value: T | Promise<T>,
  go: (ready: T) => R | Promise<R>,
): R | Promise<R> {
  return value instanceof Promise ? value.then(go) : go(value);
}
