import { expect, test } from "bun:test";
import { ByteGate } from "./byte-gate.ts";

test("ByteGate: lets in what fits, in the order asked, and no small one past a large one", async () => {
  const gate = new ByteGate(10);
  const first = await gate.take(6, 1000);
  const order: string[] = [];
  const large = gate.take(8, 1000).then((share) => (order.push("large"), share));
  const small = gate.take(2, 1000).then((share) => (order.push("small"), share));
  await Bun.sleep(10);
  expect(order).toEqual([]);
  first![Symbol.dispose]();
  first![Symbol.dispose](); // counts once
  (await large)![Symbol.dispose]();
  await small;
  expect(order).toEqual(["large", "small"]);
  expect(await gate.take(9, 20)).toBeUndefined();
});

test("ByteGate: takeNow() takes what is free, and nothing that others wait for", async () => {
  const gate = new ByteGate(10);
  const first = gate.takeNow(6)!;
  expect(gate.takeNow(5)).toBeUndefined();
  using _ = gate.takeNow(4);
  const waiting = gate.take(7, 5_000);
  first[Symbol.dispose]();
  expect(gate.takeNow(1)).toBeUndefined();
  expect(await gate.take(1, 1)).toBeUndefined();
  _![Symbol.dispose]();
  (await waiting)![Symbol.dispose]();
  expect(gate.takeNow(10)).toBeDefined();
});

test("ByteGate: who waits too long leaves, and those behind go on", async () => {
  const gate = new ByteGate(10);
  using _ = await gate.take(5, 1000);
  const large = gate.take(10, 30);
  const small = gate.take(5, 5_000);
  expect(await large).toBeUndefined();
  expect(await small).toBeDefined();
});
