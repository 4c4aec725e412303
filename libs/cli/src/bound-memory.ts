/**
 * Sets what makes the engine collect earlier than for a machine of this size, where the environment leaves it open
 * (docs/decisions/0005-engine-memory.md). The engine reads its variables at its start only, so the process replaces itself
 * once; pid and open files stay. Called before anything else is loaded.
 */
export function boundMemory(variables: Readonly<Record<string, string>>): void {
  if (Object.keys(variables).every((name) => process.env[name] !== undefined)) return;
  // A compiled program's first word is its own name within the bundle.
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") ?? false;
  const words = process.argv.slice(isCompiled ? 2 : 1);
  const environment = { ...variables, ...process.env };
  process.execve?.(process.execPath, [process.execPath, ...words], environment);
}
