/** Rules applied to a node at work, by a worker whose clock is days ahead. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { assert, compareBytes, sameBytes, toUtf8, wallTime } from "@kiseki/base";
import {
  listVersions,
  lookupName,
  lookupNamespace,
  lookupSetting,
  type Operation,
} from "@kiseki/composition";
import { systemClock } from "@kiseki/host";
import type { Clock } from "@kiseki/ports";
import { calendarDay } from "@kiseki/s3";
import { openLogger } from "@kiseki/telemetry";
import { Bed } from "../gateway/bed.test-helper.ts";
import { newOperationId } from "../gateway/scope.ts";
import type { OpenTenant } from "../object/types.ts";
import { LifecycleWorker } from "./lifecycle-worker.ts";
import { decodeProgress } from "./progress.ts";

let bed: Bed;
let tenant: OpenTenant;
const never = new AbortController().signal;
beforeAll(async () => {
  bed = await Bed.open();
  tenant = await bed.node.openDefaultTenant(never);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const daysAhead = (days: number): Clock => ({
  monotonic: () => systemClock.monotonic(),
  realtime: () => wallTime(systemClock.realtime() + days * calendarDay.ms),
  sleep: (duration, signal) => systemClock.sleep(duration, signal),
});
interface WorkerOptions {
  readonly ratePerSecond?: number;
  /** Runs before each operation of the worker. */
  readonly before?: (operation: Operation) => Promise<void>;
  /** Operations that are refused as those of a busy shard are. */
  readonly refuse?: (operation: Operation) => boolean;
}
function workerAt(days: number, { ratePerSecond = 1e6, before, refuse }: WorkerOptions = {}) {
  const wrap = (found: OpenTenant): OpenTenant => ({
    ...found,
    owner: {
      epoch: found.owner.epoch,
      async submit(operation, id) {
        await before?.(operation);
        if (refuse?.(operation) === true) return { kind: "refused", code: "busy" };
        return found.owner.submit(operation, id);
      },
    },
  });
  return new LifecycleWorker({
    ports: { ...bed.node.ports, clock: daysAhead(days) },
    tenants: { open: async (...words) => wrap(await bed.node.tenants.open(...words)) },
    tenantIds: () => [bed.node.defaultTenant],
    log: openLogger("silent"),
    day: calendarDay,
    ratePerSecond,
  });
}

/** A round deletes in the buckets of other tests too. */
const isDeleteIn = (operation: Operation, bucket: string): boolean =>
  operation.kind === "delete_object" && sameBytes(operation.namespace, idOf(bucket));
const idOf = (bucket: string) => tenant.store.view((map) => lookupNamespace(map, bucket))!.id;
async function bucketWith(
  bucket: string,
  rules: readonly string[],
  versioning: "off" | "enabled" = "off",
): Promise<void> {
  expect((await bed.call(bed.main, "PUT", `/${bucket}`)).status).toBe(200);
  if (versioning === "enabled") {
    const operation = { kind: "set_versioning", namespace: idOf(bucket), versioning } as const;
    await tenant.owner.submit(operation, newOperationId(bed.node.ports.prng));
  }
  await setRules(bucket, rules);
}
async function setRules(bucket: string, rules: readonly string[]): Promise<void> {
  const inner = rules.map((rule) => `<Rule><Status>Enabled</Status>${rule}</Rule>`).join("");
  const body = `<LifecycleConfiguration>${inner}</LifecycleConfiguration>`;
  const reply = await bed.call(bed.main, "PUT", `/${bucket}?lifecycle`, { body });
  expect(`${reply.status} ${reply.text}`).toBe("200 ");
}
const put = async (target: string, size = 5, headers: Record<string, string> = {}) => {
  const reply = await bed.call(bed.main, "PUT", target, { body: "x".repeat(size), headers });
  expect(reply.status).toBe(200);
};
/** Some at a time. */
async function putMany(count: number, target: (i: number) => string): Promise<void> {
  for (let from = 0; from < count; from += 100) {
    const end = Math.min(count, from + 100);
    await Promise.all(Array.from({ length: end - from }, (_, i) => put(target(from + i), 1)));
  }
}
/** `key` or `key!` for a marker, newest first. */
function versionsOf(bucket: string): readonly string[] {
  const none = new Uint8Array(0);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const query = { namespace: idOf(bucket), prefix: none, delimiter: none, countMax: 10_000 };
  const page = tenant.store.view((map) => listVersions(map, dirKeys, query));
  if (page.kind === "refused") throw new Error(page.code);
  return page.items.flatMap((item) =>
    item.kind === "prefix"
      ? []
      : [`${Buffer.from(item.key).toString()}${item.entry.kind === "delete_marker" ? "!" : ""}`],
  );
}
function progressOf(bucket: string) {
  const kept = tenant.store.view((map) => lookupSetting(map, idOf(bucket), "lifecycle-progress"));
  return kept && decodeProgress(kept);
}

