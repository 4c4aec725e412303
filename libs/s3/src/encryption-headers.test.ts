import { newBytes } from "@kiseki/base";
import { expect, test } from "bun:test";
import {
  encryptionHeaders,
  parseCustomerKey,
  parseEncryption,
  sourceCustomerPrefix,
} from "./encryption-headers.ts";
import { isFault, type S3Fault } from "./errors.ts";
import { type Fields, parseFields } from "./fields.ts";

const fieldsOf = (headers: Readonly<Record<string, string>>, target = "/abc/k"): Fields => {
  const pairs = Object.entries(headers).map(([name, value]) => ({ name, value }));
  const fields = parseFields({
    method: "PUT",
    target,
    headers: pairs,
    host: "h",
    isSigned: true,
  });
  if (isFault(fields)) throw new Error("no fields");
  return fields as Fields;
};
const sse = "x-amz-server-side-encryption";
const keyText = newBytes(32).fill(7).toBase64();
const md5Text = newBytes(16).fill(9).toBase64();
const customer = (changes: Readonly<Record<string, string>> = {}) => {
  const all = { algorithm: "AES256", key: keyText, "key-md5": md5Text, ...changes };
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [`${sse}-customer-${name}`, value]),
  );
};

test("parseEncryption() reads what a request asks for", () => {
  const cases = [
    [{}, undefined],
    [{ [sse]: "AES256" }, { kind: "s3" }],
    [{ [sse]: "aws:kms" }, { kind: "kms", keyId: undefined, isBucketKey: undefined }],
    [
      { [sse]: "aws:kms", [`${sse}-aws-kms-key-id`]: "k", [`${sse}-bucket-key-enabled`]: "True" },
      { kind: "kms", keyId: "k", isBucketKey: true },
    ],
    [
      customer(),
      {
        kind: "customer",
        customerKey: { key: newBytes(32).fill(7), md5: newBytes(16).fill(9) },
      },
    ],
  ] as const;
  for (const [headers, wanted] of cases) {
    expect(parseEncryption(fieldsOf(headers))).toEqual(wanted as never);
  }
});

test("parseEncryption() says what contradicts itself or is not here", () => {
  const cases = [
    [{ [sse]: "ROT13" }, "InvalidEncryptionAlgorithmError"],
    [{ [sse]: "aws:kms:dsse" }, "NotImplemented"],
    [{ [`${sse}-aws-kms-key-id`]: "k" }, "InvalidArgument"],
    [{ [sse]: "AES256", [`${sse}-aws-kms-key-id`]: "k" }, "InvalidArgument"],
    [{ [sse]: "aws:kms", [`${sse}-aws-kms-key-id`]: "" }, "InvalidArgument"],
    [{ [sse]: "aws:kms", [`${sse}-bucket-key-enabled`]: "1" }, "InvalidArgument"],
    [{ [sse]: "AES256", ...customer() }, "InvalidArgument"],
    [{ [sse]: "aws:kms", ...customer() }, "InvalidArgument"],
    [{ [sse]: "AES256", [`${sse}-customer-key-md5`]: md5Text }, "InvalidArgument"],
    [customer({ algorithm: "AES192" }), "InvalidEncryptionAlgorithmError"],
  ] as const;
  for (const [headers, code] of cases) {
    expect(parseEncryption(fieldsOf(headers))).toMatchObject({ kind: "invalid", fault: { code } });
  }
});

test("parseCustomerKey() wants all three headers, 32 bytes and 16, and repeats none of them", () => {
  const bad = [
    customer({ key: "" }),
    customer({ "key-md5": "" }),
    customer({ algorithm: "" }),
    customer({ key: newBytes(16).toBase64() }),
    customer({ key: `${keyText.slice(0, -2)}` }),
    customer({ "key-md5": "short" }),
    { [`${sse}-customer-key`]: keyText },
    { [`${sse}-customer-algorithm`]: "AES256" },
  ];
  for (const headers of bad) {
    const fault = parseCustomerKey(fieldsOf(headers));
    expect(fault).toMatchObject({ code: "InvalidArgument" });
    expect(JSON.stringify(fault as S3Fault)).not.toContain(keyText.slice(0, 20));
  }
  expect(parseCustomerKey(fieldsOf({}))).toBeUndefined();
  const query = encodeURIComponent(keyText);
  const inUrl = fieldsOf(customer(), `/abc/k?X-Amz-Server-Side-Encryption-Customer-Key=${query}`);
  expect(parseCustomerKey(inUrl)).toMatchObject({ code: "InvalidArgument" });
  const source = Object.fromEntries(
    Object.entries(customer()).map(([name, value]) => [
      `x-amz-copy-source-${name.slice("x-amz-".length)}`,
      value,
    ]),
  );
  expect(parseCustomerKey(fieldsOf(source))).toBeUndefined();
  expect(parseCustomerKey(fieldsOf(source), sourceCustomerPrefix)).toMatchObject({
    key: newBytes(32).fill(7),
  });
});

test("encryptionHeaders() says how an object is encrypted", () => {
  expect(encryptionHeaders({ kind: "s3" })).toEqual([[sse, "AES256"]]);
  expect(encryptionHeaders({ kind: "kms", keyId: "k", isBucketKey: true })).toEqual([
    [sse, "aws:kms"],
    [`${sse}-aws-kms-key-id`, "k"],
    [`${sse}-bucket-key-enabled`, "true"],
  ]);
  expect(encryptionHeaders({ kind: "customer", keyMd5: newBytes(16).fill(9) })).toEqual([
    [`${sse}-customer-algorithm`, "AES256"],
    [`${sse}-customer-key-MD5`, md5Text],
  ]);
});
