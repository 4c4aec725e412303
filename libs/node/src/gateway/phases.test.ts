import { expect, test } from "bun:test";
import { Bed } from "./bed.test-helper.ts";

test("a PUT and a GET are counted by their phases", async () => {
  await using bed = await Bed.open();
  const count = async (verb: "get" | "put", phase: string): Promise<number> => {
    const name = `kiseki_gateway_${verb}_phase_duration_seconds_count{phase=${phase}}`;
    return (await bed.metrics.read()).get(name) ?? 0;
  };
  const phases = [
    ["put", "encrypt"],
    ["put", "chunk_write"],
    ["put", "composition_record"],
    ["get", "composition_lookup"],
    ["get", "chunk_fetch"],
  ] as const;
  await bed.call(bed.main, "PUT", "/bucket");
  expect((await bed.call(bed.main, "PUT", "/bucket/key", { body: "content" })).status).toBe(200);
  expect((await bed.call(bed.main, "GET", "/bucket/key")).text).toBe("content");
  expect((await bed.call(bed.main, "HEAD", "/bucket/key")).status).toBe(200);
  const counts = await Promise.all(phases.map(([verb, phase]) => count(verb, phase)));
  expect(counts).toEqual([1, 1, 1, 2, 1]);
});

test("a stored chunk is counted by the phases of its write", async () => {
  await using bed = await Bed.open();
  const body = new Uint8Array(100_000).fill(7);
  await bed.call(bed.main, "PUT", "/bucket");
  expect((await bed.call(bed.main, "PUT", "/bucket/key", { body })).status).toBe(200);
  const read = await bed.metrics.read();
  const name = "kiseki_chunk_persistent_write_phase_duration_seconds_count";
  const phases = ["dedup_check", "extent_io", "device_sync", "save_meta"];
  const counts = phases.map((phase) => read.get(`${name}{phase=${phase}}`) ?? 0);
  expect(counts[0]).toBe(1);
  expect(counts[3]).toBe(1);
  expect(counts.every((count) => count > 0)).toBe(true);
});