const expire = (filter: string, days: number): string =>
  `<Filter>${filter}</Filter><Expiration><Days>${days}</Days></Expiration>`;
const noncurrent = (days: number, newer = ""): string =>
  `<Filter/><NoncurrentVersionExpiration><NoncurrentDays>${days}</NoncurrentDays>${newer}</NoncurrentVersionExpiration>`;

test("a round deletes what its rules are about, when it is due, and nothing else", async () => {
  await bucketWith("plain", [
    expire("<Prefix>logs/</Prefix>", 3),
    expire("<Tag><Key>keep</Key><Value>no</Value></Tag>", 1),
    expire("<ObjectSizeGreaterThan>100</ObjectSizeGreaterThan>", 1),
  ]);
  await put("/plain/logs/a");
  await put("/plain/logs/b/c");
  await put("/plain/logsx");
  await put("/plain/tagged", 5, { "x-amz-tagging": "keep=no" });
  await put("/plain/untagged", 5, { "x-amz-tagging": "keep=yes" });
  await put("/plain/large", 101);
  await put("/plain/small", 100);
  await workerAt(0).run(never);
  expect(versionsOf("plain").length).toBe(7);
  await workerAt(2).run(never);
  expect(versionsOf("plain")).toEqual(["logs/a", "logs/b/c", "logsx", "small", "untagged"]);
  await workerAt(4).run(never);
  expect(versionsOf("plain")).toEqual(["logsx", "small", "untagged"]);
  expect(progressOf("plain")).toMatchObject({ counts: { looked: 5, expired: 2, removed: 0 } });
});

test("a file's age counts from its last change, not from the time that its owner gives it", async () => {
  await bucketWith("files", [expire("", 3)]);
  await put("/files/old");
  await put("/files/late");
  const namespace = idOf("files");
  const submit = (operation: Operation) =>
    tenant.owner.submit(operation, newOperationId(bed.node.ports.prng));
  const fileAt = (name: string) => {
    const dirKeys = tenant.dirKeys(tenant.keys("read"));
    return tenant.store.view((map) => {
      const directory = lookupNamespace(map, "files")!.root;
      const found = lookupName(map, dirKeys, { namespace, directory, name: toUtf8(name) });
      assert(found.kind === "file", `${name} is there`);
      return found.attributes.ref;
    });
  };
  const set = { kind: "set_attributes", namespace } as const;
  await submit({ ...set, file: fileAt("old"), mtime: 0n });
  await workerAt(2).run(never);
  expect(versionsOf("files")).toEqual(["late", "old"]);
  // One that is changed between the round's look and its delete is not what the rule was about.
  const before = async (operation: Operation): Promise<void> => {
    if (!isDeleteIn(operation, "files") || !("key" in operation)) return;
    if (compareBytes(operation.key, toUtf8("late")) !== 0) return;
    await submit({ ...set, file: fileAt("late"), mode: 0o600 });
  };
  await workerAt(5, { before }).run(never);
  expect(versionsOf("files")).toEqual(["late"]);
});

