import { expect, test } from "bun:test";
import { newBytes } from "@kiseki/base";
import type { DiscoverResponse } from "@kiseki/rpc";
import { Health } from "./health.ts";
import { readRoutes } from "./routes.ts";
import { hostPortText, parseSeeds } from "./seeds.ts";

test("parseSeeds() reads names and addresses, with the data port where none is named", () => {
  const seeds = parseSeeds("node1:9100, node2 ,10.0.0.3:80,[::1]:9101,[fe80::1],");
  expect(seeds.map(hostPortText)).toEqual([
    "node1:9100",
    "node2:9100",
    "10.0.0.3:80",
    "[::1]:9101",
    "[fe80::1]:9100",
  ]);
});

test("parseSeeds() refuses what is none", () => {
  const odd = ["", ",", "a:0", "a:65536", "a:b", "::1", "https://a", "a/b:1", "u@h:1", "[a:1"];
  for (const text of [...odd, Array.from({ length: 65 }, () => "a").join(",")]) {
    expect(() => parseSeeds(text), text).toThrow(RangeError);
  }
});

test("Health: five failures in half a minute make an address unhealthy, and it is probed now and then", () => {
  const health = new Health();
  for (const now of [0, 10_000, 20_000, 29_000]) health.failed(now);
  expect(health.mayTry(29_000)).toBe(true);
  health.failed(31_000); // the first is forgotten
  expect(health.mayTry(31_000)).toBe(true);
  health.failed(32_000);
  expect(health.mayTry(41_999)).toBe(false);
  expect(health.mayTry(42_000)).toBe(true);
  health.failed(42_000);
  expect(health.mayTry(51_000)).toBe(false);
  health.succeeded();
  expect(health.mayTry(51_000)).toBe(true);
});

const asked = { host: "seed", port: 9100 };
function answer(change: object): DiscoverResponse {
  const usual = { shards: [], clusterId: newBytes(16).fill(1), protocol: 1, ttlMs: 5_000 };
  return { ...usual, ...change } as unknown as DiscoverResponse;
}
const row = (endpoint: string, shardId = newBytes(0)) => ({ endpoint, shardId });

test("readRoutes() takes the row of every shard first, and the seed for an owner without a place", () => {
  const own = newBytes(16).fill(7);
  const shards = [row("https://b:9100", own), row("https://[::1]:9200/")];
  expect(readRoutes(answer({ shards }), asked)?.owners.map(hostPortText)).toEqual([
    "[::1]:9200",
    "b:9100",
  ]);
  for (const none of [{}, { shards: [row("")] }]) {
    expect(readRoutes(answer(none), asked)?.owners).toEqual([asked]);
  }
});

test("readRoutes() believes no odd answer, and no odd TTL", () => {
  for (const change of [
    { clusterId: newBytes(3) },
    { protocol: 0 },
    { shards: [row("http://a:1")] },
    { shards: [row("https://a:1/path")] },
  ]) {
    expect(readRoutes(answer(change), asked)).toBeUndefined();
  }
  const ttlOf = (ttlMs: number) => readRoutes(answer({ ttlMs }), asked)?.ttlMs;
  expect([ttlOf(0), ttlOf(7_000), ttlOf(2 ** 31)]).toEqual([1_000, 7_000, 3_600_000]);
});
