/**
 * Devices come and go under load: one is added, another evacuated while the node is killed, at random and where a record
 * has moved, then removed. Everything acknowledged is there all the time. In full lifecycle rules, locks and
 * notifications are at work beside it; in the gate random-kills.test.ts has them.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { kiseki, kisekiJson, startKiseki } from "../support/cli.ts";
import { isFull, NodeProcess, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { SideLoad } from "../support/side-load.ts";
import { chance, Workload } from "../support/workload.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 1e9));
const killed = { code: null, signal: "SIGKILL" };

test(
  `a device is added, one evacuated through kills and removed, under load (KISEKI_SIM_SEED=${seed})`,
  async () => {
    const dice = chance(seed);
    await using node = await NodeProcess.create({ devices: 3, mirrors: 0, deviceSize: "128MiB" });
    await using side = isFull ? await SideLoad.open(node.directory) : undefined;
    const words = ["--gc-interval-s", "1", ...(side?.words ?? [])];
    const its = ["--config-dir", node.configDirectory, "device"];
    const workload = new Workload(seed, 2); // what it writes has to move
    let leaving = "";
    for (const failpoint of [undefined, `device-moved:${1 + Math.floor(dice() * 8)}`]) {
      const environment = failpoint === undefined ? {} : { KISEKI_FAILPOINT: failpoint };
      if (failpoint === undefined) await node.start({ words });
      // It may die before it is ready: it goes on with an evacuation by itself.
      else if ((await node.tryStart({ words, environment })) !== undefined) continue;
      using client = await S3Client.of(node);
      if (failpoint !== undefined) await workload.check(client);
      await workload.begin(client);
      await side?.begin(node);
      const enough = workload.acknowledged + 20;
      await until(`${enough} writes are acknowledged`, () => workload.acknowledged >= enough);
      if (failpoint === undefined) {
        const [made] = await kisekiJson([...its, "add", join(node.directory, "added")]);
        expect(made!["profile"]).toBe("3+1");
        leaving = String((await kisekiJson([...its, "list"]))[0]!["device_id"]);
        expect((await kiseki([...its, "remove", leaving])).code).toBe(1);
      }
      const evacuating = startKiseki([...its, "evacuate", leaving]);
      await Promise.race([evacuating.exited, Bun.sleep(1000 * dice()), node.ended()]);
      if (node.isRunning) expect(await node.kill()).toEqual(killed);
      await Promise.all([workload.ended(), side?.ended(), evacuating.exited]);
    }
    await node.start({ words });
    let error = "";
    {
      using client = await S3Client.of(node);
      await workload.check(client);
      await workload.begin(client);
      await side?.begin(node);
      const evacuating = kiseki([...its, "evacuate", leaving]);
      // On a busy machine new writes keep it from an end for long; what it does under them is seen by then.
      await Promise.race([evacuating, Bun.sleep(2000)]);
      await Promise.all([workload.stop(), side?.stop()]);
      const ended = await evacuating;
      expect([ended.code, ended.error]).toEqual([0, expect.stringContaining("device remove")]);
      const removed = await kiseki([...its, "remove", leaving]);
      ({ error } = removed);
      expect([removed.code, error]).toEqual([0, expect.stringContaining("--devices")]);
      await node.kill();
    }
    await rm(node.devices.find((path) => error.includes(`${path} `))!);
    await node.start({ words });
    using client = await S3Client.of(node);
    await workload.check(client);
    const states = (await kisekiJson([...its, "list"])).map(({ state }) => state);
    expect(states).toEqual(["healthy", "healthy", "healthy"]);
    expect([...workload.refusals]).toEqual([]);
    expect((await side?.faults(client)) ?? []).toEqual([]);
  },
  isFull ? 120_000 : 20_000,
);
