// Goal: a form is its signer's or nobody's, never half of either.
// Method: AWS's own worked example, then each field of a signed form left out or changed.
import { expect, test } from "bun:test";
import { toHex, toUtf8 } from "@kiseki/base";
import { openCrypto } from "@kiseki/host";
import { SignatureVerifier } from "./index.ts";

const crypto = openCrypto();
const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const verifier = new SignatureVerifier(crypto, {
  lookup(id, token) {
    if (id === "OLD") return "ExpiredToken";
    if (token === "bad") return "InvalidToken";
    return id === "AKIAIOSFODNN7EXAMPLE" ? { secret } : undefined;
  },
  region: undefined,
});

/** "Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)" of the Amazon S3 API Reference. */
const awsPolicy =
  "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
const awsForm = {
  policy: awsPolicy,
  "x-amz-algorithm": "AWS4-HMAC-SHA256",
  "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
  "x-amz-date": "20151229T000000Z",
  "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
};
const verify = (change: Record<string, string | undefined>) => {
  const fields = Object.entries({ key: "k", ...awsForm, ...change });
  return verifier.verifyForm(
    new Map(fields.filter((field): field is [string, string] => field[1] !== undefined)),
  );
};
const codeOf = (change: Record<string, string | undefined>): string => {
  const outcome = verify(change);
  return outcome.kind === "fault" ? outcome.code : outcome.kind;
};

test("verifyForm() takes the example of the Amazon S3 API Reference", () => {
  expect(verify({})).toEqual({
    kind: "signed",
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    key: { secret },
    policy: awsPolicy,
    region: "us-east-1",
  });
});
test("verifyForm() takes a form without any of the signature's fields for anonymous", () => {
  expect(verifier.verifyForm(new Map([["key", "a"]]))).toEqual({ kind: "anonymous" });
});
test.each(Object.keys(awsForm))(
  "verifyForm() refuses a form that lacks %s, and names it",
  (name) => {
    const outcome = verify({ [name]: undefined });
    expect(outcome).toMatchObject({ kind: "fault", code: "InvalidArgument" });
    expect(JSON.stringify(outcome).toLowerCase()).toContain(`named '${name}'`);
    expect(codeOf({ [name]: "" })).toBe("InvalidArgument");
  },
);
test.each([
  [{ policy: encodeURI(awsPolicy.replace("A", "B")) }, "SignatureDoesNotMatch"],
  [{ policy: `${awsPolicy}=` }, "SignatureDoesNotMatch"],
  [{ "x-amz-signature": awsForm["x-amz-signature"].toUpperCase() }, "SignatureDoesNotMatch"],
  [{ "x-amz-signature": "0" }, "SignatureDoesNotMatch"],
  [{ "x-amz-algorithm": "AWS4-HMAC-SHA1" }, "InvalidArgument"],
  [{ "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3" }, "InvalidArgument"],
  [
    { "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/sts/aws4_request" },
    "InvalidArgument",
  ],
  [
    { "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/eu-west-1/s3/aws4_request" },
    "SignatureDoesNotMatch",
  ],
  [{ "x-amz-credential": "NOBODY/20151229/us-east-1/s3/aws4_request" }, "InvalidAccessKeyId"],
  [{ "x-amz-credential": "OLD/20151229/us-east-1/s3/aws4_request" }, "ExpiredToken"],
  [{ "x-amz-security-token": "bad" }, "InvalidToken"],
  [{ "x-amz-date": "20151230T000000Z" }, "InvalidArgument"],
  [{ "x-amz-date": "2015-12-29" }, "InvalidArgument"],
  [{ awsaccesskeyid: "AKIAIOSFODNN7EXAMPLE" }, "InvalidRequest"],
  [{ signature: "x" }, "InvalidRequest"],
] as const)("verifyForm() of the example with %j is %s", (change, code) => {
  expect(codeOf(change)).toBe(code);
});
test("verifyForm() refuses version 2 alone, and a session token without a signature", () => {
  expect(verifier.verifyForm(new Map([["signature", "x"]]))).toMatchObject({
    code: "InvalidRequest",
  });
  const token = new Map([["x-amz-security-token", "x"]]);
  expect(verifier.verifyForm(token)).toMatchObject({ code: "InvalidArgument" });
});
test("verifyForm() signs the text of the policy and looks at nothing else", () => {
  let key = toUtf8(`AWS4${secret}`);
  for (const step of ["20151229", "us-east-1", "s3", "aws4_request"]) {
    key = crypto.hmacSha256(key, toUtf8(step));
  }
  const signature = toHex(crypto.hmacSha256(key, toUtf8("anything")));
  expect(verify({ policy: "anything", "x-amz-signature": signature })).toMatchObject({
    kind: "signed",
    policy: "anything",
  });
});
