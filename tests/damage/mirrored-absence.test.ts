/**
 * Six devices 4+2 and two mirrors: what was away while the node went on writing is counted and shown, and when
 * it is back it is brought up to date, never believed.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { cp, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { kiseki, kisekiJson } from "../support/cli.ts";
import { cutTail, filesWith, zeroFile } from "../support/damage.ts";
import { NodeProcess, until } from "../support/node-process.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";

setDefaultTimeout(20_000);
const layout = { devices: 6, mirrors: 2 };
const allRight = { right: sampleCount, failed: [] };

async function filledNode(): Promise<NodeProcess> {
  const node = await NodeProcess.started(layout);
  using client = await S3Client.of(node);
  await putSamples(client);
  await node.stop();
  return node;
}

interface View {
  /** State by path; a device that is missing has no path. */
  readonly devices: Readonly<Record<string, string>>;
  readonly alerts: string;
  /** Devices that `/metrics` calls healthy. */
  readonly healthy: number;
  readonly members: string;
}
async function look(node: NodeProcess): Promise<View> {
  const words = ["--config-dir", node.configDirectory];
  const [devices, [status], metrics] = await Promise.all([
    kisekiJson([...words, "device", "list"]),
    kisekiJson([...words, "status"]),
    node.metrics(),
  ]);
  const healthy = metrics
    .split("\n")
    .filter((line) => /^kiseki_device_state\{.*state="healthy".*\} 1$/.test(line));
  return {
    devices: Object.fromEntries(devices.map(({ path, state }) => [String(path), String(state)])),
    alerts: String(status!["alerts"]),
    healthy: healthy.length,
    members: JSON.stringify(status!["members"]),
  };
}

/** Housekeeping counts them once a second. */
const countMembers = (node: NodeProcess, count: number): Promise<void> =>
  until(`${count} members are counted`, async () =>
    (await node.metrics()).includes(`\nkiseki_mirror_members ${count}\n`),
  );

/** Overwrites, adds and deletes; `check` says whether a node shows just that. */
async function change(client: S3Client, round: number): Promise<void> {
  const size = 300_000;
  await client.put("samples", "changing", content(`round ${round}`, size));
  await client.put("samples", `new in ${round}`, content(`new in ${round}`, size));
  await client.put("samples", "short-lived", content("short-lived", size));
  await client.delete("samples", "short-lived");
}
async function check(client: S3Client, round: number): Promise<void> {
  const hashOf = async (key: string) => digest((await client.get("samples", key))!);
  expect(await hashOf("changing")).toBe(digest(content(`round ${round}`, 300_000)));
  expect(await hashOf(`new in ${round}`)).toBe(digest(content(`new in ${round}`, 300_000)));
  expect(await client.get("samples", "short-lived")).toBeUndefined();
  for (const key of ["changing", `new in ${round}`]) await client.delete("samples", key);
  expect(await readSamples(client)).toEqual(allRight);
  await change(client, round);
}

test("a device away for a while and back: counted, shown, brought up to date", async () => {
  await using node = await filledNode();
  const device = node.devices[2]!;
  await rename(device, `${device}.away`);
  await node.start();
  {
    using client = await S3Client.of(node);
    await change(client, 1);
    await check(client, 1);
    await until("metrics count five", async () => (await look(node)).healthy === 5);
    const { devices, alerts } = await look(node);
    expect(Object.values(devices).filter((state) => state === "missing")).toHaveLength(1);
    expect(alerts).toContain("is missing");
    expect((await kiseki(["--config-dir", node.configDirectory, "verify", "--quick"])).code).toBe(
      1,
    );
  }
  await node.stop();
  await rename(`${device}.away`, device);
  await node.start();
  using client = await S3Client.of(node);
  await check(client, 1);
  await until("it counts again, and nothing is missing", async () => {
    const { devices, alerts, healthy } = await look(node);
    return devices[device] === "healthy" && alerts === "" && healthy === 6;
  });
  expect((await kiseki(["--config-dir", node.configDirectory, "verify", "--quick"])).code).toBe(0);
  await node.stop();
  // What came back is as good as any: two others may go now.
  await Promise.all([0, 5].map((at) => rm(node.devices[at]!)));
  await node.start();
  using again = await S3Client.of(node);
  await check(again, 1);
});

test("a device cut to nothing under the running node; later its old copy is put back", async () => {
  await using node = await filledNode();
  const device = node.devices[4]!;
  await cp(device, `${device}.old`);
  await node.start();
  {
    using client = await S3Client.of(node);
    await truncate(device, 0);
    expect(await readSamples(client)).toEqual(allRight);
    await until("faults of the device are counted", async () =>
      /^kiseki_fragment_faults_total\{.*\} [1-9]/m.test(await node.metrics()),
    );
    expect((await look(node)).alerts).not.toBe("");
    await change(client, 2);
    await check(client, 2);
  }
  await node.kill();
  await rename(`${device}.old`, device);
  await node.start();
  using client = await S3Client.of(node);
  await check(client, 2);
});

test("a mirror away for a while and back; then zeroed; then an old copy of the data directory", async () => {
  await using node = await filledNode();
  const [mirror] = node.mirrors as [string, string];
  await rename(mirror, `${mirror}.away`);
  await writeFile(mirror, "not a folder: its disk is not there");
  await cp(node.dataDirectory, `${node.dataDirectory}.old`, { recursive: true });
  await node.start();
  {
    using client = await S3Client.of(node);
    await change(client, 3);
    const { alerts, members } = await look(node);
    expect(alerts).toContain(`Mirror ${mirror} is absent`);
    expect(members).toContain("absent");
    await countMembers(node, 2);
  }
  await node.stop();
  await rm(mirror);
  await rename(`${mirror}.away`, mirror);
  const inTurn = [
    async () => undefined,
    async () => {
      for (const path of await filesWith(mirror, "")) await zeroFile(path);
    },
    async () => {
      await rm(node.dataDirectory, { recursive: true });
      await rename(`${node.dataDirectory}.old`, node.dataDirectory);
    },
  ];
  for (const damage of inTurn) {
    await damage();
    await node.start();
    using client = await S3Client.of(node);
    await check(client, 3);
    await countMembers(node, 3);
    await node.stop();
  }
});

test("tails cut off every file of one member, logs included, and of the other after that", async () => {
  await using node = await filledNode();
  await node.start();
  {
    using client = await S3Client.of(node);
    await change(client, 4);
  }
  await node.kill(); // logs are left
  for (const [folder, keep] of [
    [node.dataDirectory, 0.7],
    [node.mirrors[1]!, 0],
  ] as const) {
    const files = await filesWith(folder, "");
    expect(files.length).toBeGreaterThan(4);
    for (const path of files) if ((await stat(path)).size > 0) await cutTail(path, keep);
    await node.start();
    using client = await S3Client.of(node);
    await check(client, 4);
    await node.kill();
  }
});
