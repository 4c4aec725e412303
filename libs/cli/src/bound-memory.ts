const variable = "BUN_JSC_forceRAMSize";

/**
 * Makes the engine collect as if the machine had `size` bytes of memory: by default its heap grows with the machine's
 * (docs/decisions/0005-engine-memory.md). The engine reads this at its start only, so the process replaces itself once;
 * pid and open files stay. Called before anything else is loaded.
 */
export function boundMemory(size: number): void {
  if (process.env[variable] !== undefined) return;
  // A compiled program's first word is its own name within the bundle.
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") ?? false;
  const words = process.argv.slice(isCompiled ? 2 : 1);
  const environment = { ...process.env, [variable]: String(size) };
  process.execve?.(process.execPath, [process.execPath, ...words], environment);
}
