import { expect, test } from "bun:test";
import { newBytes, tenantId, toHex, wallTime } from "@kiseki/base";
import {
  decodeSession,
  decodeSessionToken,
  encodeSession,
  encodeSessionToken,
  type Session,
} from "./index.ts";

const bare: Session = {
  kind: "user",
  tenant: tenantId(newBytes(16).fill(0x7e)),
  accessKeyId: "ASIAABCDEFGHIJKLMNOP",
  issued: wallTime(0x0102_0304_0506),
  expires: wallTime(0x0102_0304_0607),
  policyNames: [],
  claims: [],
  tags: [],
};
const full: Session = {
  ...bare,
  kind: "claims",
  parentKey: "K",
  role: "R",
  sessionName: "S",
  provider: "P",
  subject: "ä",
  policy: "{}",
  policyNames: ["a", "b"],
  claims: [
    ["sub", "x"],
    ["groups", ""],
  ],
  tags: [["t", "v"]],
};
const fixed = `${"7e".repeat(16)} 41534941 4142434445464748494a4b4c4d4e4f50 0605040302010000 0706040302010000`;

// Append only: an edited row makes credentials that are out in the world worthless.
const golden: readonly (readonly [name: string, session: Session, hex: string])[] = [
  ["v1 bare", bare, `01 ${fixed}`],
  [
    "v1 with every field",
    full,
    `03 ${fixed} 01 0100 4b 02 0100 52 03 0100 53 04 0100 50 05 0200 c3a4 06 0200 7b7d 07 0100 61 07 0100 62 08 0500 7375620078 08 0700 67726f75707300 09 0300 740076`,
  ],
];
test.each([...golden])("encodeSession() keeps the bytes of %s", (_, session, hex) => {
  expect(toHex(encodeSession(session)!)).toBe(hex.replaceAll(" ", ""));
});
test.each([...golden])("decodeSession() answers what was encoded: %s", (_, session, hex) => {
  expect(decodeSession(Uint8Array.fromHex(hex.replaceAll(" ", "")))).toEqual(session);
});
test("decodeSession() refuses what encodeSession() does not write", () => {
  const bytes = encodeSession(full)!;
  for (let size = 0; size < bytes.byteLength; size++) {
    const cut = decodeSession(bytes.subarray(0, size));
    // A cut between two fields is a shorter session; GCM is what tells.
    if (cut !== undefined) expect(toHex(encodeSession(cut)!)).toBe(toHex(bytes.subarray(0, size)));
  }
  const changed = (at: number, value: number) => {
    const copy = bytes.slice();
    copy[at] = value;
    return decodeSession(copy);
  };
  expect(changed(0, 0)).toBeUndefined();
  expect(changed(0, 4)).toBeUndefined();
  expect(changed(44, 0xff)).toBeUndefined();
  expect(changed(53, 10)).toBeUndefined(); // out of order, and of a later program
  expect(changed(53, 2)).toBeUndefined(); // twice
});
test("encodeSession() refuses more than a request can carry", () => {
  expect(encodeSession({ ...bare, policy: "a".repeat(8192 - 53 - 3) })).toBeDefined();
  expect(encodeSession({ ...bare, policy: "a".repeat(8192 - 53 - 2) })).toBeUndefined();
});
test("encodeSessionToken() keeps the bytes of version 1", () => {
  const text = encodeSessionToken(newBytes(12).fill(0x11), newBytes(69).fill(0x22));
  expect(Buffer.from(text, "base64url").toString("hex")).toBe(
    `0100${"11".repeat(12)}${"22".repeat(69)}`,
  );
  expect(decodeSessionToken(text)).toEqual({
    nonce: newBytes(12).fill(0x11),
    sealed: newBytes(69).fill(0x22),
  });
});
test.each([
  ["", "nothing"],
  ["AQA", "too short"],
  [Buffer.from(`0200${"11".repeat(81)}`, "hex").toString("base64url"), "a later version"],
  [Buffer.from(`0101${"11".repeat(81)}`, "hex").toString("base64url"), "what is to be zero"],
  [`${Buffer.from(`0100${"ff".repeat(81)}`, "hex").toString("base64")}==`, "another alphabet"],
  [
    `${Buffer.from(`0100${"11".repeat(83)}`, "hex")
      .toString("base64url")
      .slice(0, -1)}F`,
    "bits of no byte",
  ],
  ["A".repeat(20_000), "too long"],
])("decodeSessionToken() refuses %s: %s", (text) => {
  expect(decodeSessionToken(text)).toBeUndefined();
});
