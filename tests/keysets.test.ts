/**
 * Keysets in motion on a real node, under load: nothing acknowledged is lost while a tenant is rekeyed,
 * what was stored follows, and the old keyset goes. Keys that wrap are rotated on the way.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { kiseki, kisekiJson } from "./support/cli.ts";
import { NodeProcess } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

setDefaultTimeout(20_000);

test("encryption rekey under load: every acknowledged object is read back, and keyset 1 goes", async () => {
  await using node = await NodeProcess.started(
    { devices: 1, mirrors: 1, deviceSize: "128MiB" },
    { environment: { KISEKI_GC_INTERVAL_S: "1" } },
  );
  const words = ["--config-dir", node.configDirectory];
  using s3 = await S3Client.of(node);
  expect((await kiseki([...words, "bucket", "create", "papers"])).code).toBe(0);
  const acknowledged = new Map<string, string>();
  const write = async (key: string, size: number): Promise<void> => {
    const body = `${key} `.repeat(Math.ceil(size / (key.length + 1)));
    const { status } = await s3.call("PUT", "papers", key, { body });
    if (status === 200) acknowledged.set(key, body);
    else expect(status).toBe(503); // may be tried again
  };
  for (let n = 0; n < 10; n++) await write(`before/${n}`, n < 7 ? 500 : 300_000);
  const key = Buffer.alloc(32, 0x5c);
  const headers = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": key.toString("base64"),
    "x-amz-server-side-encryption-customer-key-md5": createHash("md5").update(key).digest("base64"),
  };
  const own = "under a customer's key ".repeat(5000);
  expect((await s3.call("PUT", "papers", "own", { body: own, headers })).status).toBe(200);
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver; n++) await write(`during/${n}`, n % 5 === 0 ? 100_000 : 900);
  })();
  expect(await kisekiJson([...words, "encryption", "rekey"])).toEqual([{ keyset: 2 }]);
  const [master] = await kisekiJson([...words, "encryption", "rotate-master"]);
  expect(master).toEqual({ epoch: 2 });
  expect((await kiseki([...words, "encryption", "rotate-kek"])).code).toBe(0);
  isOver = true;
  await writing;
  for (;;) {
    const keysets = await kisekiJson([...words, "encryption", "keysets"]);
    expect(keysets[0]).toMatchObject({ keyset: 2, is_current: true });
    if (keysets.length === 1) break;
    await Bun.sleep(200);
  }
  await node.kill();
  await node.start({ environment: { KISEKI_GC_INTERVAL_S: "1" } });
  using again = await S3Client.of(node);
  for (const [key, body] of acknowledged) {
    const answer = await again.call("GET", "papers", key);
    expect([key, answer.status, Buffer.from(answer.body).toString() === body]).toEqual([
      key,
      200,
      true,
    ]);
  }
  const kept = await again.call("GET", "papers", "own", { headers });
  expect(Buffer.from(kept.body).toString()).toBe(own);
  const files = readdirSync(node.dataDirectory).filter((file) => /^shard-.*\.db$/.test(file));
  expect(files.map((file) => /-k\d+/.exec(file)?.[0])).toEqual(["-k2"]);
  expect((await kiseki([...words, "encryption", "rekey", "--tenant", "nobody"])).code).toBe(1);
});
