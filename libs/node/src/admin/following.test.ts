import { expect, test } from "bun:test";
import type { Millis, WallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { following } from "./following.ts";

/** Time passes whenever somebody waits for it. */
const eager: Clock = {
  monotonic: () => 0 as Millis,
  realtime: () => 0 as WallTime,
  async sleep(_, signal) {
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  },
};
/** Time stands still. */
const still: Clock = { ...eager, sleep: () => new Promise(() => undefined) };
const never = new AbortController().signal;

test("following() yields what the work has done so far, then once more when it ends", async () => {
  const { promise: mayEnd, resolve: letEnd } = Promise.withResolvers<void>();
  let count = 0;
  const work = async (): Promise<void> => {
    count = 1;
    await mayEnd;
    count = 2;
  };
  const seen: string[] = [];
  for await (const text of following(eager, work, (isDone) => `${count} ${isDone}`, never)) {
    seen.push(text);
    if (seen.length === 3) letEnd();
  }
  expect(seen.slice(0, 3)).toEqual(["1 false", "1 false", "1 false"]);
  expect(seen.at(-1)).toBe("2 true");
  expect(seen.filter((text) => text.endsWith("true"))).toHaveLength(1);
});

test("following() rejects as the work does, without waiting for its tick", async () => {
  const work = () => Promise.reject(new Error("broken"));
  const all = Array.fromAsync(following(still, work, () => 0, never));
  await expect(all).rejects.toThrow("broken");
});

for (const how of ["the taker leaves", "the signal aborts"] as const) {
  test(`following() aborts the work and waits for its end when ${how}`, async () => {
    const outside = new AbortController();
    let hasEnded = false;
    const work = async (signal: AbortSignal): Promise<void> => {
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => aborted.resolve());
      await aborted.promise;
      await new Promise((resolve) => setImmediate(resolve));
      hasEnded = true;
      signal.throwIfAborted();
    };
    const stream = following(eager, work, (isDone) => isDone, outside.signal);
    expect(await stream.next()).toEqual({ value: false, done: false });
    if (how === "the taker leaves") await stream.return(undefined);
    else {
      outside.abort(new Error("gone"));
      await expect(stream.next()).rejects.toThrow("gone");
    }
    expect(hasEnded).toBe(true);
  });
}
