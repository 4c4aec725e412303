import { expect, test } from "bun:test";
import { parseQuery, percentDecode, percentEncode, splitTarget } from "./index.ts";

test("splitTarget() cuts at the first question mark and changes nothing", () => {
  expect(splitTarget("//a/../%2f?b?c=%20")).toEqual({ path: "//a/../%2f", query: "b?c=%20" });
  expect(splitTarget("/a")).toEqual({ path: "/a", query: "" });
});

test("percentDecode() undoes escapes, refuses broken ones and malformed UTF-8", () => {
  expect(percentDecode("/a%20b%2Fc+%C3%A9%e3%82%AD")).toBe("/a b/c+éキ");
  expect(percentDecode("a+b", "plus_is_space")).toBe("a b");
  for (const text of [
    "%",
    "%4",
    "%zz",
    "%4g",
    "%%41",
    "%ff",
    "%c3",
    "%c0%80",
    "%ed%a0%80",
    "\u0100%41",
  ]) {
    expect(percentDecode(text)).toBeUndefined();
  }
});

test("percentEncode() leaves only unreserved characters, and slashes if told", () => {
  expect(percentEncode("aZ09-._~")).toBe("aZ09-._~");
  expect(percentEncode("/a b+é'(*)!")).toBe("%2Fa%20b%2B%C3%A9%27%28%2A%29%21");
  expect(percentEncode("/a b/", "keep_slash")).toBe("/a%20b/");
  const all = String.fromCodePoint(...Array.from({ length: 0xd7ff }, (_, code) => code));
  expect(percentDecode(percentEncode(all))).toBe(all);
});

test("parseQuery() keeps order and duplicates", () => {
  expect(parseQuery("b=1&a&&a=x%3Dy=z&c=+%2B")).toEqual([
    { name: "b", value: "1" },
    { name: "a", value: "" },
    { name: "a", value: "x=y=z" },
    { name: "c", value: " +" },
  ]);
  expect(parseQuery("")).toEqual([]);
  expect(parseQuery("a=%")).toBeUndefined();
});
