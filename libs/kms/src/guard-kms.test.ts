import { expect, test } from "bun:test";
import { newBytes, prngFromSeed, tenantId } from "@kiseki/base";
import { type Kms, KmsError } from "@kiseki/ports";
import { FaultyKms, ManualClock } from "./contract.ts";
import { GuardedKms } from "./guard-kms.ts";
import {
  type BreakerEvent,
  breakerTransition,
  type TenantEvent,
  tenantTransition,
} from "./lifecycle.ts";
import { ttlLimits, ttlMax, ttlMin } from "./ttl.ts";

const never = new AbortController().signal;
const tenant = tenantId(newBytes(16).fill(1));
const other = tenantId(newBytes(16).fill(2));
const working: Kms = {
  provider: "working",
  provision: async () => undefined,
  wrap: async (_, plaintext) => plaintext.slice(),
  unwrap: async (_, wrapped) => wrapped.slice(),
  rotate: async () => "1",
  rewrap: async (_, wrapped) => wrapped.slice(),
  destroy: async () => ({ effectiveAt: 0 }),
  validate: async () => undefined,
};
function openWorld() {
  const clock = new ManualClock();
  const kms = new FaultyKms(working);
  return { clock, kms, guarded: new GuardedKms(clock, kms) };
}
const codeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
    return "answered";
  } catch (reason) {
    return reason instanceof KmsError ? reason.code : "other";
  }
};

test("GuardedKms refuses at once after five failures, and probes after 30 s", async () => {
  const { clock, kms, guarded } = openWorld();
  kms.fault = "unavailable";
  for (let i = 0; i < 5; i++) {
    expect(await codeOf(guarded.validate(tenant, never))).toBe("unavailable");
  }
  expect(await codeOf(guarded.wrap(tenant, newBytes(1), newBytes(0), never))).toBe("circuit_open");
  expect(kms.count("validate") + kms.count("wrap")).toBe(5);
  await clock.advance(29_999);
  expect(await codeOf(guarded.validate(tenant, never))).toBe("circuit_open");
  await clock.advance(1);
  expect(await codeOf(guarded.validate(tenant, never))).toBe("unavailable"); // the probe
  expect(await codeOf(guarded.validate(tenant, never))).toBe("circuit_open");
  expect(kms.count("validate")).toBe(6);
  await clock.advance(30_000);
  kms.fault = undefined;
  const gate = Promise.withResolvers<void>();
  kms.gate = gate.promise;
  const probe = codeOf(guarded.validate(tenant, never));
  expect(await codeOf(guarded.validate(tenant, never))).toBe("circuit_open"); // one probe at a time
  gate.resolve();
  expect(await probe).toBe("answered");
  expect(await codeOf(guarded.validate(tenant, never))).toBe("answered");
});
test("GuardedKms counts failures in a row, per tenant, and only outages", async () => {
  const { kms, guarded } = openWorld();
  for (let round = 0; round < 3; round++) {
    kms.fault = "timeout";
    for (let i = 0; i < 4; i++) await codeOf(guarded.validate(tenant, never));
    kms.fault = undefined;
    expect(await codeOf(guarded.validate(tenant, never))).toBe("answered");
  }
  kms.fault = "kek_destroyed";
  for (let i = 0; i < 10; i++) {
    expect(await codeOf(guarded.validate(tenant, never))).toBe("kek_destroyed");
  }
  kms.fault = "unavailable";
  for (let i = 0; i < 6; i++) await codeOf(guarded.validate(tenant, never));
  kms.fault = undefined;
  expect(await codeOf(guarded.validate(tenant, never))).toBe("circuit_open");
  expect(await codeOf(guarded.validate(other, never))).toBe("answered");
});
test("GuardedKms lets ten calls of a tenant in at once", async () => {
  const { kms, guarded } = openWorld();
  const gate = Promise.withResolvers<void>();
  kms.gate = gate.promise;
  const calls = Array.from({ length: 10 }, () => codeOf(guarded.validate(tenant, never)));
  expect(await codeOf(guarded.validate(tenant, never))).toBe("concurrency_limit");
  const elsewhere = codeOf(guarded.validate(other, never));
  gate.resolve();
  expect(new Set(await Promise.all([...calls, elsewhere]))).toEqual(new Set(["answered"]));
  expect(await codeOf(guarded.validate(tenant, never))).toBe("answered");
});
test("GuardedKms ends a silent call after 5 s, and its timer with every call", async () => {
  const { clock, kms, guarded } = openWorld();
  kms.fault = "silent";
  const call = codeOf(guarded.validate(tenant, never));
  await clock.advance(4_999);
  expect(clock.sleepers).toBe(1);
  await clock.advance(1);
  expect(await call).toBe("timeout");
  kms.fault = undefined;
  await guarded.validate(tenant, never);
  expect(clock.sleepers).toBe(0);
});
test("GuardedKms passes the caller's abort on and holds it against nobody", async () => {
  const { kms, guarded } = openWorld();
  kms.fault = "silent";
  for (let i = 0; i < 12; i++) {
    const abort = new AbortController();
    const call = guarded.validate(tenant, abort.signal);
    abort.abort(new Error("gone"));
    await expect(call).rejects.toThrow("gone");
  }
  kms.fault = undefined;
  expect(await codeOf(guarded.validate(tenant, never))).toBe("answered");
});
test("GuardedKms makes a driver's own error `unavailable`, its cause kept", async () => {
  const { kms, guarded } = openWorld();
  kms.fault = "crash";
  const call = guarded.validate(tenant, never);
  await expect(call).rejects.toMatchObject({ code: "unavailable", provider: "working" });
});

