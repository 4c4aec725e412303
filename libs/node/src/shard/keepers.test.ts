import { inodeId, type Millis, millis, newBytes, prngFromSeed } from "@kiseki/base";
import { expect, test } from "bun:test";
import { Keepers } from "./keepers.ts";

const [a, b] = [newBytes(16).fill(1), newBytes(16).fill(2)];
const file = inodeId(7n);
function fresh() {
  const time = { now: 1000 };
  const clock = { monotonic: (): Millis => millis(time.now) };
  return { time, keepers: new Keepers({ clock: clock as never, prng: prngFromSeed(1) }) };
}

test("Keepers: a file is kept where somebody else than who removes it was told of it", () => {
  const { keepers } = fresh();
  expect(keepers.keeper(file, undefined)).toBeUndefined();
  keepers.told(file, a);
  expect(keepers.keeper(file, newBytes(16).fill(1))).toBeUndefined();
  expect(keepers.keeper(file, b)).toHaveLength(16);
  expect(keepers.keeper(file, undefined)).toHaveLength(16);
  keepers.told(file, newBytes(16).fill(1));
  expect(keepers.keeper(file, a)).toBeUndefined();
  keepers.told(file, b);
  for (const client of [a, b]) expect(keepers.keeper(file, client)).toHaveLength(16);
  keepers.told(file, b);
  expect(keepers.keeper(file, b)).toHaveLength(16); // once told to several, to several
});

test("Keepers: what was told longest ago is forgotten", () => {
  const { keepers } = fresh();
  keepers.told(file, a);
  keepers.told(inodeId(8n), a);
  keepers.told(file, a);
  for (let i = 0; i < 65_535; i++) keepers.told(inodeId(BigInt(100 + i)), a);
  expect(keepers.keeper(file, b)).toBeDefined();
  expect(keepers.keeper(inodeId(8n), b)).toBeUndefined();
});

test("Keepers: one keeper takes the files of a second, is ended ten seconds after its first, and again if that fails", async () => {
  const { time, keepers } = fresh();
  keepers.told(file, a);
  const first = keepers.keeper(file, b)!;
  time.now += 999;
  expect(keepers.keeper(file, b)).toBe(first);
  time.now += 1;
  const second = keepers.keeper(file, b)!;
  expect(second).not.toEqual(first);
  const ended: Uint8Array[] = [];
  const answers = [() => Promise.reject(new Error("away")), async () => false, async () => true];
  const end = (client: Uint8Array): Promise<boolean> => {
    ended.push(client);
    return answers.shift()!();
  };
  keepers.sweep(millis(1000 + 9_999), end);
  expect(ended).toEqual([]);
  for (let i = 1; i <= 3; i++) {
    keepers.sweep(millis(1000 + 10_000), end);
    keepers.sweep(millis(1000 + 10_000), end); // under way
    expect(ended).toHaveLength(i);
    expect(keepers.isKeeping(first)).toBe(true);
    await Bun.sleep(0);
  }
  expect(ended).toEqual([first, first, first]);
  expect([keepers.isKeeping(first), keepers.isKeeping(second)]).toEqual([false, true]);
});
