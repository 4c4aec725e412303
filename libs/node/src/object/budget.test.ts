import { expect, test } from "bun:test";
import { prngFromSeed } from "@kiseki/base";
import { Budget } from "./budget.ts";

const never = new AbortController().signal;
/** Lets every settled promise run its continuations. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("take() grants in the order asked, a large share before a later small one", async () => {
  const budget = new Budget(10);
  const granted: string[] = [];
  const first = await budget.take(8, never);
  const large = budget.take(10, never).then((share) => (granted.push("large"), share));
  const small = budget.take(1, never).then((share) => (granted.push("small"), share));
  await settle();
  expect(granted).toEqual([]);
  first[Symbol.dispose]();
  const share = await large;
  expect(granted).toEqual(["large"]);
  share[Symbol.dispose]();
  await small;
  expect(granted).toEqual(["large", "small"]);
});

test("take() that is aborted rejects, and lets those behind it through", async () => {
  const budget = new Budget(4);
  const held = await budget.take(3, never);
  const abort = new AbortController();
  const waiting = budget.take(4, abort.signal);
  const behind = budget.take(1, never);
  abort.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  (await behind)[Symbol.dispose]();
  held[Symbol.dispose]();
  expect(budget.take(1, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});

test("take() lets neither slow uploads nor slow downloads hold up each other or small requests", async () => {
  const MiB = 1024 * 1024;
  const budget = new Budget(64 * MiB);
  let granted = 0;
  const many = (count: number, kind: "fill" | "read") =>
    Array.from({ length: count }, () =>
      budget.take(4 * MiB, never, kind).then((share) => (granted++, share)),
    );
  const uploads = many(20, "fill"); // 14 of them fit 7/8
  await settle();
  expect(granted).toBe(14);
  using _small = await budget.take(200_000, never, "fill");
  const download = await budget.take(4 * MiB, never, "read"); // 15/16 are out now
  const downloads = many(1, "read");
  using _own = await budget.take(2 * MiB, never);
  await settle();
  expect(granted).toBe(14);
  download[Symbol.dispose]();
  (await downloads[0]!)[Symbol.dispose]();
  for (const upload of uploads.slice(0, 14)) (await upload)[Symbol.dispose]();
  for (const upload of uploads.slice(14)) (await upload)[Symbol.dispose]();
  expect(granted).toBe(21);
});

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 11);
test(`take() never shares out more than there is, and loses nothing (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  const budget = new Budget(100);
  let shared = 0;
  const work = Array.from({ length: 500 }, async () => {
    const size = 1 + prng.below(100);
    const abort = new AbortController();
    if (prng.chance(1, 4)) queueMicrotask(() => abort.abort(new Error("gone")));
    try {
      const share = await budget.take(size, abort.signal);
      shared += size;
      expect(shared).toBeLessThanOrEqual(100);
      if (prng.chance(1, 2)) await Promise.resolve();
      shared -= size;
      share[Symbol.dispose]();
      share[Symbol.dispose](); // twice gives back once
    } catch (reason) {
      expect(reason).toHaveProperty("message", "gone");
    }
  });
  await Promise.all(work);
  (await budget.take(100, never))[Symbol.dispose]();
});
