import { expect, test } from "bun:test";
import { newBytes } from "@kiseki/base";
import { encodeResponseHead, HeaderBlock } from "./index.ts";

test("encodeResponseHead() writes head bytes at the offset, or says that there is no room", () => {
  const target = newBytes(60).fill(0xaa);
  const end = encodeResponseHead(206, [["x-a", "\u00e9"]], target, 3);
  expect(Buffer.from(target.subarray(3, end)).toString("latin1")).toBe(
    "HTTP/1.1 206 Partial Content\r\nx-a: é\r\n\r\n",
  );
  expect(target[end]).toBe(0xaa);
  expect(encodeResponseHead(206, [["x-a", "é"]], target, 21)).toBe(-1);
});

test("encodeResponseHead() writes a HeaderBlock behind the headers, which asserts as it does", () => {
  const target = new Uint8Array(64);
  const block = new HeaderBlock([
    ["x-b", "2"],
    ["x-c", "3"],
  ]);
  const end = encodeResponseHead(200, [["x-a", "1"]], target, 0, block);
  expect(encodeResponseHead(200, [["x-a", "1"]], target, 30, block)).toBe(-1);
  const text = Buffer.from(target.subarray(0, end)).toString("latin1");
  expect(text).toBe("HTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\nx-c: 3\r\n\r\n");
  expect(new HeaderBlock([["x", "\u00e9"]]).bytes).toHaveLength(8);
  expect(() => new HeaderBlock([["x", "a\r\nb: c"]])).toThrow("line end");
  expect(() => new HeaderBlock([["x y", "v"]])).toThrow("token");
});

test("encodeResponseHead() cannot be made to emit another line", () => {
  const target = newBytes(1000);
  for (const value of ["a\r\nb: c", "a\nb", "a\0", "\u010a"]) {
    expect(() => encodeResponseHead(200, [["x", value]], target, 0)).toThrow("line end");
  }
  for (const name of ["", "a b", "a:", "a\r\n"]) {
    expect(() => encodeResponseHead(200, [[name, "v"]], target, 0)).toThrow("token");
  }
});
