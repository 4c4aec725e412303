import { boundMemory } from "@kiseki/cli";

// As if the machine had 1 GiB, and after a quarter of what lives instead of as much again.
boundMemory({
  BUN_JSC_forceRAMSize: String(1024 ** 3),
  BUN_JSC_smallHeapGrowthFactor: "1.12",
  BUN_JSC_minEdenToOldGenerationRatio: "0.04",
});
