import { boundMemory } from "@kiseki/cli";

// A loaded node took twice as much for nothing.
boundMemory(1024 ** 3);
