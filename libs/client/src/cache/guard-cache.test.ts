import { expect, test } from "bun:test";
import type { KeyAnswer } from "@kiseki/cache";
import { settled, TestClock } from "../files/mount.test-helper.ts";
import { guardCache } from "./guard-cache.ts";

interface Bed {
  readonly clock: TestClock;
  readonly events: string[];
  answer: () => Promise<KeyAnswer>;
}
async function guarded(
  act: (bed: Bed) => Promise<void>,
  policy = { disconnectSecondsMax: 300, keyHealthIntervalMs: 30_000 },
): Promise<void> {
  const ending = new AbortController();
  const events: string[] = [];
  const bed: Bed = { clock: new TestClock(), events, answer: async () => "healthy" };
  let isTrusting = true;
  const guard = guardCache(
    bed.clock,
    {
      policy,
      ask: () => bed.answer(),
      wipe: async (why) => void events.push(`${why} at ${bed.clock.monotonic() - 1000}`),
      trust: (trusts) => {
        if (trusts !== isTrusting) events.push(trusts ? "trusts" : "distrusts");
        isTrusting = trusts;
      },
    },
    ending.signal,
  );
  await settled();
  await act(bed);
  ending.abort();
  await guard;
}

test("guardCache() wipes within one interval of the key's end, and trusts again when it is healthy", () =>
  guarded(async (bed) => {
    await bed.clock.pass(45_000);
    bed.answer = async () => "destroyed";
    await bed.clock.pass(16_000);
    expect(bed.events).toEqual(["distrusts", "key_destroyed at 60000"]);
    await bed.clock.pass(100_000);
    bed.answer = async () => "healthy";
    await bed.clock.pass(30_000);
    expect(bed.events).toEqual(["distrusts", "key_destroyed at 60000", "trusts"]);
  }));

test("guardCache() wipes when nobody has answered for as long as policy lets it, and not before", () =>
  guarded(async (bed) => {
    await bed.clock.pass(30_000);
    bed.answer = async () => "unanswered";
    await bed.clock.pass(299_000);
    expect(bed.events).toEqual([]);
    await bed.clock.pass(2000);
    expect(bed.events).toEqual(["distrusts", "disconnected at 330000"]);
    await bed.clock.pass(1_000_000);
    expect(bed.events).toHaveLength(2);
  }));

test("guardCache() forgives an outage that ends in time", () =>
  guarded(async (bed) => {
    bed.answer = async () => "unreachable";
    await bed.clock.pass(260_000);
    bed.answer = async () => "healthy";
    await bed.clock.pass(30_000);
    bed.answer = async () => "unanswered";
    await bed.clock.pass(260_000);
    expect(bed.events).toEqual([]);
  }));

test("guardCache() waits for the limit of policy when it is shorter than the interval", () =>
  guarded(
    async (bed) => {
      bed.answer = async () => "unanswered";
      await bed.clock.pass(1100);
      expect(bed.events).toEqual(["distrusts", "disconnected at 1000"]);
    },
    { disconnectSecondsMax: 1, keyHealthIntervalMs: 30_000 },
  ));

test("guardCache() asks soon again when it is refused, and wipes at the third refusal in a row", () =>
  guarded(async (bed) => {
    bed.answer = async () => "refused";
    await bed.clock.pass(31_500);
    expect(bed.events).toEqual([]);
    bed.answer = async () => "healthy";
    await bed.clock.pass(60_000);
    bed.answer = async () => "refused";
    await bed.clock.pass(35_000);
    expect(bed.events).toEqual(["distrusts", expect.stringMatching(/^disconnected at /)]);
    await bed.clock.pass(600_000);
    expect(bed.events).toHaveLength(2);
  }));
