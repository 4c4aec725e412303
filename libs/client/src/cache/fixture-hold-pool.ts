/** Keeps one block in the cache of argv[2], says so, and waits to be killed. */
import { openCrypto, systemPrng } from "@kiseki/host";
import { keepOne, openAtDirectory } from "./cache-bed.test-helper.ts";

const cache = await openAtDirectory(process.argv[2]!, { crypto: openCrypto(), prng: systemPrng });
await keepOne(cache);
console.log("kept");
setInterval(() => undefined, 1000);
