let onPassed: ((name: string) => void) | undefined;

/**
 * Names a place in which a test may end the process, or a simulator its node. Does nothing unless a program
 * armed it at its start.
 */
export function failpoint(name: string): void {
  onPassed?.(name);
}

/** `passed` hears every failpoint from now on; `undefined`: nobody does. For a program's start and for tests. */
export function armFailpoints(passed: ((name: string) => void) | undefined): void {
  onPassed = passed;
}
