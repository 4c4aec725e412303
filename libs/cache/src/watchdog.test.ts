import { expect, test } from "bun:test";
import { CacheWatchdog } from "./index.ts";

test("CacheWatchdog wipes at once when the key is destroyed, and once", () => {
  const watchdog = new CacheWatchdog(100, 0);
  expect(watchdog.note("healthy", 10)).toBe(false);
  expect([watchdog.note("destroyed", 20), watchdog.isTrusting]).toEqual([true, false]);
  expect(watchdog.note("destroyed", 30)).toBe(false);
  expect(watchdog.note("healthy", 40)).toBe(false);
  expect([watchdog.isTrusting, watchdog.note("destroyed", 50)]).toEqual([true, true]);
});

test.each(["unanswered", "unreachable"] as const)(
  "CacheWatchdog wipes when it is %s for too long",
  (heard) => {
    const watchdog = new CacheWatchdog(100, 0);
    expect(watchdog.note(heard, 99)).toBe(false);
    expect(watchdog.note("healthy", 100)).toBe(false);
    expect([watchdog.note(heard, 199), watchdog.dueAt]).toEqual([false, 200]);
    expect([watchdog.note(heard, 200), watchdog.dueAt]).toEqual([true, Infinity]);
    expect(watchdog.note(heard, 500)).toBe(false);
  },
);

test("CacheWatchdog believes the third refusal in a row", () => {
  const watchdog = new CacheWatchdog(1000, 0);
  const heard = ["refused", "refused", "unanswered", "refused", "refused", "refused"] as const;
  expect(heard.map((each, at) => watchdog.note(each, at))).toEqual([
    ...[false, false, false, false, false, true],
  ]);
});
