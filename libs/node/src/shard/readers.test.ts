import { expect, test } from "bun:test";
import { chunkId, newBytes } from "@kiseki/base";
import { Pins } from "./pins.ts";
import { Readers } from "./readers.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("allLeft() waits for those inside at the call, not for later ones", async () => {
  const readers = new Readers();
  const early = readers.enter();
  let isOver = false;
  const over = readers.allLeft().then(() => (isOver = true));
  const late = readers.enter();
  await settle();
  expect(isOver).toBe(false);
  early[Symbol.dispose]();
  await over;
  expect(readers.count).toBe(1);
  late[Symbol.dispose]();
});

test("allLeft() resolves at once when nobody is inside, and leaving twice counts once", async () => {
  const readers = new Readers();
  await readers.allLeft();
  const [first, second] = [readers.enter(), readers.enter()];
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  expect(readers.count).toBe(1);
  let isOver = false;
  const over = readers.allLeft().then(() => (isOver = true));
  await settle();
  expect(isOver).toBe(false);
  second[Symbol.dispose]();
  await over;
});

test("Pins count: a chunk pinned twice stays pinned until both are gone", () => {
  const pins = new Pins();
  const id = chunkId(newBytes(32).fill(7));
  const [first, second] = [pins.pin(id), pins.pin(id)];
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  expect(pins.has(id)).toBe(true);
  second[Symbol.dispose]();
  expect(pins.has(id)).toBe(false);
  expect(pins.count).toBe(0);
});
