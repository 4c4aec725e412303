import { expect, test } from "bun:test";
import { type Fragment, lacking } from "./row.ts";

const twoCopies = { kind: "copies", copies: 2 } as const;
function copyOn(device: number, index: number): Fragment {
  const place = { zone: 0, generation: 1, offset: 0, group: 1, durable: 0, crc: 0 };
  return { device, index, data: 0, parity: 2, bad: false, ...place };
}

// Found by the simulator: a device that came back brought an old record beside its new one, the chunk
// counted as whole, and one lost device took both copies.
test("lacking() counts one fragment per device", () => {
  const every = (): boolean => true;
  expect(lacking(twoCopies, [copyOn(1, 0), copyOn(2, 1)], every)).toEqual([]);
  expect(lacking(twoCopies, [copyOn(1, 0), copyOn(1, 1)], every)).toEqual([1]);
  expect(lacking(twoCopies, [copyOn(1, 1), copyOn(1, 0)], every)).toEqual([0]);
});
