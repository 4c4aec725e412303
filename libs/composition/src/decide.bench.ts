import { prngFromSeed } from "@kiseki/base";
import { bedWithNamespace, put, testSmall } from "./bed.test-helper.ts";

/** Question: what does a small PUT cost in the machine alone? Answer wanted: under 30 µs, most of it rows. */
export function benchPut({ puts }: { puts: number }): { usPerPut: number; witness: number } {
  const bed = bedWithNamespace();
  const prng = prngFromSeed(1);
  const started = Bun.nanoseconds();
  for (let i = 0; i < puts; i++) put(bed, `d${prng.below(100)}/f${i}`, testSmall(i, 500), 500);
  return { usPerPut: (Bun.nanoseconds() - started) / puts / 1000, witness: bed.log.length };
}
if (import.meta.main) console.log(JSON.stringify(benchPut({ puts: 30_000 })));
