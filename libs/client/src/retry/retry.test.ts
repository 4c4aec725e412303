import { expect, test } from "bun:test";
import { type Millis, millis, prngFromSeed, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { backoffMs } from "./backoff.ts";
import { bulkVerdict, type Fate, rpcVerdict, type Verdict, verdictOfFailure } from "./fates.ts";
import { type Attempted, persist } from "./persist.ts";

/** Time goes by only where somebody sleeps, and each attempt takes a millisecond. */
class JumpingClock implements Clock {
  now = 0;
  readonly slept: number[] = [];
  monotonic(): Millis {
    return millis(this.now);
  }
  realtime() {
    return wallTime(0);
  }
  async sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.slept.push(duration);
    this.now += duration;
  }
}

test("verdictOfFailure() repeats what may pass, renews what is over, and gives the rest back as it came", () => {
  const cases: readonly (readonly [string, Fate, string])[] = [
    ["busy", "again", "busy"],
    ["closed", "again", "closed"],
    ["moved", "discover", "moved"],
    ["session_expired", "new_session", "session_expired"],
    ["receipt_stale", "give_up", "receipt_stale"],
    ["no_space", "give_up", "no_space"],
    ["no_such_key", "give_up", "no_such_key"],
    ["quota_exceeded", "give_up", "quota_exceeded"],
    ["a code of the future", "give_up", "invalid"],
    ["toString", "give_up", "invalid"],
  ];
  for (const [code, fate, told] of cases) {
    expect([code, verdictOfFailure(code)]).toMatchObject([code, { fate, code: told }]);
  }
});

test("rpcVerdict and bulkVerdict give every fault a fate", () => {
  const fateOf = (table: Readonly<Record<string, Verdict>>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(table).map(([fault, { fate, code, attemptsMax }]) => [
        fault,
        `${fate} ${code}${attemptsMax === undefined ? "" : ` ${attemptsMax}`}`,
      ]),
    );
  expect(fateOf(rpcVerdict)).toEqual({
    unreachable: "elsewhere unreachable",
    unavailable: "elsewhere unreachable",
    timeout: "elsewhere unreachable",
    canceled: "elsewhere unreachable",
    internal: "again unreachable 3",
    untrusted: "give_up forbidden",
    unauthenticated: "elsewhere forbidden 3",
    forbidden: "give_up forbidden",
    not_supported: "give_up unsupported",
    data_loss: "give_up damaged",
    no_space: "give_up invalid",
    invalid: "give_up invalid",
    not_found: "give_up invalid",
    exists: "give_up invalid",
    not_empty: "give_up invalid",
  });
  const both = {
    connection_lost: "elsewhere unreachable",
    unavailable: "again unreachable",
    busy: "again busy",
    checksum: "again damaged 3",
    internal: "again unreachable 3",
    malformed: "give_up invalid",
  };
  expect(fateOf(bulkVerdict.write)).toEqual({
    ...both,
    stale: "new_lease receipt_stale 4",
    forbidden: "new_lease forbidden 2",
    conflict: "new_lease invalid 2",
    no_space: "give_up no_space",
    not_found: "give_up invalid",
    lost: "give_up invalid",
    tampered: "give_up invalid",
  });
  expect(fateOf(bulkVerdict.read)).toEqual({
    ...both,
    tampered: "again damaged 2",
    stale: "give_up receipt_stale",
    forbidden: "give_up receipt_stale",
    not_found: "give_up receipt_stale",
    lost: "give_up damaged",
    no_space: "give_up invalid",
    conflict: "give_up invalid",
  });
});

test("backoffMs() doubles up to two seconds, and leaves half of it to chance", () => {
  const prng = prngFromSeed(1);
  for (let number = 1; number < 40; number++) {
    const whole = Math.min(2000, 25 * 2 ** (number - 1));
    const waits = Array.from({ length: 50 }, () => backoffMs(number, prng));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(Math.floor(whole / 2));
    expect(Math.max(...waits)).toBeLessThanOrEqual(whole);
    expect(new Set(waits).size).toBeGreaterThan(5);
  }
});

function run(
  attempts: (number: number) => Attempted<string>,
  clock = new JumpingClock(),
  signal = new AbortController().signal,
) {
  const fates: (Fate | undefined)[] = [];
  const persistence = { clock, prng: prngFromSeed(2), deadline: millis(10_000), signal };
  const ended = persist(persistence, async (last) => {
    fates.push(last);
    clock.now += 1;
    return attempts(fates.length);
  });
  return { ended, fates, clock };
}
const failing = (verdict: Verdict, retryAfterMs = 0): Attempted<string> => ({
  kind: "failed",
  verdict,
  retryAfterMs,
});

test("persist() says to each attempt why it is made, and answers the first that is done", async () => {
  const { unreachable } = rpcVerdict;
  const steps = [failing(unreachable), failing(verdictOfFailure("moved"))];
  const { ended, fates } = run((number) => steps[number - 1] ?? { kind: "done", value: "here" });
  expect(await ended).toEqual({ kind: "done", value: "here" });
  expect(fates).toEqual([undefined, "elsewhere", "discover"]);
});

test("persist() ends at the deadline with the code of the last failure, and begins nothing after it", async () => {
  const { ended, clock, fates } = run(() => failing(rpcVerdict.unreachable));
  expect(await ended).toEqual({ kind: "refused", code: "unreachable" });
  expect(clock.now).toBeLessThan(10_000);
  expect(clock.now).toBeGreaterThan(7_000);
  expect(fates.length).toBeGreaterThan(8);
});

test("persist() waits for as long as the node asks, unless that is too long", async () => {
  const steps = (number: number): Attempted<string> =>
    number === 1 ? failing(verdictOfFailure("busy"), 5_000) : { kind: "done", value: "late" };
  const { ended, clock } = run(steps);
  expect(await ended).toEqual({ kind: "done", value: "late" });
  expect(clock.slept).toEqual([5_000]);
  const never = run(() => failing(verdictOfFailure("busy"), 50_000));
  expect(await never.ended).toEqual({ kind: "refused", code: "busy" });
  expect(never.fates.length).toBe(1);
});

test("persist() gives up at once, after so many, and when its caller has gone", async () => {
  const once = run(() => failing(verdictOfFailure("no_space")));
  expect(await once.ended).toEqual({ kind: "refused", code: "no_space" });
  expect(once.fates.length).toBe(1);
  const thrice = run(() => failing(rpcVerdict.internal));
  expect(await thrice.ended).toEqual({ kind: "refused", code: "unreachable" });
  expect(thrice.fates.length).toBe(3);
  const leaving = new AbortController();
  const gone = run(
    () => {
      leaving.abort();
      return failing(rpcVerdict.unreachable);
    },
    new JumpingClock(),
    leaving.signal,
  );
  expect(await gone.ended).toEqual({ kind: "refused", code: "interrupted" });
  expect(gone.fates.length).toBe(1);
});
