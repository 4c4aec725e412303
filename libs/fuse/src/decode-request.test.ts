import { expect, test } from "bun:test";
import { concatBytes, toUtf8 } from "@kiseki/base";
import { decodeRequest } from "./index.ts";
import { isAnswered, type Opcode, opcodes } from "./opcodes.ts";
import { fields, samples, wireRequest } from "./wire.test-helper.ts";

const form = { hasLongSetxattr: true };
const head = { unique: 0x1_0000_0002, node: 7, uid: 1000, gid: 100, pid: 4321 };

test.each([...samples])("decodeRequest() reads %s", (opcode, body, says) => {
  expect(decodeRequest(wireRequest(opcode, body), form)).toEqual({ ...head, ...says } as never);
});

test("samples cover every opcode that is served", () => {
  const served = new Set(samples.map(([opcode]) => opcode));
  const rest = Object.keys(opcodes).filter((opcode) => !served.has(opcode as Opcode));
  expect(rest.toSorted()).toEqual(
    [
      ...["bmap", "ioctl", "poll", "notify_reply"],
      ...["setupmapping", "removemapping", "statx"],
    ].toSorted(),
  );
  for (const opcode of rest) {
    const request = decodeRequest(wireRequest(opcode as Opcode, new Uint8Array(64)), form);
    expect(request).toMatchObject({ kind: "unserved", unique: head.unique });
  }
});

test.each([...samples])("decodeRequest() refuses %s cut anywhere", (opcode, body) => {
  const isInit = opcode === "init"; // its shorter form is one, too
  const whole = decodeRequest(wireRequest(opcode, body), form);
  for (let size = 0; size < body.byteLength; size++) {
    const cut: object & { readonly kind: string } = decodeRequest(
      wireRequest(opcode, body.slice(0, size)),
      form,
    );
    if (cut.kind === "fault") {
      const unique = isAnswered(opcode) ? head.unique : 0;
      expect(cut).toMatchObject({ code: "malformed", errno: 22, unique });
    } else if (!isInit) {
      // Fields at the end that nobody reads may be missing; what is said stays the same.
      expect(cut).toEqual(whole as typeof cut);
    }
  }
});

test("decodeRequest() names what is no request, and whom to answer", () => {
  expect(decodeRequest(new Uint8Array(39), form)).toMatchObject({ code: "short", unique: 0 });
  const lookup = wireRequest("lookup", fields("a"));
  const long = decodeRequest(concatBytes(lookup, new Uint8Array(1)), form);
  expect(long).toMatchObject({ code: "length", unique: head.unique });
  expect(decodeRequest(wireRequest(4096, new Uint8Array(8)), form)).toMatchObject({
    code: "unknown_opcode",
    errno: 38,
    unique: head.unique,
  });
  const forget = decodeRequest(wireRequest("forget", new Uint8Array(3)), form);
  expect(forget).toMatchObject({ code: "malformed", unique: 0 });
});

test("decodeRequest() refuses sizes beyond the limits", () => {
  const malformed = { kind: "fault", code: "malformed" } as const;
  const longest = "n".repeat(255);
  expect(decodeRequest(wireRequest("lookup", fields(longest)), form)).toMatchObject({
    name: toUtf8(longest),
  });
  const cases: readonly (readonly [Opcode, Uint8Array])[] = [
    ["lookup", fields("")],
    ["read", fields([8, 1], [8, 0], [4, 1_048_577], [4, 0], [8, 0], [4, 0], [4, 0])],
    ["write", fields([8, 1], [8, 0], [4, 100], [4, 0], [8, 0], [4, 0], [4, 0], new Uint8Array(99))],
    ["setxattr", fields([4, 65_537], [4, 0], [4, 0], [4, 0], "a", new Uint8Array(65_537))],
    ["batch_forget", fields([4, 0xffff_ffff], [4, 0], [8, 1], [8, 1])],
    ["setlk", fields([8, 5], [8, 1], [8, 9], [8, 8], [4, 1], [4, 1], [4, 0], [4, 0])],
    ["setlk", fields([8, 5], [8, 1], [8, 0], [8, 8], [4, 3], [4, 1], [4, 0], [4, 0])],
    ["release", fields([8, 2n ** 53n], [4, 0], [4, 0], [8, 0])],
  ];
  for (const [opcode, body] of cases)
    expect(decodeRequest(wireRequest(opcode, body), form)).toMatchObject(malformed);
  for (const body of [fields(`${longest}n`), fields("a", "t".repeat(4096))]) {
    const opcode = body.byteLength < 300 ? "lookup" : "symlink";
    const fault = decodeRequest(wireRequest(opcode, body), form);
    expect(fault).toMatchObject({ kind: "fault", code: "too_long", errno: 36 });
  }
});

test("decodeRequest() leaves extensions at the end alone", () => {
  const body = fields([4, 0o777], [4, 0o22], "d", [2, 0], [4, 0], new Uint8Array(16));
  const request = wireRequest("mkdir", body);
  new DataView(request.buffer).setUint16(36, 2, true);
  expect(decodeRequest(request, form)).toMatchObject({ kind: "mkdir", name: toUtf8("d") });
  new DataView(request.buffer).setUint16(36, 9, true);
  expect(decodeRequest(request, form)).toMatchObject({ code: "malformed" });
});

test("decodeRequest() reads the short form of SETXATTR where the long one was not agreed on", () => {
  const body = fields([4, 2], [4, 1], "user.k", toUtf8("vv"));
  expect(decodeRequest(wireRequest("setxattr", body), { hasLongSetxattr: false })).toMatchObject({
    name: toUtf8("user.k"),
    value: toUtf8("vv"),
  });
});
