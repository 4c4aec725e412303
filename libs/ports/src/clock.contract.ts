import { expect, test } from "bun:test";
import { millis } from "@kiseki/base";
import { type Clock, whileMoreCome } from "./clock.ts";

/** A clock under test, and the way to let its time go by: a real one waits, a simulated one is told. */
export interface ClockPlace {
  readonly clock: Clock;
  /** Resolves when `clock.monotonic()` has grown by at least `duration`. */
  advance(duration: number): Promise<void>;
}

/** What every `Clock` promises. */
export function clockContract(name: string, openPlace: () => ClockPlace): void {
  test(`${name}: monotonic() never goes back and grows as time goes by`, async () => {
    const { clock, advance } = openPlace();
    const seen = Array.from({ length: 1000 }, () => clock.monotonic());
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    const before = clock.monotonic();
    await advance(5);
    expect(clock.monotonic() - before).toBeGreaterThanOrEqual(5);
  });
  test(`${name}: realtime() is a whole number of milliseconds after 1970`, () => {
    const now = openPlace().clock.realtime();
    expect(Number.isSafeInteger(now)).toBe(true);
    expect(now).toBeGreaterThanOrEqual(0);
  });
  test(`${name}: sleep() ends no earlier than its duration`, async () => {
    const { clock, advance } = openPlace();
    const before = clock.monotonic();
    let isOver = false;
    const slept = clock.sleep(millis(5), new AbortController().signal).then(() => (isOver = true));
    await Promise.resolve();
    expect(isOver).toBe(false);
    await advance(6);
    await slept;
    expect(clock.monotonic() - before).toBeGreaterThanOrEqual(4.9); // timers round to whole milliseconds
  });
  test(`${name}: sleep() rejects with the signal's reason, before or during it`, async () => {
    const { clock } = openPlace();
    const reason = new Error("enough");
    await expect(clock.sleep(millis(60_000), AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const slept = clock.sleep(millis(60_000), controller.signal);
    controller.abort(reason);
    await expect(slept).rejects.toBe(reason);
  });
  test(`${name}: whileMoreCome() ends when a turn brings nothing, when enough is there, or after some turns`, async () => {
    const { clock } = openPlace();
    for (const each of [0, 1, 4]) {
      let count = 1;
      let isOver = false;
      const arriving = (): void => {
        if (isOver) return;
        count += each;
        setImmediate(arriving);
      };
      const over = whileMoreCome(clock, () => count);
      arriving();
      await over;
      isOver = true;
      expect(count).toBeLessThanOrEqual(64);
      if (clock.turn) expect(count).toBeGreaterThan(each);
    }
  });
}
