import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PlanError, planFrom, readPlan, serverWords, writePlan } from "./plan.ts";

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kiseki-up-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("planFrom() puts data and keys apart, under the folders that XDG names", async () => {
  await using at = await folder();
  const environment = { HOME: at.path, XDG_DATA_HOME: join(at.path, "d") };
  const plan = await planFrom([], environment);
  expect(plan.dataDir).toBe(join(at.path, "d/kiseki"));
  expect(plan.configDir).toBe(join(at.path, ".config/kiseki"));
  expect(plan.devices).toEqual([join(at.path, "d/kiseki/device-0")]);
  expect(plan.act).toBe("up");
});

test("planFrom() takes a number of devices or their paths", async () => {
  await using at = await folder();
  const words = ["--data-dir", join(at.path, "d"), "--config-dir", join(at.path, "c")];
  const three = await planFrom([...words, "--devices", "3"], {});
  expect(three.devices.map((path) => path.slice(at.path.length))).toEqual([
    "/d/device-0",
    "/d/device-1",
    "/d/device-2",
  ]);
  const named = await planFrom([...words, "--devices", "/dev/vdb, /dev/vdc"], {});
  expect(named.devices).toEqual(["/dev/vdb", "/dev/vdc"]);
});

test("planFrom() remembers what the last start of a config directory was told", async () => {
  await using at = await folder();
  const config = ["--config-dir", join(at.path, "c")];
  const given = [
    "--data-dir",
    join(at.path, "d"),
    "--mirror",
    join(at.path, "m"),
    "--devices",
    "6",
  ];
  const first = await planFrom([...config, ...given, "--device-size", "1GiB"], {});
  expect(await readPlan(first)).toBeUndefined();
  await writePlan(first);
  expect(serverWords(await planFrom([...config, "--json"], {}))).toEqual(serverWords(first));
});

test("planFrom() refuses what means nothing", async () => {
  await using at = await folder();
  const inside = ["--data-dir", at.path, "--config-dir", join(at.path, "c")];
  const faulty = [
    ["--no-such"],
    ["word"],
    inside,
    ["--devices", "0"],
    ["--device-size", "big"],
    ["--status", "--stop"],
  ];
  for (const words of faulty) {
    await expect(planFrom(words, { HOME: at.path })).rejects.toBeInstanceOf(PlanError);
  }
});
