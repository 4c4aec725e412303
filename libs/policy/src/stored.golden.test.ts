/** What is kept of policies and ACLs outlives the program that wrote it. Append only: an edited row is a broken upgrade. */
import { expect, test } from "bun:test";
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { type Acl, decodeAcl, decodeBucketPolicy, encodeAcl, encodeBucketPolicy } from "./index.ts";
import { unreadablePolicy } from "./parse-policy.ts";

const [a, b] = ["a".repeat(64), "b".repeat(64)];
const policy =
  '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::x/*"}]}';

test("encodeBucketPolicy() keeps the bytes of version 1", () => {
  const kept = `{"version":1,"policy":${JSON.stringify(policy)}}`;
  expect(fromUtf8(encodeBucketPolicy(policy))).toBe(kept);
  expect(decodeBucketPolicy(toUtf8(kept))).toMatchObject({ text: policy, isPublic: true });
});

test("encodeAcl() keeps the bytes of version 1", () => {
  const acl: Acl = {
    owner: { id: a, displayName: "" },
    grants: [
      { grantee: { kind: "canonical", id: b, displayName: "" }, permission: "READ_ACP" },
      { grantee: { kind: "group", group: "AllUsers" }, permission: "FULL_CONTROL" },
    ],
  };
  const kept = `{"version":1,"owner":"${a}","grants":[{"id":"${b}","permission":"READ_ACP"},{"group":"AllUsers","permission":"FULL_CONTROL"}]}`;
  expect(fromUtf8(encodeAcl(acl))).toBe(kept);
  expect(decodeAcl(toUtf8(kept))).toEqual(acl);
});

test("decodeAcl(), decodeBucketPolicy(): what cannot be read opens nothing", () => {
  const broken = [
    "",
    "{",
    `{"version":2,"owner":"${a}","grants":[]}`,
    `{"version":1,"owner":"a","grants":[]}`,
    `{"version":1,"owner":"${a}","grants":{}}`,
    `{"version":1,"owner":"${a}","grants":[{"group":"Everybody","permission":"READ"}]}`,
    `{"version":1,"owner":"${a}","grants":[{"id":"${b}","permission":"ALL"}]}`,
  ];
  for (const kept of broken) expect(decodeAcl(toUtf8(kept))).toBeUndefined();
  for (const kept of ["", '{"version":2,"policy":"{}"}', '{"version":1,"policy":"{}"}', "[]"]) {
    expect(decodeBucketPolicy(toUtf8(kept)).document).toBe(unreadablePolicy);
  }
  const large = {
    owner: { id: a, displayName: "" },
    grants: Array.from(
      { length: 100 },
      () =>
        ({
          grantee: { kind: "canonical", id: b, displayName: "x" },
          permission: "FULL_CONTROL",
        }) as const,
    ),
  };
  expect(encodeAcl(large).byteLength).toBeLessThan(16 * 1024);
});
