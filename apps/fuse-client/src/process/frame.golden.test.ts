import { expect, test } from "bun:test";
import { concatBytes, fromHex, newBytes, toHex, toUtf8 } from "@kiseki/base";
import { putAttributes } from "./attributes.ts";
import { answerKinds, bodySizeMax, FieldReader, FieldWriter, FrameReader, verbs } from "./frame.ts";

const attributes = {
  inode: 0x1234,
  kind: "file",
  mode: 0o640,
  uid: 1000,
  gid: 100,
  links: 2,
  size: 5_000_000_000,
  blocks: 9,
  device: 0,
  accessed: 1n,
  modified: -1n,
  changed: 1_800_000_000_000_000_000n,
} as const;
const attributesHex =
  "3412000000000000a0810000e80300006400000002000000" +
  "00f2052a0100000009000000000000000100000000000000ffffffffffffffff0000b49376e2fa18";

// One row per frame that ever shipped. Append only: libraries of other versions speak them.
const golden: readonly (readonly [name: string, make: () => Uint8Array, hex: string])[] = [
  [
    "hello",
    () => new FieldWriter().u16(1).bytes(newBytes(32).fill(0xab)).frame(1, verbs.hello, 0),
    `2a000000010000000100000001 00${"ab".repeat(32)}`,
  ],
  [
    "an open",
    () => new FieldWriter().u16(11).u32(0o644).text("/ä").frame(0xffffffff, verbs.open, 0),
    "13000000ffffffff0a0000000b00a401000003002fc3a4",
  ],
  [
    "a write",
    () =>
      new FieldWriter()
        .u64(1)
        .u64(2 ** 40)
        .u32(2)
        .bytes(toUtf8("hi"))
        .frame(7, verbs.write, 0),
    "1e000000070000000d000000010000000000000000000000000100000200000068 69",
  ],
  [
    "an answer with attributes",
    () => putAttributes(new FieldWriter(), attributes).frame(3, answerKinds.done, 0),
    `48000000030000000100 0000${attributesHex}`,
  ],
  [
    "a refusal",
    () => new FieldWriter().text("ENOENT").frame(3, answerKinds.done, 2),
    "1000000003000000010002000600454e4f454e54",
  ],
  [
    "progress",
    () => new FieldWriter().u64(1).frame(9, answerKinds.progress, 0),
    "10000000090000000200 00000100000000000000",
  ],
];
for (const [name, make, hex] of golden) {
  test(`FieldWriter keeps the bytes of ${name}`, () => {
    expect(toHex(make())).toBe(hex.replaceAll(" ", ""));
  });
}

test("FrameReader takes frames out of any pieces, and refuses sizes before it takes memory", () => {
  const bytes = concatBytes(...golden.map(([, make]) => make()));
  for (const size of [1, 5, 12, 13, bytes.byteLength]) {
    const reader = new FrameReader(bodySizeMax);
    const seen: string[] = [];
    for (let at = 0; at < bytes.byteLength; at += size) {
      const piece = bytes.subarray(at, at + size);
      for (let end = 0; ;) {
        const taken = reader.next(piece, end);
        if (taken === undefined) break;
        end = taken.end;
        seen.push(`${taken.frame.id}/${taken.frame.kind}/${taken.frame.body.byteLength}`);
      }
    }
    expect(seen).toEqual(["1/1/34", "4294967295/10/11", "7/13/22", "3/1/64", "3/1/8", "9/2/8"]);
  }
  for (const size of ["00000000", "07000000", "ffffffff", "09004100"]) {
    const header = fromHex(`${size}0100000001000000`);
    expect(() => new FrameReader(bodySizeMax).next(header, 0)).toThrow("Cannot take a body");
  }
});

test("FieldReader refuses what is missing, too much or too large", () => {
  const reader = (hex: string): FieldReader => new FieldReader(fromHex(hex));
  expect(reader("0300616263").text()).toBe("abc");
  for (const act of [
    () => reader("").u16(),
    () => reader("0300").path(),
    () => reader("ffff").path(),
    () => reader("0100ff").text(),
    () => reader("0000000000002000").u64(),
    () => reader("05000000").blob(4),
    () => reader("00").end(),
  ])
    expect(act).toThrow();
});
