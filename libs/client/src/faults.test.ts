import { afterAll, beforeAll, expect, test } from "bun:test";
import { newBytes, prngFromSeed } from "@kiseki/base";
import type { Datapath } from "@kiseki/ports";
import {
  crypto,
  file,
  isStored,
  openArena,
  openAt,
  readFile,
  writeFile,
} from "./bed.test-helper.ts";
import { FaultyProxy, type Weather } from "./faulty-proxy.test-helper.ts";
import type { Client } from "./index.ts";
import { TestNode } from "./test-node.test-helper.ts";

let datapath: Datapath;
beforeAll(() => {
  datapath = openArena();
});
afterAll(() => datapath[Symbol.asyncDispose]());

const deadlineMs = 2_000;
/** How long after its deadline an operation may end: the machine is shared. */
const graceMs = 3_000;
const source = prngFromSeed(9).fill(newBytes(700_000));

interface Place extends AsyncDisposable {
  readonly node: TestNode;
  readonly client: Client;
  readonly proxies: readonly FaultyProxy[];
}
/** A client that reaches its node through two proxies. */
async function openPlace(isBulkTls: boolean): Promise<Place> {
  await using building = new AsyncDisposableStack();
  const node = building.use(await TestNode.open(crypto, isBulkTls));
  const target = (port: number) => ({ host: "127.0.0.1", port });
  const rpc = building.use(await FaultyProxy.open(target(node.rpcPort), 0));
  const bulk = building.use(await FaultyProxy.open(target(node.bulkPort), 0));
  node.bulkEndpoint = `127.0.0.1:${bulk.port}`;
  const seeds = `127.0.0.1:${rpc.port}`;
  const client = building.use(await openAt(datapath, node, { seeds, deadlineMs }));
  const owned = building.move();
  return {
    node,
    client,
    proxies: [rpc, bulk],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One operation of each sort; answers the codes of those that were refused. */
async function tryAll(client: Client): Promise<readonly string[]> {
  const began = performance.now();
  const plan = client.files.plan(file, 0, source.byteLength);
  const applied = client.files.apply({ kind: "truncate", file, size: 7 });
  const written = await client.content.write(file, source);
  const answers = [await plan, await applied, isStored(written) ? undefined : written];
  expect(performance.now() - began).toBeLessThan(deadlineMs + graceMs);
  return answers.flatMap((answer) => (answer?.kind === "refused" ? [answer.code] : []));
}

const weathers: readonly (readonly [Weather, isPassable: boolean])[] = [
  [{ kind: "slow", delayMs: 20 }, true],
  [{ kind: "black_hole" }, false],
  [{ kind: "reset" }, false],
  [{ kind: "lossy", size: 5 }, false],
];

for (const isBulkTls of [false, true]) {
  for (const [weather, isPassable] of weathers) {
    test(`${weather.kind}, bulk TLS ${isBulkTls}: operations end in time, and go on when it is fair again`, async () => {
      await using place = await openPlace(isBulkTls);
      const { client, proxies, node } = place;
      await writeFile(client, source);
      for (const proxy of proxies) proxy.weather = weather;
      const codes = await tryAll(client);
      for (const code of codes) expect(["unreachable", "session_expired"]).toContain(code);
      if (isPassable) expect(codes).toEqual([]);
      else if (weather.kind !== "lossy") expect(codes.length).toBe(3);
      for (const proxy of proxies) proxy.weather = { kind: "fair" };
      const until = performance.now() + 8_000;
      while ((await tryAll(client)).length > 0) expect(performance.now()).toBeLessThan(until);
      expect(Buffer.compare(await readFile(client, 0, source.byteLength), source)).toBe(0);
      expect(node.applied.filter((name) => name === "write").length).toBe(1);
    });
  }
}

test("a connection that is cut in the middle of transfers costs them time, and nothing else", async () => {
  await using place = await openPlace(false);
  const { client, proxies, node } = place;
  const cutting = setInterval(() => proxies[1]!.cut(), 60);
  try {
    for (let round = 0; round < 5; round++) {
      node.file = [];
      await writeFile(client, source);
      expect(Buffer.compare(await readFile(client, 0, source.byteLength), source)).toBe(0);
    }
  } finally {
    clearInterval(cutting);
  }
});

test("nodes that are lost cost the first operation its deadline, and the next ones a tenth", async () => {
  await using place = await openPlace(false);
  const { client, proxies } = place;
  for (const proxy of proxies) proxy.weather = { kind: "black_hole" };
  const timed = async (): Promise<number> => {
    const began = performance.now();
    const refused = await client.files.attributes(file);
    expect(refused).toEqual({ kind: "refused", code: "unreachable" });
    return performance.now() - began;
  };
  expect(await timed()).toBeGreaterThan(deadlineMs * 0.5);
  expect(await timed()).toBeLessThan(deadlineMs * 0.5);
  for (const proxy of proxies) proxy.weather = { kind: "fair" };
  const until = performance.now() + 8_000;
  while ((await client.files.plan(file, 0, 1)).kind === "refused") {
    expect(performance.now()).toBeLessThan(until);
  }
  for (const proxy of proxies) proxy.weather = { kind: "black_hole" };
  expect(await timed()).toBeGreaterThan(deadlineMs * 0.5);
});

test("many operations at once end in time too when nobody answers, whatever they wait for", async () => {
  await using place = await openPlace(false);
  const { client, proxies } = place;
  await writeFile(client, source);
  const plan = await client.files.plan(file, 0, source.byteLength);
  if (plan.kind === "refused" || plan.pieces[0]?.kind !== "chunk") throw new Error("no plan");
  const piece = plan.pieces[0];
  for (const proxy of proxies) proxy.weather = { kind: "black_hole" };
  const began = performance.now();
  const all = Array.from({ length: 200 }, (_, at) => {
    if (at % 3 === 0) return client.files.attributes(file);
    if (at % 3 === 1) return client.files.apply({ kind: "truncate", file, size: at });
    return client.content.read(piece, 0, newBytes(piece.length));
  });
  for (const answer of await Promise.all(all)) expect(answer.kind).toBe("refused");
  expect(performance.now() - began).toBeLessThan(2 * deadlineMs + graceMs);
});
