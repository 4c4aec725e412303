// The small parsers, each by a table: names, keys, copy sources, dates, ranges, conditions.
import { expect, test } from "bun:test";
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { isBucketName } from "./bucket-name.ts";
import { evaluateRead, evaluateWrite, parseEtags } from "./conditions.ts";
import { formatHttpDate, formatIsoDate, parseHttpDate } from "./date.ts";
import { isFault } from "./errors.ts";
import { canonicalKey, keyFromPath, parseCopySource } from "./key.ts";
import { parseRange, resolveRange } from "./range.ts";

test("isBucketName() keeps AWS's rules", () => {
  const good = ["abc", "a.b.c", "1-2", "a-b.c", "x".repeat(63), "192.168.1.1a"];
  const bad = [
    "",
    "ab",
    "x".repeat(64),
    "Abc",
    "a_b",
    "-ab",
    "ab-",
    ".ab",
    "ab.",
    "a..b",
    "a-.b",
    "a.-b",
    "192.168.5.4",
    "xn--abc",
    "sthree-abc",
    "abc-s3alias",
    "abc--ol-s3",
    "abc--x-s3",
    "abc.mrap",
    "ab\u00e9",
    "a b",
  ];
  expect(good.filter((name) => !isBucketName(name))).toEqual([]);
  expect(bad.filter((name) => isBucketName(name))).toEqual([]);
});

test("canonicalKey() counts bytes of UTF-8, not characters", () => {
  expect(canonicalKey("é".repeat(512))).toHaveLength(1024);
  expect(canonicalKey("é".repeat(513))).toMatchObject({
    code: "KeyTooLongError",
    details: [
      ["Size", "1026"],
      ["MaxSizeAllowed", "1024"],
    ],
  });
  expect(canonicalKey("")).toMatchObject({ code: "UserKeyMustBeSpecified" });
});

test("keyFromPath() and parseCopySource() give one key for one spelling", () => {
  const keys = [
    "a",
    "//",
    ".",
    "..",
    "a/../b",
    "a b",
    "a+b",
    "a%b",
    "a?b",
    "a?versionId=x",
    "ключ",
    "\u{1f600}",
    "\u0001\n",
    "a/",
  ];
  for (const key of keys) {
    const escaped = encodeURIComponent(key);
    const fromPath = keyFromPath(escaped);
    const copied = parseCopySource(`/abc/${escaped}`);
    expect(isFault(fromPath) ? fromPath : fromUtf8(fromPath)).toBe(key);
    expect(isFault(copied) ? copied : fromUtf8(copied.key)).toBe(key);
  }
});

test("parseCopySource() wants a bucket and a key, and knows the null version", () => {
  expect(parseCopySource("abc/k?versionId=null")).toEqual({
    bucket: "abc",
    key: toUtf8("k"),
    versionId: "null",
  });
  expect(parseCopySource("abc/k?versionId=v")).toMatchObject({ versionId: "v" });
  expect(parseCopySource("abc/k%3FversionId=v")).toMatchObject({ versionId: undefined });
  expect(parseCopySource("%2Fabc%2Fk")).toMatchObject({ bucket: "abc" });
  for (const text of ["", "/", "abc", "abc/", "//k", "abc/k?versionId="]) {
    expect(parseCopySource(text)).toMatchObject({ code: "InvalidArgument" });
  }
  expect(parseCopySource("ABC/k")).toMatchObject({ code: "InvalidBucketName" });
  expect(parseCopySource("arn:aws:s3:x")).toMatchObject({ code: "NotImplemented" });
});

test("parseHttpDate() reads the three forms and nothing else", () => {
  const want = Date.UTC(1994, 10, 6, 8, 49, 37);
  const good = [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ];
  for (const text of good) expect(parseHttpDate(text)).toBe(wallTime(want));
  const bad = [
    "",
    "now",
    "Sun, 31 Feb 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
  ];
  for (const text of bad) expect(parseHttpDate(text)).toBeUndefined();
});

test("dates are those of Date", () => {
  for (let i = -70_000; i < 400_000; i += 37) {
    const time = wallTime(i * 20_000_003);
    const date = new Date(time);
    expect(formatIsoDate(time)).toBe(date.toISOString());
    expect(formatHttpDate(time)).toBe(date.toUTCString());
    expect(parseHttpDate(date.toUTCString())).toBe(wallTime(Math.floor(time / 1000) * 1000));
  }
});

