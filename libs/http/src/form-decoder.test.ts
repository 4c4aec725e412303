// Goal: a form means the same however it is cut, the file's bytes come out as they went in, and nothing is buffered past its limits.
// Method: forms as browsers, curl and requests write them, whole, byte by byte and split at every position.
import { expect, test } from "bun:test";
import { concatBytes, prngFromSeed, toUtf8 } from "@kiseki/base";
import { FormDecoder, formBoundary } from "./index.ts";
import { formLimitsDefault } from "./limits.ts";

const part = (disposition: string, value: string): string =>
  `--xYz\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${value}\r\n`;
const file = (content: string, rest = "--xYz--\r\n"): string =>
  `--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n${content}\r\n${rest}`;

/** Events as lines, data joined; the last line says whether the file was whole. */
function meaningOf(
  pieces: Iterable<Uint8Array | string>,
  options: { readonly limits?: Partial<typeof formLimitsDefault>; readonly slice?: number } = {},
): string {
  const decoder = new FormDecoder("xYz", { ...formLimitsDefault, ...options.limits });
  const lines: string[] = [];
  let data: string | undefined;
  for (const piece of pieces) {
    decoder.feed(typeof piece === "string" ? toUtf8(piece) : piece);
    for (;;) {
      const event = decoder.next(options.slice);
      if (event.kind === "need_more") break;
      if (event.kind === "data") {
        data = (data ?? "") + Buffer.from(event.bytes).toString("latin1");
        continue;
      }
      if (data !== undefined) lines.push(`data ${data}`);
      data = undefined;
      if (event.kind === "fault") return [...lines, `fault ${event.code}`].join("\n");
      lines.push(Object.values(event).join(" "));
    }
  }
  if (data !== undefined) lines.push(`data ${data}`);
  return [...lines, decoder.isWhole ? "whole" : "cut"].join("\n");
}

