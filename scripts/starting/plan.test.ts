import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkRoom,
  options,
  PlanError,
  planFrom,
  readPlan,
  serverWords,
  writePlan,
} from "./plan.ts";

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
  const unset = await planFrom([], { HOME: at.path, XDG_DATA_HOME: "", XDG_CONFIG_HOME: "" });
  expect(unset.dataDir).toBe(join(at.path, ".local/share/kiseki"));
  expect(unset.configDir).toBe(join(at.path, ".config/kiseki"));
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

test("scripts/up refuses what planFrom() does not know before it installs anything", async () => {
  const text = await Bun.file(join(import.meta.dir, "../up")).text();
  const [, known = ""] = /^known="(.*)"$/m.exec(text) ?? [];
  expect(known.trim().split(" ")).toEqual(Object.keys(options).map((name) => `--${name}`));
  const { exitCode, stderr } = Bun.spawnSync([join(import.meta.dir, "../up"), "--no-such=1"]);
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toBe("up: Unknown option --no-such=1; scripts/up --help lists them\n");
});

test("checkRoom() refuses device files that do not fit, counting only those to be made", async () => {
  await using at = await folder();
  const words = ["--data-dir", join(at.path, "d"), "--config-dir", join(at.path, "c")];
  const plan = await planFrom([...words, "--devices", "2", "--device-size", "32TiB"], {});
  await expect(checkRoom(plan)).rejects.toThrow("Cannot make 2 device files of 32TiB");
  for (const path of plan.devices) await Bun.write(path, "made before");
  await checkRoom(plan);
  const other = await planFrom([...words, "--devices", "/dev/no-such-disk"], {});
  await expect(checkRoom(other)).rejects.toThrow("not in /dev");
  await Bun.write(join(plan.configDir, "devices"), ""); // formatted once: nothing is made any more
  await checkRoom(other);
});
