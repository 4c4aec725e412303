/** One consumer over a real shard's log: the bounds of what waits for a target. The webhook is real, and mostly away. */
import { logIndex, toUtf8 } from "@kiseki/base";
import { lookupNamespace } from "@kiseki/composition";
import { notificationSetting } from "@kiseki/s3";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed } from "../gateway/bed.test-helper.ts";
import { newOperationId } from "../gateway/scope.ts";
import type { OpenTenant } from "../object/types.ts";
import { NoticeMarks } from "./log-notices.ts";
import { countShelf, listDead } from "./shelves.ts";
import { consumerName, isTooFarBehind, TargetConsumer } from "./target-consumer.ts";
import { openWebhook } from "./webhook-target.ts";

let bed: Bed;
let tenant: OpenTenant;
beforeAll(async () => {
  bed = await Bed.open();
  tenant = await bed.node.openDefaultTenant(AbortSignal.timeout(5000));
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

async function until(what: string, look: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !look();) {
    if (performance.now() > end) throw new Error(`Waited in vain until ${what}`);
    await Bun.sleep(5);
  }
}

/** A bucket that subscribes to a webhook of this id, and a consumer of it that is not running yet. */
async function open(id: string) {
  const owned = new AsyncDisposableStack();
  const state = { status: 503, isTooFar: false, requests: 0, keys: new Set<string>() };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      state.requests += 1;
      const { Records } = (await request.json()) as {
        Records: { s3: { object: { key: string } } }[];
      };
      if (state.status === 200) state.keys.add(Records[0]!.s3.object.key);
      return new Response("", { status: state.status });
    },
  });
  owned.defer(() => server.stop(true));
  await bed.call(bed.main, "PUT", `/${id}`);
  const rule = `<NotificationConfiguration><QueueConfiguration><Queue>arn:kiseki:sqs::${id}:webhook</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>`;
  const value = notificationSetting.store(toUtf8(rule)) as Uint8Array;
  const namespace = tenant.store.view((map) => lookupNamespace(map, id))!.id;
  const setting = { kind: "put_setting", namespace, setting: "notification", value } as const;
  await tenant.owner.submit(setting, newOperationId(bed.node.ports.prng));
  const url = `http://127.0.0.1:${server.port}/`;
  const consumer = new TargetConsumer({
    ports: bed.node.ports,
    tenant,
    target: openWebhook({
      type: "webhook",
      id,
      url,
      token: undefined,
      authority: undefined,
      timeoutMs: 1000,
    }),
    marks: new NoticeMarks(logIndex(1n << 60n)), // every entry is looked through
    scope: { region: "r", hostId: "h", owner: "o".repeat(64), versionId: String },
    pace: { firstMs: 5, longestMs: 20 },
    queuedMax: 3,
    deadMax: 2,
    isTooFar: () => state.isTooFar,
  });
  const abort = new AbortController();
  const run = (): void => {
    const running = consumer.run(abort.signal).catch((reason: unknown) => {
      if (!abort.signal.aborted) throw reason;
    });
    owned.defer(async () => {
      abort.abort();
      await running;
    });
  };
  const mark = () => tenant.store.consumers().get(consumerName(id))!;
  return { state, consumer, run, mark, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("what holds the log for too long is put aside, at most so much of it, and comes first afterwards", async () => {
  await using it = await open("aside");
  it.run();
  for (const key of ["a", "b", "c", "d", "e"]) await bed.call(bed.main, "PUT", `/aside/${key}`);
  await until("it waits", () => it.consumer.status.state === "waiting");
  const held = it.mark();
  await Bun.sleep(50);
  expect(it.mark()).toBe(held); // a target that is away holds the log
  it.state.isTooFar = true;
  await until("the rest lies aside", () => countShelf(tenant, "queued", "aside") === 3);
  await until("the log is free", () => it.consumer.status.behind === 0);
  it.state.isTooFar = false;
  const before = it.state.requests;
  await until("it tries again, not too far behind", () => it.state.requests > before + 6); // three keys at once
  await bed.call(bed.main, "PUT", "/aside/f");
  it.state.status = 200;
  await until("all that was kept has come", () => it.state.keys.size === 4);
  const came = [...it.state.keys]; // as each came first
  expect(came.slice(0, 3).toSorted()).toEqual(["a", "b", "c"]); // keys have no order among each other
  expect(came.slice(3)).toEqual(["f"]);
  await until("nothing is left", () => countShelf(tenant, "queued", "aside") === 0);
}, 20_000);

test("of dead letters the newest are kept", async () => {
  await using it = await open("dead");
  it.state.status = 413;
  it.run();
  for (const key of ["a", "b", "c"]) {
    await bed.call(bed.main, "PUT", `/dead/${key}`);
    await until("it is refused", () => it.consumer.status.behind === 0);
  }
  await until("two are kept", () => countShelf(tenant, "dead", "dead") === 2);
  const kept = listDead(tenant, "dead", 10).map(({ notice, row }) => [
    Buffer.from(notice.key).toString(),
    row.reason,
  ]);
  expect(kept).toEqual([
    ["b", "The webhook answered 413"],
    ["c", "The webhook answered 413"],
  ]);
}, 20_000);

test("isTooFarBehind() is a day or a GiB", () => {
  const now = Date.UTC(2026, 10, 30);
  expect(isTooFarBehind(undefined, 0, now)).toBe(false);
  expect(isTooFarBehind(now - 86_400_000, 1024 ** 3, now)).toBe(false);
  expect(isTooFarBehind(now - 86_400_001, 0, now)).toBe(true);
  expect(isTooFarBehind(now, 1024 ** 3 + 1, now)).toBe(true);
});

test("NoticeMarks names entries of before, then those that were told, and never forgets too much", () => {
  const marks = new NoticeMarks(logIndex(5n));
  for (const index of [7n, 9n, 12n]) marks.add(logIndex(index));
  const next = (after: bigint) => marks.next(logIndex(after));
  expect(next(2n)).toEqual({ index: logIndex(3n), isScan: true });
  expect(next(5n)).toEqual({ index: logIndex(7n), isScan: false });
  expect(next(7n)?.index).toBe(logIndex(9n));
  expect(next(12n)).toBeUndefined();
  marks.forget(logIndex(9n));
  expect(next(5n)?.index).toBe(logIndex(12n));
  for (let i = 0n; i < 70_000n; i++) marks.add(logIndex(20n + i));
  expect(next(12n)).toEqual({ index: logIndex(13n), isScan: true }); // too many to remember: all are looked through
});
