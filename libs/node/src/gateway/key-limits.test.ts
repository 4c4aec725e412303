import { expect, test } from "bun:test";
import { millis } from "@kiseki/base";
import { KeyLimiter, type KeyLimits, LimitError } from "./key-limits.ts";

const none: KeyLimits = { requestsPerSecond: 0, burst: 0, bytesPerSecond: 0, requestsAtOnce: 0 };
function bed() {
  let now = 0;
  const limiter = new KeyLimiter(() => millis(now));
  const ask = (limits: Partial<KeyLimits>, id = "key", size = 0) => {
    try {
      return limiter.admit(id, { ...none, ...limits }, size) ?? "free";
    } catch (reason) {
      if (!(reason instanceof LimitError)) throw reason;
      return `${reason.reason} ${reason.retrySeconds}`;
    }
  };
  return { ask, advance: (by: number) => (now += by) };
}

test("KeyLimiter lets a burst through, then the rate, each key for itself", () => {
  const { ask, advance } = bed();
  const limits = { requestsPerSecond: 2, burst: 4 };
  for (let i = 0; i < 4; i++) expect(ask(limits)).toBeObject();
  expect(ask(limits)).toBe("requests 1");
  expect(ask(limits, "other")).toBeObject();
  advance(500);
  expect(ask(limits)).toBeObject();
  expect(ask(limits)).toBe("requests 1");
  advance(60_000);
  for (let i = 0; i < 4; i++) expect(ask(limits)).toBeObject();
  expect(ask(limits)).toBe("requests 1");
});

test("KeyLimiter takes bytes of both directions, and says how long a debt lasts", () => {
  const { ask, advance } = bed();
  const limits = { bytesPerSecond: 1000 };
  const got = ask(limits, "key", 400);
  if (typeof got === "string") throw new Error(got);
  got.end(5600);
  expect(ask(limits)).toBe("bytes 6");
  advance(4000);
  expect(ask(limits)).toBe("bytes 2");
  advance(1500);
  expect(ask(limits)).toBeObject();
});

test("KeyLimiter counts requests under way until they end", () => {
  const { ask } = bed();
  const limits = { requestsAtOnce: 2 };
  const first = ask(limits);
  expect(ask(limits)).toBeObject();
  expect(ask(limits)).toBe("at_once 1");
  if (typeof first === "string") throw new Error(first);
  first.end(0);
  expect(ask(limits)).toBeObject();
  expect(ask({})).toBe("free");
});

test("KeyLimiter forgets the keys seen longest ago, not more", () => {
  const { ask } = bed();
  const limits = { requestsPerSecond: 1, burst: 1 };
  ask(limits, "first");
  ask(limits, "second");
  for (let i = 0; i < 9998; i++) ask(limits, `key ${i}`);
  expect(ask(limits, "second")).toBe("requests 1");
  expect(ask(limits, "one more")).toBeObject();
  expect(ask(limits, "first")).toBeObject();
  expect(ask(limits, "second")).toBe("requests 1");
});