test("FormDecoder takes fields and file apart, and ignores what follows the file", () => {
  const form =
    part('name="KeY"', "photos/ä") +
    part('name="empty"; filename="empty"', "") +
    part("name=acl", "private") +
    file("line\r\n--xY\r\r\n--xYzz", "--xYz\r\nnonsense");
  // The file's own text holds a delimiter with wrong bytes behind it: nobody can tell where it ends.
  expect(meaningOf([form])).toEndWith("fault malformed");
  const good = form.replace("--xYzz", "--xY");
  const meaning = meaningOf([good]);
  expect(meaning.split("\n").slice(0, 4)).toEqual([
    "field key photos/ä",
    "field empty ",
    "field acl private",
    "file a.txt",
  ]);
  expect(meaning).toEndWith("data line\r\n--xY\r\r\n--xY\nfile_end\nwhole");
});
test("FormDecoder means the same at every split, byte by byte, and in slices of any size", () => {
  const form = toUtf8(
    part('name="key"', "k") +
      part('name="x"', "\r\n--xY\r\n") +
      file("ab\r\n--xY\r\n-\r\r\n--x\r\n\r\n"),
  );
  const whole = meaningOf([form]);
  expect(whole).toEndWith("data ab\r\n--xY\r\n-\r\r\n--x\r\n\r\n\nfile_end\nwhole");
  expect(meaningOf(Array.from(form, (byte) => Uint8Array.of(byte)))).toBe(whole);
  for (const slice of [1, 2, 5]) expect(meaningOf([form], { slice })).toBe(whole);
  for (let at = 0; at <= form.byteLength; at++) {
    expect(meaningOf([form.slice(0, at), form.slice(at)], { slice: 3 })).toBe(whole);
  }
});
test("FormDecoder gives back large binary content byte for byte", () => {
  const content = prngFromSeed(5).fill(new Uint8Array(300_000));
  const [before, after] = file("\0").split("\0").map(toUtf8) as [Uint8Array, Uint8Array];
  const form = concatBytes(before, content, after);
  const decoder = new FormDecoder("xYz");
  const parts: Uint8Array[] = [];
  for (let at = 0; at < form.byteLength; at += 70_001) {
    decoder.feed(form.subarray(at, at + 70_001));
    for (let event = decoder.next(); event.kind !== "need_more"; event = decoder.next()) {
      if (event.kind === "data") parts.push(event.bytes.slice());
    }
  }
  expect(decoder.isWhole).toBe(true);
  expect(Buffer.concat(parts).equals(content)).toBe(true);
});
test.each([
  ["a preamble", `x\r\n${file("a")}`, "malformed"],
  ["another boundary", file("a").replaceAll("--xYz", "--xYzz"), "malformed"],
  ["no file", `${part('name="key"', "k")}--xYz--\r\n`, "no_file"],
  ["nothing", "--xYz--\r\n", "no_file"],
  [
    "a field twice, in another case",
    part('name="a"', "1") + part('name="A"', "2") + file("x"),
    "malformed",
  ],
  ["a name twice in a head", part('name="a"; name="b"', "1"), "malformed"],
  [
    "a disposition twice",
    part('name="a"\r\nContent-Disposition: form-data; name="b"', ""),
    "malformed",
  ],
  ["no name", part('filename="a"', "1"), "malformed"],
  ["an empty name", part('name=""', "1"), "malformed"],
  ["another disposition", part('name="a"', "1").replace("form-data", "attachment"), "malformed"],
  ["a folded head", part('name="a";\r\n filename="b"', "1"), "malformed"],
  ["a head of bytes without a colon", "--xYz\r\nhello\r\n\r\n", "malformed"],
  ["a control byte in a head", part('name="a\0"', "1"), "malformed"],
  [
    "a coding that changes bytes",
    part('name="a"\r\nContent-Transfer-Encoding: base64', "MQ=="),
    "malformed",
  ],
  [
    "a head without its end",
    part('name="a"', "1").replace("\r\n\r\n", "\n\n") + file("a"),
    "malformed",
  ],
] as const)("FormDecoder refuses %s", (_, form, code) => {
  expect(meaningOf([form])).toEndWith(`fault ${code}`);
  expect(meaningOf(Array.from(toUtf8(form), (byte) => Uint8Array.of(byte)))).toBe(
    meaningOf([form]),
  );
});
test("FormDecoder refuses fields that are not UTF-8, and takes files that are not", () => {
  const bytes = (text: string) => Buffer.from(text, "latin1");
  expect(meaningOf([bytes(part('name="a"', "\xff") + file("a"))])).toBe("fault malformed");
  expect(meaningOf([bytes(file("\xff"))])).toContain("data \xff\n");
});
test("FormDecoder stops at its limits: fields, bytes before the file, bytes behind it", () => {
  const many = Array.from({ length: 4 }, (_, at) => part(`name="f${at}"`, "1234")).join("");
  const refused = "fault too_large";
  expect(meaningOf([many + file("a")], { limits: { fieldCountMax: 4 } })).toEndWith("whole");
  expect(meaningOf([many + file("a")], { limits: { fieldCountMax: 3 } })).toEndWith(refused);
  expect(meaningOf([many + file("a")], { limits: { fieldSizeMax: 24 } })).toEndWith("whole");
  expect(meaningOf([many + file("a")], { limits: { fieldSizeMax: 23 } })).toEndWith(refused);
  expect(meaningOf([many + file("a")], { limits: { headSizeMax: 200 } })).toEndWith(refused);
  expect(
    meaningOf([file("a", `--xYz\r\n${"z".repeat(100)}`)], { limits: { restSizeMax: 99 } }),
  ).toEndWith(refused);
});
test("FormDecoder takes fields up to its limit, however they are cut", () => {
  const form = toUtf8(
    part('name="a"', "x".repeat(20_000)) + part('name="b"', "ä".repeat(200)) + file("y"),
  );
  const whole = meaningOf([form]);
  expect(whole).toEndWith("data y\nfile_end\nwhole");
  for (const size of [1000, 4095, 4096, 5000]) {
    const pieces = Array.from({ length: Math.ceil(form.byteLength / size) }, (_, at) =>
      form.slice(at * size, (at + 1) * size),
    );
    expect(meaningOf(pieces)).toBe(whole);
  }
});
test("FormDecoder says of a body that ended early that its file is not whole", () => {
  const form = file("abc");
  expect(meaningOf([form.slice(0, form.indexOf("abc") + 2)])).toEndWith("data ab\ncut");
  expect(meaningOf([form.slice(0, form.lastIndexOf("--xYz") + 6)])).toEndWith("cut");
});
test("FormDecoder reads names as old and new clients write them", () => {
  expect(
    meaningOf([part('name="a"; filename="C:\\dir\\b \\"c\\".txt"', "") + file("x")]),
  ).toStartWith("field a");
  const odd = file("x").replace('"a.txt"', '"C:\\d\\b \\"c\\".txt"');
  expect(meaningOf([odd])).toStartWith('file C:\\d\\b "c".txt');
  expect(meaningOf([file("x").replace(' filename="a.txt"', "").replace(";\r", "\r")])).toStartWith(
    "file \n",
  );
});

test.each([
  ["multipart/form-data; boundary=abc", "abc"],
  ['Multipart/Form-Data;charset=utf-8;boundary="a b"', "a b"],
  [
    "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    "----WebKitFormBoundary7MA4YWxkTrZu0gW",
  ],
  ["multipart/form-data", undefined],
  ["multipart/form-data; boundary=", undefined],
  ["multipart/form-data; boundary=a; boundary=b", undefined],
  [`multipart/form-data; boundary=${"a".repeat(71)}`, undefined],
  ['multipart/form-data; boundary="a "', undefined],
  ["multipart/form-data; boundary=a\u00e4", undefined],
] as const)("formBoundary() of %s", (header, boundary) => {
  expect(formBoundary(header)).toEqual({ boundary });
});
test("formBoundary() leaves other types alone", () => {
  expect(formBoundary(undefined)).toBeUndefined();
  expect(formBoundary("multipart/form-data-x; boundary=a")).toBeUndefined();
  expect(formBoundary("text/plain; boundary=a")).toBeUndefined();
});
