import { describe, expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import { isFault } from "../errors.ts";
import { parseDocument } from "./document.ts";
import {
  formatTaggingHeader,
  objectTagging,
  parseTaggingHeader,
  type Tag,
  taggingSetting,
} from "./tags.ts";

const documentOf = (tags: readonly Tag[]): Uint8Array =>
  toUtf8(
    `<Tagging><TagSet>${tags.map(({ key, value }) => `<Tag><Key>${key}</Key><Value>${value}</Value></Tag>`).join("")}</TagSet></Tagging>`,
  );
const numbered = (count: number): Tag[] =>
  Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: "v" }));
const codeOf = (result: unknown): string => (isFault(result) ? result.code : "accepted");

describe("object tags", () => {
  const rows: readonly (readonly [string, readonly Tag[], string])[] = [
    ["none", [], "accepted"],
    ["ten", numbered(10), "accepted"],
    ["eleven", numbered(11), "InvalidTag"],
    ["a key of 128 characters", [{ key: "k".repeat(128), value: "" }], "accepted"],
    ["a key of 129 characters", [{ key: "k".repeat(129), value: "" }], "InvalidTag"],
    [
      "a key of 128 letters of two units each",
      [{ key: "\u{1d538}".repeat(128), value: "" }],
      "accepted",
    ],
    ["a value of 256 characters", [{ key: "k", value: "v".repeat(256) }], "accepted"],
    ["a value of 257 characters", [{ key: "k", value: "v".repeat(257) }], "InvalidTag"],
    ["an empty key", [{ key: "", value: "v" }], "InvalidTag"],
    [
      "every character that is allowed",
      [{ key: "aZ9 é+-=._:/@", value: "aZ9 é+-=._:/@" }],
      "accepted",
    ],
    ["a character that is not", [{ key: "a", value: "b{c" }], "InvalidTag"],
    [
      "a key twice",
      [
        { key: "a", value: "1" },
        { key: "a", value: "2" },
      ],
      "InvalidTag",
    ],
    [
      "a key that differs in case",
      [
        { key: "a", value: "1" },
        { key: "A", value: "2" },
      ],
      "accepted",
    ],
    ["AWS's own prefix", [{ key: "aws:x", value: "1" }], "InvalidTag"],
  ];
  test.each(rows)("with %s", (_, tags, code) => {
    expect(codeOf(parseDocument(objectTagging, documentOf(tags)))).toBe(code);
  });
});

describe("a Tagging document", () => {
  const broken = [
    ["no TagSet", "<Tagging></Tagging>"],
    ["two TagSets", "<Tagging><TagSet/><TagSet/></Tagging>"],
    ["another root", "<Tags><TagSet/></Tags>"],
    ["a tag without value", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>"],
    [
      "two keys in one tag",
      "<Tagging><TagSet><Tag><Key>a</Key><Key>b</Key><Value/></Tag></TagSet></Tagging>",
    ],
    ["stray text", "<Tagging>x<TagSet/></Tagging>"],
    ["an unknown element", "<Tagging><TagSet/><Other/></Tagging>"],
  ] as const;
  test.each(broken)("with %s is malformed", (_, document) => {
    expect(codeOf(parseDocument(objectTagging, toUtf8(document)))).toBe("MalformedXML");
  });

  test("of a bucket may be fifty", () => {
    expect(codeOf(taggingSetting.store(documentOf(numbered(50))))).toBe("accepted");
    expect(codeOf(taggingSetting.store(documentOf(numbered(51))))).toBe("InvalidTag");
  });

  test("of a bucket are kept and written as they came", () => {
    const kept = taggingSetting.store(documentOf([{ key: "a b", value: "c" }]));
    if (isFault(kept)) throw new Error(kept.code);
    expect(
      new TextDecoder().decode(taggingSetting.show(kept as Uint8Array) as Uint8Array),
    ).toContain("<TagSet><Tag><Key>a b</Key><Value>c</Value></Tag></TagSet>");
  });
});

describe("parseTaggingHeader", () => {
  const rows: readonly (readonly [string, readonly Tag[] | string])[] = [
    ["", []],
    ["a=1", [{ key: "a", value: "1" }]],
    [
      "foo=bar&bar",
      [
        { key: "bar", value: "" },
        { key: "foo", value: "bar" },
      ],
    ],
    ["a+b=%2B%C3%A9", [{ key: "a b", value: "+é" }]],
    ["a=b=c", [{ key: "a", value: "b=c" }]],
    ["a=1&a=2", "InvalidArgument"],
    ["a=%zz", "InvalidArgument"],
    ["a=%ff", "InvalidArgument"],
    ["=1", "InvalidTag"],
    ["a=1&", "InvalidTag"],
    [
      numbered(10)
        .map(({ key }) => `${key}=`)
        .join("&"),
      numbered(10).map(({ key }) => ({ key, value: "" })),
    ],
    [
      numbered(11)
        .map(({ key }) => `${key}=`)
        .join("&"),
      "InvalidTag",
    ],
    ["aws:a=1", "InvalidTag"],
  ];
  test.each(rows)("of %p", (header, expected) => {
    const result = parseTaggingHeader(header);
    expect<unknown>(isFault(result) ? result.code : result).toEqual(expected);
  });
});

test("formatTaggingHeader() writes what parseTaggingHeader() reads", () => {
  const tags = [
    { key: "a b+c", value: "é=/@" },
    { key: "z", value: "" },
  ];
  expect(parseTaggingHeader(formatTaggingHeader(tags))).toEqual(tags);
});

describe("decode() of a setting", () => {
  const refused = [
    ["nothing", ""],
    ["no JSON", "{"],
    ["another version", '{"version":2,"tagSet":{"tags":[]}}'],
    ["no version", '{"tagSet":{"tags":[]}}'],
    ["a property too many", '{"version":1,"tagSet":{"tags":[],"x":1}}'],
    ["a property too many at the root", '{"version":1,"tagSet":{"tags":[]},"x":1}'],
    ["a type that is not", '{"version":1,"tagSet":{"tags":[{"key":1,"value":""}]}}'],
    ["a list that is none", '{"version":1,"tagSet":{"tags":{}}}'],
    ["what a client could not put", '{"version":1,"tagSet":{"tags":[{"key":"","value":""}]}}'],
  ] as const;
  test.each(refused)("refuses %s", (_, text) => {
    expect(() => taggingSetting.decode(toUtf8(text))).toThrow("Cannot read the bucket's setting");
  });
  test("takes what store() writes", () => {
    const text = '{"version":1,"tagSet":{"tags":[]}}';
    expect(taggingSetting.decode(toUtf8(text))).toEqual({ tagSet: { tags: [] } });
  });
});
