import { expect, test } from "bun:test";
import { type Millis, newBytes, prngFromSeed, tenantId, toUuid } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { Readers } from "../shard/readers.ts";
import { NativeRefusal } from "./failure.ts";
import { identityOf, tenantOfPeer } from "./identity.ts";
import { PlanLeases, planLeaseMs } from "./plan-leases.ts";
import { NativeSessions } from "./sessions.ts";

let now = 0;
const clock = { monotonic: () => now as Millis } as Clock;
const tenant = tenantId(newBytes(16).fill(1));
const other = tenantId(newBytes(16).fill(2));
const client = newBytes(16).fill(7);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (reason) {
    return reason instanceof NativeRefusal ? reason.code : String(reason);
  }
  return "done";
};

test("NativeSessions: a session lives while it is used, and its end is told once", () => {
  now = 0;
  const ended: string[] = [];
  const sessions = new NativeSessions(clock, prngFromSeed(1), (session, isLogged) =>
    ended.push(`${session.signal.aborted} ${isLogged}`),
  );
  const { id, signal } = sessions.open(tenant, client, "token");
  now += 29_999;
  sessions.sweep(now as Millis);
  expect(sessions.use(id, "token").clientId).toEqual(client);
  now += 29_999;
  expect(codeOf(() => sessions.use(id, "token"))).toBe("done");
  now += 30_000;
  expect(codeOf(() => sessions.use(id, "token"))).toBe("session_expired");
  expect([signal.aborted, ended]).toEqual([false, []]); // the sweep ends it
  sessions.sweep(now as Millis);
  sessions.sweep(now as Millis);
  expect([signal.aborted, ended, sessions.count]).toEqual([true, ["true true"], 0]);
  expect(sessions.isOpen(tenant, client)).toBe(false);
});

test("NativeSessions: a client id is of one identity and tenant, and its newest session counts", () => {
  now = 0;
  const ended: boolean[] = [];
  const sessions = new NativeSessions(clock, prngFromSeed(1), (_, isLogged) =>
    ended.push(isLogged),
  );
  const first = sessions.open(tenant, client, "tenant a");
  expect(codeOf(() => sessions.open(tenant, client, "tenant b"))).toBe("forbidden");
  expect(codeOf(() => sessions.use(first.id, "tenant b"))).toBe("session_expired");
  expect(codeOf(() => sessions.open(tenant, newBytes(3), "tenant a"))).toBe("invalid");
  const elsewhere = sessions.open(other, client, "tenant b");
  const second = sessions.open(tenant, client, "tenant a");
  expect(ended).toEqual([false]); // the client goes on: the log keeps what it has
  expect(codeOf(() => sessions.use(first.id, "tenant a"))).toBe("session_expired");
  expect(codeOf(() => sessions.use(second.id, "tenant a"))).toBe("done");
  expect(codeOf(() => sessions.use(elsewhere.id, "tenant b"))).toBe("done");
  expect(codeOf(() => sessions.use(second.id.subarray(1), "tenant a"))).toBe("session_expired");
  sessions.close(second);
  sessions.close(second);
  expect([ended, sessions.count]).toEqual([[false, true], 1]);
});

test("PlanLeases: nothing that a plan may name goes before its lease is over, and then it may", async () => {
  now = 0;
  const plans = new PlanLeases(clock);
  const readers = new Readers();
  const settled = async (waiting: Promise<void>): Promise<boolean> =>
    Promise.race([waiting.then(() => true), Bun.sleep(5).then(() => false)]);
  const open = { id: tenant, readers };
  plans.hold(open);
  now = 4999;
  plans.hold(open);
  expect(readers.count).toBe(1); // plans made together share a place
  now = 5000;
  plans.hold(open);
  expect(readers.count).toBe(2);
  const waiting = readers.allLeft();
  now = 4999 + planLeaseMs;
  plans.sweep(now as Millis);
  expect(await settled(waiting)).toBe(false);
  now = 5000 + 5000 + planLeaseMs + 2000;
  plans.sweep(now as Millis);
  expect(await settled(waiting)).toBe(true);
  plans.hold(open);
  plans[Symbol.dispose]();
  expect(readers.count).toBe(0);
});

test("tenantOfPeer() gives nobody another tenant's files", () => {
  const tenants = [
    { id: tenant, name: "acme" },
    { id: other, name: "other" },
  ];
  const catalog = { tenants: () => tenants } as unknown as Parameters<typeof tenantOfPeer>[0];
  const certificate = (...units: string[]) =>
    ({ kind: "certificate", units, uris: [], isTenant: true }) as const;
  const of = (peer: Parameters<typeof tenantOfPeer>[2], asked = ""): unknown => {
    let found: unknown;
    const code = codeOf(() => (found = tenantOfPeer(catalog, tenant, peer, asked)));
    return code === "done" ? found : code;
  };
  expect(of({ kind: "token" })).toEqual(tenant);
  expect(of({ kind: "local" }, "other")).toEqual(other);
  expect(of({ kind: "token" }, toUuid(other))).toEqual(other);
  expect(of({ kind: "token" }, "nobody")).toBe("forbidden");
  expect(of(certificate("tenant-other"))).toEqual(other);
  expect(of(certificate(`tenant-${toUuid(other)}`), "other")).toEqual(other);
  expect(of(certificate("tenant-other"), "acme")).toBe("forbidden");
  expect(of(certificate("tenant-nobody"))).toBe("forbidden");
  expect(of(certificate("people"))).toBe("forbidden");
  expect(of(certificate("tenant-acme", "tenant-other"))).toBe("forbidden");
  expect([identityOf(certificate("tenant-other")), identityOf({ kind: "token" })]).toEqual([
    "tenant other",
    "token",
  ]);
});
