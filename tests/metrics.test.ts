/** Port 9090 of a built node: health, metrics and the status page, and the token that opens them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeProcess, until } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

const token = "a token of this test";
const secretName = "a name that no page shows";
let node: NodeProcess;

beforeAll(async () => {
  node = await NodeProcess.create({ devices: 1, mirrors: 1 });
  const path = join(node.directory, "token");
  await writeFile(path, `${token}\n`, { mode: 0o600 });
  await node.start({ words: ["--metrics-token-file", path] });
  using client = await S3Client.of(node);
  await client.createBucket("metrics");
  await client.put("metrics", secretName, "content");
  await client.get("metrics", secretName);
}, 20_000);
afterAll(() => node[Symbol.asyncDispose]());

const ask = (path: string, given?: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${node.metricsPort}${path}`, {
    headers: given === undefined ? {} : { authorization: given },
  });
const read = async (path: string): Promise<string> => (await ask(path, `Bearer ${token}`)).text();

test("where a token is set nothing is said without it", async () => {
  for (const path of ["/", "/metrics", "/health", "/health/live", "/health/ready"]) {
    const given = [undefined, "", token, `Bearer ${token}x`, `Bearer ${token.slice(1)}`];
    const answers = await Promise.all(given.map((one) => ask(path, one)));
    expect([path, ...answers.map(({ status }) => status)]).toEqual([path, ...given.map(() => 401)]);
    expect((await ask(path, `Bearer ${token}`)).status).toBe(200);
  }
});

test("health tells live and ready apart, and counts devices", async () => {
  expect(JSON.parse(await read("/health/live"))).toEqual({ live: true });
  expect(JSON.parse(await read("/health/ready"))).toMatchObject({
    ready: true,
    devices: 1,
    healthy: 1,
  });
});

/** Of spec §11.2, what one node has. */
const names = [
  "kiseki_chunk_write_bytes_total",
  "kiseki_chunk_read_bytes_total",
  "kiseki_chunk_persistent_write_phase_duration_seconds",
  "kiseki_gateway_requests_total",
  "kiseki_gateway_request_duration_seconds",
  "kiseki_gateway_get_phase_duration_seconds",
  "kiseki_gateway_put_phase_duration_seconds",
  "kiseki_pool_capacity_total_bytes",
  "kiseki_pool_capacity_used_bytes",
  "kiseki_shard_delta_count",
];

test("metrics have the specification's names, and no name of an object or bucket", async () => {
  const text = await read("/metrics");
  expect(names.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
  expect(text).toMatch(/^kiseki_gateway_requests_total\{.*\} [1-9]/m);
  expect(text).not.toContain(secretName);
});

test("the status page shows rates, latencies, capacity, devices and mirrors", async () => {
  let page = "";
  const hasRates = async (): Promise<boolean> => {
    page = await read("/");
    return !page.includes("The first figures come in a few seconds.");
  };
  await until("the first figures are there", hasRates);
  for (const what of ["stored", "read", "p50", "p99", "capacity", "healthy", "Devices", "Mirrors"])
    expect(page).toContain(what);
  expect(page).toContain(node.mirrors[0]!);
  expect(page).not.toContain(secretName);
});
