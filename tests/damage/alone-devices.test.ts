/**
 * One device, no mirror: each region of the device damaged, with and without the index that knows better; the
 * device full; the key manager silent. Detected and said, never a wrong byte.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { open, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { kisekiJson } from "../support/cli.ts";
import { everyNth, flipBits, snapshot } from "../support/damage.ts";
import { editKeyStore } from "../support/key-store.ts";
import { NodeProcess, until } from "../support/node-process.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";

setDefaultTimeout(20_000);
const KiB = 1024;
const MiB = 1024 * KiB;
/** docs/formats/device.md; a device of 128 MiB has zones of 16 MiB. */
const place = { superblocks: [0, 60 * KiB], zone: 64 * KiB, zoneSize: 16 * MiB };
let node: NodeProcess;
let kept: Awaited<ReturnType<typeof snapshot>>;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0 });
  using client = await S3Client.of(node);
  await putSamples(client);
  await node.stop();
  kept = await snapshot([node.dataDirectory, node.configDirectory]);
});
afterAll(() => node[Symbol.asyncDispose]());

/** Samples that read right; 0 when the node does not start. Wrong bytes and denied names throw. */
async function countRight(): Promise<number> {
  if (await node.tryStart()) return 0;
  using client = await S3Client.of(node);
  const { right, failed } = await readSamples(client);
  if (right < sampleCount) expect(failed.length).toBeGreaterThan(0);
  await node.stop();
  return right;
}

/** Bits of the device flipped for one start, without the index if it is to be rebuilt from them. */
async function rightWith(offsets: readonly number[], isIndexLost: boolean): Promise<number> {
  const device = node.devices[0]!;
  await flipBits(device, offsets);
  if (isIndexLost) await rm(join(node.dataDirectory, "fragment-index.db"));
  try {
    return await countRight();
  } finally {
    await flipBits(device, offsets);
    await kept.putBack();
  }
}

/** Where the first zone's summary begins, as its footer says. */
async function summaryOffset(): Promise<number> {
  await using file = await open(node.devices[0]!, "r");
  const footer = new DataView(new ArrayBuffer(128));
  await file.read(new Uint8Array(footer.buffer), 0, 128, place.zone + place.zoneSize - 4 * KiB);
  expect(footer.getUint32(0, true)).toBe(0x54465a4b); // "KZFT": the zone is full
  return place.zone + footer.getUint32(48, true);
}

test("superblocks and size: one copy is enough, else the device is refused by name", async () => {
  const device = node.devices[0]!;
  const [first, second] = place.superblocks as [number, number];
  await flipBits(device, [first + 20]);
  expect(await countRight()).toBe(sampleCount); // a start writes both
  await flipBits(device, [first + 20, second + 20]);
  const before = node.output.length;
  expect(await countRight()).toBe(0);
  expect(node.output.slice(before)).toContain(`${device}: its superblocks are unusable`);
  await flipBits(device, [first + 20, second + 20]);
  await truncate(device, 100 * MiB);
  expect(await countRight()).toBe(0);
  expect(node.output.slice(before)).toContain(`${device}: it has ${100 * MiB} bytes`);
  await truncate(device, 128 * MiB); // behind the zones in use there were zeros
  expect(await countRight()).toBe(sampleCount);
  await kept.putBack();
});

test("zone header, summary and footer: the records speak for themselves", async () => {
  const summary = await summaryOffset();
  const footer = place.zone + place.zoneSize - 4 * KiB;
  for (const offset of [place.zone + 9, summary + 100, footer + 20]) {
    expect([offset, await rightWith([offset], true)]).toEqual([offset, sampleCount]);
  }
});

test("records: the object that a damaged header or payload belongs to is refused, no other", async () => {
  const record = place.zone + 4 * KiB;
  for (const [offset, isIndexLost] of [
    [record + 50, true],
    [record + 192 + 10, true],
    [record + 192 + 10, false],
  ] as const) {
    const right = await rightWith([offset], isIndexLost);
    expect([offset, isIndexLost, right]).toEqual([offset, isIndexLost, sampleCount - 1]);
  }
});

