import { boundMemory } from "@kiseki/cli";

// Compute nodes want their memory for themselves.
boundMemory(512 * 1024 ** 2);
