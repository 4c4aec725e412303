import { boundMemory } from "@kiseki/cli";

// Compute nodes want their memory for themselves.
boundMemory({ BUN_JSC_forceRAMSize: String(512 * 1024 ** 2) });
