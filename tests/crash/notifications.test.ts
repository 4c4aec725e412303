/**
 * A node under load is killed while its webhook flaps: every acknowledged change of a subscribed bucket arrives, at
 * least once, and those of a key in their order.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { NodeProcess, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { chance } from "../support/workload.ts";
import { Webhook } from "../support/webhook.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 1e9));
const kills = 2;

const configuration = `<NotificationConfiguration><QueueConfiguration><Queue>arn:kiseki:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>`;

/** Puts and deletes until the node dies; keeps what was acknowledged as `event key`. */
async function load(
  node: NodeProcess,
  name: string,
  dice: () => number,
  acknowledged: string[],
): Promise<void> {
  using s3 = await S3Client.of(node);
  for (let i = 0; ; i++) {
    const key = `${name} ${i}`;
    try {
      await s3.put("watched", key, "x".repeat(1 + Math.floor(dice() * 6000)));
      acknowledged.push(`ObjectCreated:Put ${key}`);
      if (dice() < 0.7) continue;
      await s3.delete("watched", key);
      acknowledged.push(`ObjectRemoved:Delete ${key}`);
    } catch {
      return; // it was killed
    }
  }
}

test(`kills under load lose no event of a flapping webhook (KISEKI_SIM_SEED=${seed})`, async () => {
  const dice = chance(seed);
  await using hook = new Webhook();
  await using node = await NodeProcess.create({ devices: 1, mirrors: 1, deviceSize: "192MiB" });
  const targets = join(node.directory, "targets.json");
  /** How long an answer is waited for. */
  const setPatience = (seconds: number): Promise<void> => {
    const target = { id: "hook", type: "webhook", url: hook.url, timeout_s: seconds };
    return writeFile(targets, JSON.stringify({ targets: [target] }));
  };
  await setPatience(0.3); // for those that never come
  const words = ["--notification-targets", targets, "--notification-retry-max-s", "1"];
  const acknowledged: string[] = [];
  for (let round = 0; round < kills; round++) {
    await node.start({ words });
    if (round === 0) {
      using s3 = await S3Client.of(node);
      await s3.createBucket("watched");
      const query = { notification: "" };
      const set = await s3.call("PUT", "watched", "", { query, body: configuration });
      expect(set.status).toBe(200);
      hook.answer = () => (dice() < 0.6 ? 200 : dice() < 0.8 ? 503 : undefined);
    }
    const before = acknowledged.length;
    const clients = [1, 2, 3, 4].map((n) => load(node, `r${round} c${n}`, dice, acknowledged));
    const enough = before + 20 + Math.floor(dice() * 40);
    await until(`${enough} changes are acknowledged`, () => acknowledged.length >= enough);
    await node.kill();
    await Promise.all(clients);
  }
  hook.answer = () => 200;
  await setPatience(10);
  await node.start({ words });
  const arrived = (): Set<string> => new Set(hook.told.map(({ event, key }) => `${event} ${key}`));
  await until("every acknowledged change has arrived", () => {
    const got = arrived();
    return acknowledged.every((each) => got.has(each));
  });
  const firstOf = new Map<string, number>();
  for (const [at, { event, key }] of hook.told.entries()) {
    if (!firstOf.has(`${event} ${key}`)) firstOf.set(`${event} ${key}`, at);
  }
  for (const each of acknowledged.filter((name) => name.startsWith("ObjectRemoved"))) {
    const key = each.slice("ObjectRemoved:Delete ".length);
    expect(firstOf.get(`ObjectCreated:Put ${key}`)).toBeLessThan(firstOf.get(each)!);
  }
  expect(hook.told.length).toBeGreaterThanOrEqual(acknowledged.length);
}, 20_000);
