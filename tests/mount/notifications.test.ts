/** A bucket that subscribed tells its webhook of what a mount does. */
import {
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { NodeProcess, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { Webhook } from "../support/webhook.ts";
import { hasFuse, KisekiMount } from "./kiseki-mount.ts";

const configuration = `<NotificationConfiguration><QueueConfiguration><Queue>arn:kiseki:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>`;

test.skipIf(!hasFuse)(
  "a webhook hears of files that a mount writes, renames and removes",
  async () => {
    await using hook = new Webhook();
    await using node = await NodeProcess.create({ devices: 1, mirrors: 0 });
    const targets = join(node.directory, "targets.json");
    const target = { id: "hook", type: "webhook", url: hook.url };
    await writeFile(targets, JSON.stringify({ targets: [target] }));
    await node.start({ words: ["--notification-targets", targets] });
    using s3 = await S3Client.of(node);
    await s3.createBucket("watched");
    await s3.expect("PUT", "watched", "", { query: { notification: "" }, body: configuration });
    await using mount = await KisekiMount.start(node, {
      namespace: "watched",
      options: "meta_ttl_ms=0", // others' changes, and what is held, at once
    });
    const file = openSync(mount.path("é"), "w");
    for (let turn = 0; turn < 3; turn += 1) {
      writeSync(file, "some bytes");
      fsyncSync(file);
    }
    closeSync(file);
    renameSync(mount.path("é"), mount.path("renamed"));
    writeFileSync(mount.path("renamed"), "over");
    unlinkSync(mount.path("renamed"));
    await until(
      "all has come",
      () =>
        hook.told.at(-1)?.event === "ObjectRemoved:Delete" && hook.told.at(-1)?.key === "renamed",
    );
    /** In their order, each once: how often a file is told of before its close depends on when it is held. */
    const eventsOf = (key: string): readonly string[] => [
      ...new Set(hook.told.filter((each) => each.key === key).map(({ event }) => event)),
    ];
    expect(eventsOf("é")).toEqual(["ObjectCreated:Put", "ObjectRemoved:Delete"]);
    expect(eventsOf("renamed")).toEqual([
      "ObjectCreated:Copy",
      "ObjectCreated:Put",
      "ObjectRemoved:Delete",
    ]);
  },
  20_000,
);
