import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { prngFromSeed, toHex } from "@kiseki/base";
import { openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 5);

/** NVM Express base specification, bit by bit. */
function crc64(source: Uint8Array): string {
  let crc = 0xffffffffffffffffn;
  for (const byte of source) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n;
  }
  return (crc ^ 0xffffffffffffffffn).toString(16).padStart(16, "0");
}

test(`hash() agrees with other implementations however the stream is cut (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  await using datapath = openDatapath({
    directory,
    arenaSize: 32 << 20,
    computeThreads: 1,
    deviceThreads: 1,
  });
  for (const sets of [["md5"], ["md5", "sha256", "crc64nvme"], ["sha256"]] as const) {
    for (let round = 0; round < 12; round++) {
      const size = prng.below(round < 6 ? 300 : 60_000) + 1;
      using lease = datapath.arena.lend(size)!;
      const bytes = lease.bytes.subarray(0, size);
      prng.fill(bytes);
      using state = datapath.openHash(sets);
      for (let offset = 0; offset < size;) {
        const cut = prng.chance(1, 2) ? 64 * (1 + prng.below(300)) : 1 + prng.below(1000);
        const part = Math.min(size - offset, cut);
        const own = prng.chance(1, 2);
        const { sha256 } = await datapath.hash({
          state,
          source: { lease, offset, size: part },
          own,
        });
        const alone = createHash("sha256")
          .update(bytes.subarray(offset, offset + part))
          .digest("hex");
        expect(sha256 && toHex(sha256)).toBe(own ? alone : undefined);
        offset += part;
      }
      const digests = datapath.digest(state);
      for (const algorithm of sets) {
        const wanted =
          algorithm === "crc64nvme"
            ? crc64(bytes)
            : createHash(algorithm).update(bytes).digest("hex");
        expect(`${algorithm} ${toHex(digests.get(algorithm)!)}`).toBe(`${algorithm} ${wanted}`);
      }
    }
  }
});
