import { expect, test } from "bun:test";
import { bytes, newBytes } from "@kiseki/base";
import { openMetrics } from "@kiseki/telemetry";
import { HealthWatch, type WatchedParts } from "./watch-health.ts";

type Pools = ReturnType<WatchedParts["pools"]>;
type Members = ReturnType<WatchedParts["members"]>;

function bed() {
  const metrics = openMetrics();
  const lines: string[] = [];
  const note =
    (level: string) =>
    ({ what, state }: Readonly<Record<string, unknown>>): void =>
      void lines.push(`${level} ${what} ${state}`);
  const log = {
    debug: note("debug"),
    info: note("info"),
    warn: note("warn"),
    error: note("error"),
  };
  const device = {
    id: newBytes(16),
    path: "/d",
    state: "healthy",
    size: bytes(10),
    used: bytes(4),
  };
  const store = { devices: [device], capacity: "healthy", profile: { data: 1, parity: 0 } };
  const set = { members: [{ directory: "/m", state: "copied" }], healedPages: 0 };
  const watch = new HealthWatch({
    metrics,
    log,
    pools: () => [{ number: 0, name: "default", status: store }] as unknown as Pools,
    members: () => set as unknown as Members,
  });
  return { metrics, lines, device, store, set, watch };
}

test("HealthWatch says each change once, and shows the state of every device in one gauge", async () => {
  const { metrics, lines, device, store, set, watch } = bed();
  watch.look();
  watch.look();
  expect(lines).toEqual([]);
  device.state = "failed";
  store.capacity = "critical";
  set.members[0]!.state = "lost";
  set.healedPages = 3;
  watch.look();
  watch.look();
  expect(lines).toEqual([
    "warn device failed",
    "warn space of the devices critical",
    "warn mirror lost",
  ]);
  const values = await metrics.read();
  const id = "00000000-0000-0000-0000-000000000000";
  const gauge = (state: string) => values.get(`kiseki_device_state{device=${id},state=${state}}`);
  expect(["healthy", "failed", "missing"].map(gauge)).toEqual([0, 1, 0]);
  expect(values.get("kiseki_mirror_members")).toBe(0);
  expect(values.get("kiseki_mirror_pages_healed_total")).toBe(3);
  expect(values.get("kiseki_pool_capacity_used_bytes{pool=default}")).toBe(4);
  device.state = "healthy";
  watch.look();
  expect(lines.at(-1)).toBe("info device healthy");
});

test("HealthWatch says at its first look what is not well", () => {
  const { lines, device, watch } = bed();
  device.state = "missing";
  watch.look();
  expect(lines).toEqual(["warn device missing"]);
});
