/**
 * A node under the load of twelve clients, with versions, locks, lifecycle rules and notifications at work, is killed at
 * random, again and again; everything acknowledged is there.
 */
import { expect, test } from "bun:test";
import { isFull, type Layout, NodeProcess, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { SideLoad } from "../support/side-load.ts";
import { chance, Workload } from "../support/workload.ts";

const one: Layout = { devices: 1, mirrors: 0, deviceSize: "384MiB" };
const six: Layout = { devices: 6, mirrors: 2, deviceSize: "128MiB" };
const kills = 2;
/** With those of failpoints.test.ts 33 kills in the gate; in full 32 here and 70 there. */
const rounds = isFull ? 8 : 2;
/** In full the fuzzers run beside it. */
const limitMs = isFull ? 60_000 : 20_000;
const firstSeed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 1e9));

for (const [name, layout] of [
  ["one device without mirror", one],
  ["six devices, two mirrors", six],
] as const) {
  for (let round = 0; round < rounds; round += 1) {
    const seed = firstSeed + round;
    test(
      `${name}: ${kills} kills under load lose nothing (KISEKI_SIM_SEED=${seed})`,
      async () => {
        await using node = await NodeProcess.create(layout);
        await using side = await SideLoad.open(node.directory);
        const workload = new Workload(seed);
        const dice = chance(seed + 7);
        for (let kill = 0; kill < kills; kill += 1) {
          await node.start({ words: ["--gc-interval-s", "1", ...side.words] });
          using client = await S3Client.of(node);
          if (kill > 0) await workload.check(client);
          await workload.begin(client);
          await side.begin(node);
          const enough = workload.acknowledged + 30 + Math.floor(dice() * 150);
          await until(`${enough} writes are acknowledged`, () => workload.acknowledged >= enough);
          expect(await node.kill()).toEqual({ code: null, signal: "SIGKILL" });
          await Promise.all([workload.ended(), side.ended()]);
        }
        await node.start({ words: side.words });
        using client = await S3Client.of(node);
        await workload.check(client);
        expect([...workload.refusals]).toEqual([]);
        expect(await side.faults(client)).toEqual([]);
      },
      limitMs,
    );
  }
}
