// Goal: a form does what its policy allows and nothing else, and a policy that is not understood allows nothing.
// Method: tables of documents, and of fields against documents.
import { expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { checkPostPolicy, parsePostPolicy, type PostPolicy } from "./index.ts";

const encode = (text: string): string => Buffer.from(text).toString("base64");
const expiration = "2026-11-30T12:00:00.000Z";
const before = wallTime(Date.parse(expiration) - 1);
const policyOf = (conditions: readonly unknown[], more: object = {}) =>
  parsePostPolicy(encode(JSON.stringify({ expiration, conditions, ...more })));

function good(conditions: readonly unknown[]): PostPolicy {
  const policy = policyOf(conditions);
  if (policy.kind === "fault") throw new Error(policy.message);
  return policy;
}
/** `ok`, or the refusal's code and message. */
function judge(
  conditions: readonly unknown[],
  fields: Record<string, string>,
  now = before,
): string {
  const fault = checkPostPolicy(good(conditions), new Map(Object.entries(fields)), now);
  return fault === undefined ? "ok" : `${fault.code} ${fault.message}`;
}

test.each([
  ["no base64", "e"],
  ["base64 of another alphabet", encode('{"a":"???"}').replaceAll("/", "_")],
  ["bytes that are not UTF-8", Buffer.from([0xff, 0xfe]).toString("base64")],
  ["no JSON", encode("{expiration")],
  ["a list", encode("[]")],
  ["null", encode("null")],
  ["no expiration", encode('{"conditions":[]}')],
  ["expiration in capitals", encode(`{"EXPIRATION":"${expiration}","conditions":[]}`)],
  ["conditions in capitals", encode(`{"expiration":"${expiration}","CONDITIONS":[]}`)],
  ["no conditions", encode(`{"expiration":"${expiration}"}`)],
  ["conditions that are no list", encode(`{"expiration":"${expiration}","conditions":{}}`)],
  ["a member nobody knows", encode(`{"expiration":"${expiration}","conditions":[],"allow":"all"}`)],
])("parsePostPolicy() refuses %s", (_, text) => {
  expect(parsePostPolicy(text)).toMatchObject({ kind: "fault", code: "InvalidPolicyDocument" });
});
test.each([
  "2026-11-30 12:00:00",
  "2026-11-30T12:00:00+00:00",
  "2026-11-30",
  "2026-02-30T12:00:00Z",
  "2026-11-30T25:00:00Z",
  "",
])("parsePostPolicy() refuses the expiration %p", (text) => {
  expect(policyOf([], { expiration: text })).toMatchObject({ code: "InvalidPolicyDocument" });
});
test.each([
  [{}],
  [{ acl: "private", bucket: "b" }],
  [{ acl: 1 }],
  ["acl"],
  [null],
  [[]],
  [["eq"]],
  [["eq", "$acl"]],
  [["eq", "$acl", "a", "b"]],
  [["eq", "acl", "a"]],
  [["eq", "$", "a"]],
  [["eq", "$acl", 1]],
  [["matches", "$acl", "a"]],
  [["content-length-range", 1]],
  [["content-length-range", -1, 0]],
  [["content-length-range", 2, 1]],
  [["content-length-range", 1.5, 2]],
  [["content-length-range", "1k", 2]],
  [["content-length-range", 0, Number.MAX_VALUE]],
])("parsePostPolicy() refuses the condition %j", (condition) => {
  expect(policyOf([condition])).toMatchObject({ kind: "fault", code: "InvalidPolicyDocument" });
});
test("parsePostPolicy() reads sizes as numbers or digits, and takes the narrower of two ranges", () => {
  expect(good([])).toMatchObject({ sizeMin: 0, sizeMax: Number.POSITIVE_INFINITY });
  const ranges = [
    ["content-length-range", "1", "10"],
    ["Content-Length-Range", 5, 20],
  ];
  expect(good(ranges)).toMatchObject({ sizeMin: 5, sizeMax: 10 });
});
test("parsePostPolicy() reads the escapes that AWS documents", () => {
  const text = `{"expiration":"${expiration}","conditions":[["eq","$key","\\$a\\\\$b\\v"]]}`;
  expect(parsePostPolicy(encode(text))).toMatchObject({
    conditions: [{ kind: "eq", field: "key", value: "$a\\$b\u000b" }],
  });
});

test.each([
  [[{ acl: "private" }], { acl: "private" }, "ok"],
  [[{ AcL: "private" }], { acl: "private" }, "ok"],
  [[{ acl: "private" }], { acl: "Private" }, "failed"],
  [[{ acl: "private" }], {}, "failed"],
  [[["eq", "$acl", "private"]], { acl: "private" }, "ok"],
  [[["eq", "$acl", "private"]], { acl: "privat" }, "failed"],
  [[["StArTs-WiTh", "$KeY", "user/"]], { key: "user/a" }, "ok"],
  [[["starts-with", "$key", "user/"]], { key: "User/a" }, "failed"],
  [[["starts-with", "$key", ""]], { key: "" }, "ok"],
  [[["starts-with", "$key", ""]], {}, "failed"],
  [[["starts-with", "$Content-Type", "image/"]], { "content-type": "image/png, image/gif" }, "ok"],
  [
    [["starts-with", "$Content-Type", "image/"]],
    { "content-type": "image/png,text/html" },
    "failed",
  ],
  [[["starts-with", "$key", "a"]], { key: "a,b" }, "ok"],
  [[{ key: "a" }, ["starts-with", "$key", "b"]], { key: "a" }, "failed"],
  [[], { key: "a" }, "Extra"],
  [[{ key: "a" }], { key: "a", bucket: "b" }, "Extra"],
  [[{ key: "a" }], { key: "a", "x-amz-meta-a": "" }, "Extra"],
  [[{ key: "a" }], { key: "a", "x-amz-checksum-sha256": "x" }, "Extra"],
  [[{ key: "a" }], { key: "a", success_action_redirect: "http://evil.example/" }, "Extra"],
  [[{ key: "a" }], { key: "a", "x-amz-security-token": "x" }, "Extra"],
  [
    [{ key: "a" }],
    { key: "a", "x-ignore-b": "c", policy: "p", "x-amz-signature": "s", file: "" },
    "ok",
  ],
] as const)("checkPostPolicy() of %j with %j", (conditions, fields, verdict) => {
  const said = judge(conditions, fields);
  if (verdict === "ok") expect(said).toBe("ok");
  else expect(said).toMatch(new RegExp(`^AccessDenied Invalid according to Policy: .*${verdict}`));
});
test("checkPostPolicy() ends with the expiration", () => {
  expect(judge([{ key: "a" }], { key: "a" })).toBe("ok");
  expect(judge([{ key: "a" }], { key: "a" }, wallTime(Date.parse(expiration)))).toBe(
    "AccessDenied Invalid according to Policy: Policy expired.",
  );
});
