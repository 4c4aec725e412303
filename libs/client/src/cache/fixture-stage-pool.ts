/** Stages one file into the cache of argv[2], says the pool's id, and ends once it has handed the pool over. */
import { toUtf8 } from "@kiseki/base";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { tenant } from "./cache-bed.test-helper.ts";
import { stageFile } from "./staging-bed.test-helper.ts";
import { openStagingPool } from "./staging-pool.ts";

const ports = { clock: systemClock, crypto: openCrypto(), prng: systemPrng };
const options = { directory: process.argv[2]!, tenant, sizeMax: 1 << 24, onFault: console.error };
const pool = await openStagingPool(ports, options);
await stageFile(pool.images, "/data", 7n, toUtf8("seven"));
console.log(pool.id);
await pool.wanted(new AbortController().signal);
pool.handOver();
