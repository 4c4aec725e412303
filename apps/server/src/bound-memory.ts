/**
 * Makes the engine collect as if the machine had 1 GiB: by default its heap grows with the machine's memory,
 * and a loaded node took twice as much for nothing (docs/decisions/0005-engine-memory.md). The engine reads
 * this at its start only, so the process replaces itself once; pid and open files stay.
 */
const variable = "BUN_JSC_forceRAMSize";
const engineMemory = 1024 ** 3;

if (process.env[variable] === undefined) {
  // A compiled program's first word is its own name within the bundle.
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") ?? false;
  const words = process.argv.slice(isCompiled ? 2 : 1);
  const environment = { ...process.env, [variable]: String(engineMemory) };
  process.execve?.(process.execPath, [process.execPath, ...words], environment);
}