test("a round runs once in its interval, and again when the clock was set back", async () => {
  await bucketWith("hourly", [expire("", 1)]);
  const startedAt = async (days: number): Promise<number> => {
    await workerAt(days).run(never);
    return progressOf("hourly")!.started;
  };
  const first = await startedAt(0.5);
  expect(await startedAt(0.5 + 0.5 / 24)).toBe(first);
  const second = await startedAt(0.5 + 1.1 / 24);
  expect(second).toBeGreaterThan(first);
  expect(await startedAt(0.1)).toBeLessThan(first);
});

test("a round with versions keeps the newest ones, and removes markers with nothing behind them", async () => {
  const newer = "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>";
  await bucketWith("versions", [noncurrent(2, newer)], "enabled");
  for (let i = 0; i < 5; i++) await put("/versions/a");
  await put("/versions/b");
  await bed.call(bed.main, "DELETE", "/versions/b");
  await workerAt(1).run(never);
  expect(versionsOf("versions")).toEqual(["a", "a", "a", "a", "a", "b!", "b"]);
  await workerAt(4).run(never);
  expect(versionsOf("versions")).toEqual(["a", "a", "a", "b!", "b"]);
  await setRules("versions", [
    noncurrent(2),
    "<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
  ]);
  await workerAt(5).run(never);
  expect(versionsOf("versions")).toEqual(["a", "b!"]);
  await workerAt(6).run(never);
  expect(versionsOf("versions")).toEqual(["a"]);
  await setRules("versions", [expire("", 1)]);
  await workerAt(7).run(never);
  expect(versionsOf("versions")).toEqual(["a!", "a"]); // as a DELETE of a client
  await workerAt(8).run(never);
  expect(versionsOf("versions")).toEqual(["a!", "a"]);
});

test("a round leaves locked versions, counts them as held, and takes them when they are free", async () => {
  const headers = { "x-amz-bucket-object-lock-enabled": "true" };
  expect((await bed.call(bed.main, "PUT", "/locked", { headers })).status).toBe(200);
  await setRules("locked", [noncurrent(1)]);
  const digest = createHash("md5").update("xxxxx").digest("base64");
  const until = new Date(Date.now() + 3 * calendarDay.ms).toISOString();
  const lock = (mode: string): Record<string, string> => ({
    "content-md5": digest,
    "x-amz-object-lock-mode": mode,
    "x-amz-object-lock-retain-until-date": until,
  });
  const hold = { "content-md5": digest, "x-amz-object-lock-legal-hold": "ON" };
  for (const more of [lock("GOVERNANCE"), lock("COMPLIANCE"), hold, {}, {}]) {
    await put("/locked/k", 5, more);
  }
  await bed.call(bed.main, "DELETE", "/locked/k");
  await workerAt(2).run(never);
  expect(versionsOf("locked")).toEqual(["k!", "k", "k", "k"]);
  expect(progressOf("locked")).toMatchObject({ counts: { removed: 2, held: 3 } });
  // A worker whose clock is past their end does not get around them either: the shard's own clock counts.
  await workerAt(30).run(never);
  expect(versionsOf("locked")).toEqual(["k!", "k", "k", "k"]);
  const free = { body: "<LegalHold><Status>OFF</Status></LegalHold>" };
  const { text } = await bed.call(bed.main, "GET", "/locked?versions");
  const held = [...text.matchAll(/<VersionId>([^<]*)</g)][1]![1];
  const answer = await bed.call(bed.main, "PUT", `/locked/k?legal-hold&versionId=${held}`, free);
  expect(answer.status).toBe(200);
  await workerAt(31).run(never);
  expect(versionsOf("locked")).toEqual(["k!", "k", "k"]);
});

