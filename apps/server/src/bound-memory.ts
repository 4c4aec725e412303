import { boundMemory } from "@kiseki/cli";

// As if the machine had 1 GiB; collected after an eighth of what lives, all of it once a third was added (decision 0005).
boundMemory({
  BUN_JSC_forceRAMSize: String(1024 ** 3),
  BUN_JSC_smallHeapGrowthFactor: "1.12",
  BUN_JSC_minEdenToOldGenerationRatio: "0.09",
});