test("flips all over, the index lost: only what is whole is served", async () => {
  const right = await rightWith(everyNth(500_009, place.zone + 5000, 20 * MiB), true);
  expect(right).toBeLessThan(sampleCount);
  expect(right).toBeGreaterThan(3);
});

test("the key manager is silent at the start: 503 by name, no harm, and all is right once it speaks", async () => {
  const silent = await editKeyStore(node, (database) => {
    const rows = database.query("SELECT tenant, epoch, sealed FROM internal_kek").values();
    database.run("DELETE FROM internal_kek");
    return rows;
  });
  expect(silent.length).toBe(1);
  await node.start();
  {
    using client = await S3Client.of(node);
    for (const method of ["GET", "PUT"]) {
      const answer = await client.call(method, "samples", "directory 0/size 100");
      expect(answer.status).toBe(503);
      expect(Buffer.from(answer.body).toString()).toContain("The key manager &quot;internal&quot;");
    }
    const [status] = await kisekiJson(["--config-dir", node.configDirectory, "status"]);
    expect(status).toMatchObject({ is_ready: false });
    expect(String(status!["alerts"])).toContain("key manager");
    expect((await fetch(`http://127.0.0.1:${node.metricsPort}/health/live`)).status).toBe(200);
  }
  await node.stop();
  const garble = (sealed: Uint8Array): Uint8Array =>
    sealed.map((byte, at) => byte ^ (at === 60 ? 1 : 0));
  const speak = (change: (sealed: Uint8Array) => Uint8Array) =>
    editKeyStore(node, (database) => {
      database.run("DELETE FROM internal_kek");
      const [tenant, epoch, sealed] = silent[0] as [Uint8Array, number, Uint8Array];
      database.run("INSERT INTO internal_kek VALUES (?, ?, ?)", [tenant, epoch, change(sealed)]);
    });
  await speak(garble);
  expect(await countRight()).toBe(0);
  await speak((sealed) => sealed);
  expect(await countRight()).toBe(sampleCount);
  await kept.putBack();
});

test("a full device: 507 early, what is there is read, deletes go on, and writes after them", async () => {
  await using small = await NodeProcess.started(
    { devices: 1, mirrors: 0 },
    { environment: { KISEKI_GC_INTERVAL_S: "1" } },
  );
  using client = await S3Client.of(small);
  await client.createBucket("samples");
  const size = 4 * MiB;
  let stored = 0;
  for (; stored < 40; stored += 1) {
    const answer = await client.call("PUT", "samples", `${stored}`, {
      body: content(`full ${stored}`, size),
    });
    if (answer.status === 200) continue;
    expect([stored, answer.status]).toEqual([stored, 507]);
    break;
  }
  expect(stored).toBeGreaterThan(10);
  expect(stored * size).toBeLessThan(128 * MiB - 2 * place.zoneSize); // early: there is room to work in
  const [status] = await kisekiJson(["--config-dir", small.configDirectory, "status"]);
  expect(String(status!["alerts"])).toContain("space is critical");
  const answer = await client.call("PUT", "samples", "small", { body: "one more" });
  expect(answer.status).toBe(507);
  for (let at = 0; at < stored; at += 1) {
    if (at % 5 !== 0) await client.delete("samples", `${at}`);
    else
      expect(digest((await client.get("samples", `${at}`))!)).toBe(
        digest(content(`full ${at}`, size)),
      );
  }
  await until("writes are taken again", async () => {
    const { status } = await client.call("PUT", "samples", "after", {
      body: content("after", size),
    });
    return status === 200;
  });
  expect(digest((await client.get("samples", "after"))!)).toBe(digest(content("after", size)));
  await small.kill();
});
