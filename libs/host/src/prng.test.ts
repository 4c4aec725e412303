import { prngFromSeed } from "@kiseki/base";
import { prngContract } from "@kiseki/ports/contract";
import { systemPrng } from "./prng.ts";

prngContract("systemPrng", () => systemPrng);
prngContract("prngFromSeed()", () => prngFromSeed(7));