test("a key with more versions than a step is counted through", async () => {
  const newer = "<NewerNoncurrentVersions>100</NewerNoncurrentVersions>";
  await bucketWith("many", [noncurrent(1, newer)], "enabled");
  await put("/many/a");
  await putMany(450, () => "/many/k");
  await put("/many/z");
  await workerAt(3).run(never);
  expect(versionsOf("many").filter((key) => key === "k").length).toBe(101);
  expect(progressOf("many")).toMatchObject({ counts: { looked: 452, removed: 349 } });
}, 30_000);

test("a round aborts uploads that nobody completed", async () => {
  await bucketWith("uploads", [
    "<Filter><Prefix>a</Prefix></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
  ]);
  for (const key of ["a1", "a2", "b1"]) await bed.call(bed.main, "POST", `/uploads/${key}?uploads`);
  const open = async (): Promise<readonly string[]> => {
    const { text } = await bed.call(bed.main, "GET", "/uploads?uploads");
    return [...text.matchAll(/<Upload><Key>([^<]*)/g)].map(([, key]) => key!);
  };
  await workerAt(1).run(never);
  expect(await open()).toEqual(["a1", "a2", "b1"]);
  await workerAt(4).run(never);
  expect(await open()).toEqual(["b1"]);
});

// Goal: nothing that a client writes beside the worker is lost.
// Method: between what the worker saw and what it deletes, a client overwrites, or takes a marker away.
test("an object that is written over beside the round stays", async () => {
  await bucketWith("races", [expire("", 1)]);
  await put("/races/a");
  let written = 0;
  const before = async (operation: Operation): Promise<void> => {
    if (!isDeleteIn(operation, "races") || written > 0) return;
    written += 1;
    await put("/races/a"); // the same bytes: it differs in nothing but that it is new
  };
  await workerAt(3, { before }).run(never);
  expect(written).toBe(1);
  expect(versionsOf("races")).toEqual(["a"]);
  expect(progressOf("races")).toMatchObject({ counts: { expired: 0, changed: 1 } });
});

test("what is untagged beside the round stays, current or not, until a rule is about it again", async () => {
  const tagged = "<Tag><Key>keep</Key><Value>no</Value></Tag>";
  const old = `<Filter>${tagged}</Filter><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>`;
  await bucketWith("tags-plain", [expire(tagged, 1)]);
  await bucketWith("tags-kept", [old], "enabled");
  const headers = { "x-amz-tagging": "keep=no" };
  await put("/tags-plain/a", 5, headers);
  await put("/tags-kept/a", 5, headers);
  await put("/tags-kept/a", 5, headers);
  const untag = async (bucket: string, operation: Operation): Promise<void> => {
    if (operation.kind !== "delete_object" || !isDeleteIn(operation, bucket)) return;
    const { namespace, key, version } = operation;
    const changes = { tags: null };
    await tenant.owner.submit(
      {
        kind: "set_object_extras",
        namespace,
        key,
        changes,
        ...(version === undefined ? {} : { version }),
      },
      newOperationId(bed.node.ports.prng),
    );
  };
  const before = async (operation: Operation): Promise<void> => {
    await untag("tags-plain", operation);
    await untag("tags-kept", operation);
  };
  await workerAt(3, { before }).run(never);
  expect(versionsOf("tags-plain")).toEqual(["a"]);
  expect(versionsOf("tags-kept")).toEqual(["a", "a"]);
  expect(progressOf("tags-plain")).toMatchObject({ counts: { expired: 0, changed: 1 } });
  expect(progressOf("tags-kept")).toMatchObject({ counts: { removed: 0, changed: 1 } });
});