test("tenantTransition decides every cell; what is shredded stays so", () => {
  const states = Object.keys(tenantTransition) as (keyof typeof tenantTransition)[];
  const events = Object.keys(tenantTransition.closed) as TenantEvent[];
  expect([states.length, events.length]).toEqual([5, 8]);
  for (const state of states) {
    for (const event of events) {
      const next = tenantTransition[state][event];
      if (next !== null) expect(states).toContain(next);
      if (event === "shredded") expect(next).toBe("shredded");
      if (state === "shredded") expect(next === null || next === "shredded").toBe(true);
      if (event === "read_limit" || event === "lost") expect(next).not.toBe("open");
      if (next === "open" && state !== "open") expect(["opened", "validated"]).toContain(event);
    }
  }
});
test("breakerTransition decides every cell", () => {
  const states = Object.keys(breakerTransition) as (keyof typeof breakerTransition)[];
  const events = Object.keys(breakerTransition.shut) as BreakerEvent[];
  for (const state of states) {
    for (const event of events) expect(states).toContain(breakerTransition[state][event]);
    expect(breakerTransition[state].failed_last).toBe("open");
  }
});
test("ttlLimits() spreads a TTL by 10 %, bounds writes by 30 s, and never passes 300 s", () => {
  const prng = prngFromSeed(51);
  const reads = new Set<number>();
  for (let i = 0; i < 2_000; i++) {
    const limits = ttlLimits(prng, 60_000 as typeof ttlMin);
    reads.add(limits.read);
    expect(limits.read).toBeGreaterThanOrEqual(54_000);
    expect(limits.read).toBeLessThanOrEqual(66_000);
    expect([limits.write, limits.refresh]).toEqual([30_000, 15_000] as never[]);
  }
  expect(Math.min(...reads)).toBeLessThan(54_300);
  expect(Math.max(...reads)).toBeGreaterThan(65_700);
  const short = ttlLimits(prng, ttlMin);
  expect(short.write).toBe(short.read);
  for (let i = 0; i < 100; i++) expect(ttlLimits(prng, ttlMax).read).toBeLessThanOrEqual(ttlMax);
  expect(() => ttlLimits(prng, 4_999 as typeof ttlMin)).toThrow("Must hold");
});
