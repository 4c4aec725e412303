/**
 * Makes the engine collect as if the machine had 1 GiB, and after a quarter of what lives instead of as much again: by
 * default its heap grows with the machine's memory, and a loaded node took twice as much for nothing
 * (docs/decisions/0005-engine-memory.md). The engine reads this at its start only, so the process replaces itself once;
 * pid and open files stay.
 */
const bounds = {
  BUN_JSC_forceRAMSize: String(1024 ** 3),
  BUN_JSC_smallHeapGrowthFactor: "1.25",
  BUN_JSC_minEdenToOldGenerationRatio: "0.1",
};

if (Object.keys(bounds).some((name) => process.env[name] === undefined)) {
  // A compiled program's first word is its own name within the bundle.
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") ?? false;
  const words = process.argv.slice(isCompiled ? 2 : 1);
  const environment = { ...bounds, ...process.env };
  process.execve?.(process.execPath, [process.execPath, ...words], environment);
}