test("a version that becomes current again beside the round stays", async () => {
  await bucketWith("undeleted", [noncurrent(1)], "enabled");
  await put("/undeleted/a");
  await bed.call(bed.main, "DELETE", "/undeleted/a");
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const none = new Uint8Array(0);
  const namespace = idOf("undeleted");
  const query = { namespace, prefix: none, delimiter: none, countMax: 1 };
  const page = tenant.store.view((map) => listVersions(map, dirKeys, query));
  const marker = page.kind === "page" ? page.items[0] : undefined;
  if (marker?.kind !== "version") throw new Error("no marker");
  let isDone = false;
  const before = async (asked: Operation): Promise<void> => {
    if (!isDeleteIn(asked, "undeleted") || isDone) return;
    isDone = true;
    const { version } = marker.entry;
    const operation = { kind: "delete_object", namespace, key: marker.key, version } as const;
    await tenant.owner.submit(operation, newOperationId(bed.node.ports.prng));
  };
  await workerAt(3, { before }).run(never);
  expect(versionsOf("undeleted")).toEqual(["a"]);
  expect((await bed.call(bed.main, "GET", "/undeleted/a")).status).toBe(200);
});

test("a round that was cut short goes on where it was", async () => {
  await bucketWith("resumed", [expire("<Prefix>x</Prefix>", 1)]);
  await putMany(900, (i) => `/resumed/k${1000 + i}`);
  const stopping = new AbortController();
  // Two steps a second: progress is saved every second.
  const cut = workerAt(3, { ratePerSecond: 400 }).run(stopping.signal);
  while ((progressOf("resumed")?.counts.looked ?? 0) < 400) await Bun.sleep(20);
  stopping.abort(new Error("stop"));
  await cut.catch(() => undefined);
  const left = progressOf("resumed")!;
  expect(left.finished).toBeUndefined();
  await put("/resumed/x-early", 1); // behind where it is
  await workerAt(3).run(never);
  const end = progressOf("resumed")!;
  expect(end.finished).toBeDefined();
  expect(end.started).toBe(left.started);
  // The key that it stopped at may have had more versions, and is looked at twice.
  expect(end.counts).toMatchObject({ looked: 902, expired: 1 });
}, 20_000);

test("a bucket whose writes are refused keeps no other waiting, and goes on later", async () => {
  for (const bucket of ["stuck-1", "stuck-2"]) {
    await bucketWith(bucket, [expire("", 1)]);
    await put(`/${bucket}/a`);
  }
  const stuck = Buffer.from(idOf("stuck-1")).toString("hex");
  const refuse = (operation: Operation): boolean =>
    operation.kind === "delete_object" &&
    Buffer.from(operation.namespace).toString("hex") === stuck;
  expect(await workerAt(3, { refuse }).run(never)).toBe(false);
  expect([versionsOf("stuck-1"), versionsOf("stuck-2")]).toEqual([["a"], []]);
  expect(await workerAt(3).run(never)).toBe(true);
  expect(versionsOf("stuck-1")).toEqual([]);
});

test("rules that are taken away end the round, and rules that cannot be read do nothing", async () => {
  await bucketWith("gone", [expire("", 1)]);
  await put("/gone/a");
  const worker = workerAt(3);
  const standing = async () =>
    (await worker.standings(tenant, never)).find(({ bucket }) => bucket === "gone");
  const value = Buffer.from('{"version":2}');
  const operation = {
    kind: "put_setting",
    namespace: idOf("gone"),
    setting: "lifecycle",
    value,
  } as const;
  await tenant.owner.submit(operation, newOperationId(bed.node.ports.prng));
  await worker.run(never);
  expect(versionsOf("gone")).toEqual(["a"]);
  expect(await standing()).toMatchObject({ bucket: "gone", ruleCount: undefined });
  expect((await bed.call(bed.main, "GET", "/gone/a")).status).toBe(200);
  await bed.call(bed.main, "DELETE", "/gone?lifecycle");
  await worker.run(never);
  expect(versionsOf("gone")).toEqual(["a"]);
  expect(await standing()).toBeUndefined();
});
