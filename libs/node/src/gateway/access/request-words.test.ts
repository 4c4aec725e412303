import { expect, test } from "bun:test";
import { requestWords } from "./request-words.ts";

const request = { method: "POST", target: "/b", host: "h", headers: [], isSigned: false };
const tagging = "<Tagging><TagSet><Tag><Key>a b</Key><Value>c</Value></Tag></TagSet></Tagging>";

test("requestWords() of a form takes its tags from the document that the put takes them from", () => {
  const wordOf = (fields: Record<string, string>) =>
    requestWords(request, new Map(Object.entries(fields))).header("x-amz-tagging");
  expect(wordOf({ tagging, "x-amz-tagging": "d=e" })).toBe("a%20b=c");
  expect(wordOf({ "x-amz-tagging": "d=e" })).toBe("d=e");
  expect(wordOf({ tagging: "<x", "x-amz-tagging": "d=e" })).toBe("");
  expect(wordOf({})).toBeUndefined();
});
