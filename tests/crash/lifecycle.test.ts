// Goal: a node that dies in the middle of a lifecycle round loses nothing that should stay, and ends the round
// after the next start.
// Method: rules with days of a second; the node kills itself right after a step has deleted, before it has noted
// how far it is, once or twice; then every object is read. A versioned bucket beside it keeps what is current.
import { expect, test } from "bun:test";
import { kisekiJson } from "../support/cli.ts";
import { NodeProcess, until } from "../support/node-process.ts";
import { BrokenConnectionError } from "../support/raw-http.ts";
import { content, S3Client, xmlValues } from "../support/s3-client.ts";

const words = ["--lifecycle-day-seconds", "1", "--gc-interval-s", "1"];
const killed = { code: null, signal: "SIGKILL" };
const count = 120;
const sizes = [10, 5000];

const rule = (inner: string): string => `<Rule><Status>Enabled</Status>${inner}</Rule>`;
const expireX = rule("<Filter><Prefix>x/</Prefix></Filter><Expiration><Days>1</Days></Expiration>");
const removeOld = rule(
  "<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
);

async function putMany(s3: S3Client, bucket: string, prefix: string, salt: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      s3.put(bucket, `${prefix}/${i}`, content(`${salt + i}`, sizes[i % sizes.length]!)),
    ),
  );
}
async function setRules(s3: S3Client, bucket: string, rules: string): Promise<void> {
  const body = `<LifecycleConfiguration>${rules}</LifecycleConfiguration>`;
  await s3.expect("PUT", bucket, "", { query: { lifecycle: "" }, body });
}
async function checkAll(s3: S3Client, bucket: string, prefix: string, salt: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const body = await s3.get(bucket, `${prefix}/${i}`);
    expect(Buffer.from(body ?? []).equals(content(`${salt + i}`, sizes[i % sizes.length]!))).toBe(
      true,
    );
  }
}

test("killed in the middle of a lifecycle round, the node ends it after the next start and keeps the rest", async () => {
  await using node = await NodeProcess.create({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  const start = (failpoint?: string) =>
    node.tryStart({ words, ...(failpoint && { environment: { KISEKI_FAILPOINT: failpoint } }) });
  expect(await start("lifecycle-acted:1")).toBeUndefined();
  {
    using s3 = await S3Client.of(node);
    await s3.createBucket("plain");
    await s3.createBucket("versions");
    const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    await s3.expect("PUT", "versions", "", { query: { versioning: "" }, body });
    await putMany(s3, "plain", "keep", 1000);
    await putMany(s3, "plain", "x", 3000);
    await putMany(s3, "versions", "v", 5000);
    await putMany(s3, "versions", "v", 7000);
    try {
      await setRules(s3, "versions", removeOld);
      await setRules(s3, "plain", expireX);
    } catch (reason) {
      if (!(reason instanceof BrokenConnectionError)) throw reason; // it may die at once
    }
  }
  expect(await node.ended()).toEqual(killed);
  const ending = await start("lifecycle-acted:2");
  if (ending === undefined) expect(await node.ended()).toEqual(killed);
  else expect(ending).toEqual(killed);

  await node.start({ words });
  using s3 = await S3Client.of(node);
  await setRules(s3, "plain", expireX); // the first death may have come before they were set
  const isOver = async (): Promise<boolean> => {
    const plain = [...(await s3.list("plain")).keys()];
    const query = { versions: "", "max-keys": "1000" };
    const { body } = await s3.expect("GET", "versions", "", { query });
    return plain.length === count && xmlValues(body, "VersionId").length === count;
  };
  await until("both rounds are over", isOver);
  await checkAll(s3, "plain", "keep", 1000);
  await checkAll(s3, "versions", "v", 7000);
  const status = await kisekiJson(["--config-dir", node.configDirectory, "lifecycle", "status"]);
  expect(status.map(({ bucket, rule_count: rules }) => [bucket, rules])).toEqual([
    ["plain", 1],
    ["versions", 1],
  ]);
  expect(await node.metrics()).toMatch(/kiseki_lifecycle_actions_total\{action="removed"\} [1-9]/);
}, 20_000);