test("dates are those of Date at the ends of months, years and centuries", () => {
  for (let year = 1200; year <= 2900; year++) {
    for (const [month, day] of [
      [0, 1],
      [1, 28],
      [2, 0],
      [2, 1],
      [11, 31],
    ] as const) {
      const time = wallTime(Date.UTC(year, month, day, 23, 59, 59));
      expect(formatHttpDate(time)).toBe(new Date(time).toUTCString());
      expect(parseHttpDate(new Date(time).toUTCString())).toBe(time);
    }
  }
});

const ranges = [
  ["bytes=0-4", 10, { offset: 0, length: 5 }],
  ["bytes=4-100", 10, { offset: 4, length: 6 }],
  ["bytes=4-", 10, { offset: 4, length: 6 }],
  ["bytes=-3", 10, { offset: 7, length: 3 }],
  ["bytes=-30", 10, { offset: 0, length: 10 }],
  ["bytes=0-0", 1, { offset: 0, length: 1 }],
  ["bytes=10-", 10, "unsatisfiable"],
  ["bytes=40-50", 10, "unsatisfiable"],
  ["bytes=-0", 10, "unsatisfiable"],
  ["bytes=0-5", 0, "unsatisfiable"],
  ["bytes=-5", 0, "unsatisfiable"],
  ["bytes=99999999999999999999-", 10, "unsatisfiable"],
  ["bytes=0-99999999999999999999", 10, { offset: 0, length: 10 }],
] as const;
for (const [header, size, want] of ranges) {
  test(`resolveRange() of ${header} in ${size} bytes`, () => {
    const range = parseRange(header);
    expect(range && resolveRange(range, size)).toEqual(want);
  });
}
test("parseRange() leaves out what S3 ignores", () => {
  for (const text of [
    undefined,
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=5-2",
    "bytes=0-1,3-4",
    "lines=0-1",
    "bytes=0 - 1",
  ]) {
    expect(parseRange(text)).toBeUndefined();
  }
});

test("parseEtags() takes quotes off, and weakness where it makes no difference", () => {
  expect(parseEtags('"a", W/"b",c', "weak")).toEqual(["a", "b", "c"]);
  expect(parseEtags('"a", W/"b",c', "strong")).toEqual(["a", "c"]);
  expect(parseEtags('W/"b"', "strong")).toEqual([]);
  expect(parseEtags("*", "strong")).toBe("*");
});

test("evaluateRead() keeps the precedence of RFC 9110", () => {
  const state = { etag: "e", lastModified: wallTime(10_900) };
  const at = (seconds: number) => wallTime(seconds * 1000);
  const cases = [
    [{}, "proceed"],
    [{ ifMatch: ["x", "e"] }, "proceed"],
    [{ ifMatch: ["x"] }, "precondition_failed"],
    [{ ifMatch: "*" }, "proceed"],
    [{ ifNoneMatch: ["e"] }, "not_modified"],
    [{ ifNoneMatch: "*" }, "not_modified"],
    [{ ifNoneMatch: ["x"] }, "proceed"],
    [{ ifModifiedSince: at(9) }, "proceed"],
    [{ ifModifiedSince: at(10) }, "not_modified"],
    [{ ifUnmodifiedSince: at(10) }, "proceed"],
    [{ ifUnmodifiedSince: at(9) }, "precondition_failed"],
    [{ ifMatch: ["e"], ifUnmodifiedSince: at(9) }, "proceed"],
    [{ ifNoneMatch: ["x"], ifModifiedSince: at(11) }, "proceed"],
    [{ ifMatch: ["x"], ifNoneMatch: ["e"] }, "precondition_failed"],
    [{ ifMatch: ["e"], ifNoneMatch: ["e"] }, "not_modified"],
    [{ ifMatch: [] }, "precondition_failed"],
  ] as const;
  for (const [conditions, want] of cases) {
    expect(evaluateRead(conditions, state).kind).toBe(want);
  }
  const both = { ifMatch: ["e"], ifNoneMatch: ["e"] };
  expect(evaluateRead(both, state)).toMatchObject({ condition: "ifNoneMatch" });
});

test("evaluateWrite() has one winner and tells a lost object from a changed one", () => {
  expect(evaluateWrite({}, "e")).toBeUndefined();
  expect(evaluateWrite({ ifNoneMatch: "*" }, undefined)).toBeUndefined();
  expect(evaluateWrite({ ifNoneMatch: "*" }, "e")).toBe("PreconditionFailed");
  expect(evaluateWrite({ ifMatch: ["e"] }, "e")).toBeUndefined();
  expect(evaluateWrite({ ifMatch: ["x"] }, "e")).toBe("PreconditionFailed");
  expect(evaluateWrite({ ifMatch: "*" }, undefined)).toBe("NoSuchKey");
});
