import { expect, test } from "bun:test";
import { toHex, toUtf8, wallTime } from "@kiseki/base";
import { httpLimitsDefault, RequestDecoder, type RequestHead } from "@kiseki/http";
import { openCrypto } from "@kiseki/host";
import { SignatureVerifier } from "./index.ts";

const crypto = openCrypto();
const secret = "secret";
const stamp = "20261120T112233Z";
const now = wallTime(Date.UTC(2026, 10, 20, 11, 22, 33));
const verifier = new SignatureVerifier(crypto, {
  lookup: (id) => (id === "AKID" ? { secret } : undefined),
  region: undefined,
});

function headOf(target: string, headers: readonly string[], method = "PUT"): RequestHead {
  const decoder = new RequestDecoder(httpLimitsDefault);
  decoder.feed(toUtf8([`${method} ${target} HTTP/1.1`, ...headers, "", ""].join("\r\n")));
  const event = decoder.next();
  if (event.kind !== "head") throw new Error(JSON.stringify(event));
  return event.head;
}

/** A second, plain implementation of the signature. `canonical` is the canonical request. */
function sign(canonical: string, scope: string, date = stamp): string {
  let key = toUtf8(`AWS4${secret}`);
  for (const step of scope.split("/")) key = crypto.hmacSha256(key, toUtf8(step));
  const hash = toHex(crypto.sha256(toUtf8(canonical)));
  return toHex(crypto.hmacSha256(key, toUtf8(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash}`)));
}
const scope = "20261120/us-east-1/s3/aws4_request";

/** A signed request; `extra` are further signed header lines, `unsigned` lines added after. */
function signed(options: {
  payload?: string;
  extra?: readonly string[];
  unsigned?: readonly string[];
  date?: string;
  scope?: string;
  authorization?: (good: string) => string;
}): RequestHead {
  const payload = options.payload ?? "UNSIGNED-PAYLOAD";
  const date = options.date ?? stamp;
  const lines = [
    "host:h",
    `x-amz-content-sha256:${payload}`,
    `x-amz-date:${date}`,
    ...(options.extra ?? []),
  ].sort();
  const names = lines.map((line) => line.slice(0, line.indexOf(":"))).join(";");
  const canonical = `PUT\n/k\n\n${lines.map((line) => `${line}\n`).join("")}\n${names}\n${payload}`;
  const where = options.scope ?? scope;
  const good = `AWS4-HMAC-SHA256 Credential=AKID/${where}, SignedHeaders=${names}, Signature=${sign(canonical, where, date)}`;
  const authorization = options.authorization?.(good) ?? good;
  return headOf("/k", [...lines, ...(options.unsigned ?? []), `Authorization: ${authorization}`]);
}
const codeOf = (head: RequestHead, at = now): string => {
  const outcome = verifier.verify(head, at);
  return outcome.kind === "fault" ? outcome.code : outcome.kind;
};

test("verify() accepts its own, names the key, and is blind to an unsigned request", () => {
  expect(verifier.verify(signed({}), now)).toMatchObject({
    kind: "signed",
    accessKeyId: "AKID",
    key: { secret },
    payload: { kind: "unsigned" },
  });
  expect(codeOf(headOf("/k", ["host: h"]))).toBe("anonymous");
});

test("verify() takes the Date header as HTTP and as botocore writes it", () => {
  for (const zone of ["GMT", "-0000"]) {
    const date = `Fri, 20 Nov 2026 11:22:33 ${zone}`;
    const canonical = `PUT\n/k\n\ndate:${date}\nhost:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n\ndate;host;x-amz-content-sha256\nUNSIGNED-PAYLOAD`;
    const authorization = `AWS4-HMAC-SHA256 Credential=AKID/${scope}, SignedHeaders=date;host;x-amz-content-sha256, Signature=${sign(canonical, scope)}`;
    const lines = ["host: h", `Date: ${date}`, "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
    expect(codeOf(headOf("/k", [...lines, `Authorization: ${authorization}`]))).toBe("signed");
  }
});

test("verify() reads every payload mode", () => {
  const hash = "ab".repeat(32);
  expect(verifier.verify(signed({ payload: hash }), now)).toMatchObject({
    payload: { kind: "hashed", sha256: Uint8Array.from({ length: 32 }, () => 0xab) },
  });
  const extra = ["x-amz-decoded-content-length:5", "x-amz-trailer:X-Amz-Checksum-Crc32"];
  expect(
    verifier.verify(signed({ payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", extra }), now),
  ).toMatchObject({
    payload: {
      kind: "streamed",
      decodedSize: 5,
      trailerNames: ["x-amz-checksum-crc32"],
      signing: undefined,
    },
  });
  const stream = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
  expect(codeOf(signed({ payload: stream }))).toBe("MissingContentLength");
  expect(codeOf(signed({ payload: stream, extra: ["x-amz-decoded-content-length:-5"] }))).toBe(
    "InvalidArgument",
  );
  expect(codeOf(signed({ payload: stream, extra }))).toBe("InvalidRequest");
  expect(codeOf(signed({ payload: "nonsense" }))).toBe("InvalidArgument");
  expect(codeOf(signed({ payload: "constructor" }))).toBe("InvalidArgument");
});

test("verify() refuses what is not under the signature", () => {
  const outcome = verifier.verify(signed({ unsigned: ["x-amz-acl: public-read"] }), now);
  expect(outcome).toMatchObject({
    code: "AccessDenied",
    details: { HeadersNotSigned: "x-amz-acl" },
  });
  const noHost = signed({ authorization: (good) => good.replace("host;", "") });
  expect(codeOf(noHost)).toBe("AccessDenied");
  expect(codeOf(signed({ unsigned: ["x-other: 1"] }))).toBe("signed");
});

test("verify() looks up no more names than a head may have", () => {
  const names = Array.from({ length: 200 }, (_, at) => `x-${at}`).join(";");
  expect(codeOf(signed({ authorization: (good) => good.replace("host;", `host;${names};`) }))).toBe(
    "AuthorizationHeaderMalformed",
  );
  const head = presigned((parameters) => void parameters.set("X-Amz-SignedHeaders", names));
  expect(codeOf(head)).toBe("AuthorizationQueryParametersError");
});

test("verify() bounds the clocks' distance at 15 minutes, both ways", () => {
  const late = 15 * 60 * 1000;
  expect(codeOf(signed({}), wallTime(now + late))).toBe("signed");
  expect(codeOf(signed({}), wallTime(now + late + 1))).toBe("RequestTimeTooSkewed");
  expect(codeOf(signed({}), wallTime(now - late))).toBe("signed");
  expect(codeOf(signed({}), wallTime(now - late - 1))).toBe("RequestTimeTooSkewed");
});

const malformed: readonly (readonly [string, (good: string) => string])[] = [
  ["InvalidRequest", () => "AWS AKID:signature"],
  ["InvalidRequest", (good) => good.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")],
  ["InvalidArgument", () => "Basic abc"],
  ["AuthorizationHeaderMalformed", () => "AWS4-HMAC-SHA256"],
  ["AuthorizationHeaderMalformed", () => "AWS4-HMAC-SHA256 x"],
  ["AuthorizationHeaderMalformed", (good) => good.replace(/, Signature.*/, "")],
  ["AuthorizationHeaderMalformed", (good) => `${good}, Signature=1`],
  ["AuthorizationHeaderMalformed", (good) => good.replace("/s3/", "/ec2/")],
  ["AuthorizationHeaderMalformed", (good) => good.replace("aws4_request", "aws5_request")],
  ["AuthorizationHeaderMalformed", (good) => good.replace("AKID/", "")],
  ["AuthorizationHeaderMalformed", (good) => good.replace("20261120/", "20261121/")],
  ["AuthorizationHeaderMalformed", (good) => good.slice(0, -1)],
  ["SignatureDoesNotMatch", (good) => good.replace("us-east-1", "us-east-2")],
  ["SignatureDoesNotMatch", (good) => good.slice(0, -1) + (good.endsWith("0") ? "1" : "0")],
  ["InvalidAccessKeyId", (good) => good.replace("AKID", "OTHER")],
];
malformed.forEach(([code, authorization], number) => {
  test(`verify() answers ${code} to bad authorization ${number}`, () => {
    expect(codeOf(signed({ authorization }))).toBe(code);
  });
});

test("verify() takes one region only where one is configured", () => {
  const strict = new SignatureVerifier(crypto, { lookup: () => ({ secret }), region: "here" });
  expect(strict.verify(signed({}), now)).toMatchObject({
    code: "AuthorizationHeaderMalformed",
    details: { Region: "here" },
  });
});

test("verify() follows a secret that was replaced", () => {
  let current = "old";
  const rotating = new SignatureVerifier(crypto, {
    lookup: () => ({ secret: current }),
    region: undefined,
  });
  expect(rotating.verify(signed({}), now).kind).toBe("fault");
  current = secret;
  expect(rotating.verify(signed({}), now).kind).toBe("signed");
});

test("verify() refuses two signatures, a bad date, and a broken target", () => {
  const query = "/k?X-Amz-Algorithm=AWS4-HMAC-SHA256";
  expect(codeOf(headOf(query, ["host: h", "authorization: AWS4-HMAC-SHA256 x"]))).toBe(
    "InvalidArgument",
  );
  expect(
    verifier.verify(headOf("/k?AWSAccessKeyId=a&Signature=b&Expires=1", ["host: h"]), now),
  ).toMatchObject({ code: "InvalidRequest", message: expect.stringContaining("s3v4") });
  expect(codeOf(signed({ date: "20261320T112233Z" }))).toBe("AccessDenied");
  expect(codeOf(headOf("/%zz", ["host: h"]))).toBe("InvalidURI");
  expect(codeOf(headOf("/k?a=%ff", ["host: h"]))).toBe("InvalidURI");
});

/** A presigned request; `change` edits the parameters before they are signed. */
function presigned(
  change: (parameters: Map<string, string>) => void,
  headers: readonly string[] = [],
): RequestHead {
  const parameters = new Map([
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `AKID/${scope}`],
    ["X-Amz-Date", stamp],
    ["X-Amz-Expires", "60"],
    ["X-Amz-SignedHeaders", "host"],
  ]);
  change(parameters);
  const query = [...parameters]
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .sort()
    .join("&");
  const signature = sign(`PUT\n/k\n${query}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD`, scope);
  return headOf(`/k?${query}&X-Amz-Signature=${signature}`, ["host: h", ...headers]);
}

test("verify() takes a presigned query until the second it expires", () => {
  const head = presigned(() => {});
  expect(verifier.verify(head, now)).toMatchObject({ kind: "signed", form: "query" });
  expect(codeOf(head, wallTime(now + 59_999))).toBe("signed");
  expect(verifier.verify(head, wallTime(now + 60_000))).toMatchObject({
    code: "AccessDenied",
    message: "Request has expired",
  });
  expect(codeOf(head, wallTime(now - 16 * 60_000))).toBe("AccessDenied");
  expect(codeOf(presigned(() => {}, ["x-amz-acl: private"]))).toBe("AccessDenied");
});

for (const [name, value] of [
  ["X-Amz-Expires", "604801"],
  ["X-Amz-Expires", "-1"],
  ["X-Amz-Expires", "soon"],
  ["X-Amz-Algorithm", "AWS4"],
  ["X-Amz-Date", "today"],
  ["X-Amz-Credential", "AKID"],
  ["X-Amz-Date", undefined],
  ["X-Amz-SignedHeaders", undefined],
] as const) {
  test(`verify() refuses a presigned query with ${name} ${value}`, () => {
    const head = presigned((parameters) => {
      if (value === undefined) parameters.delete(name);
      else parameters.set(name, value);
    });
    expect(codeOf(head)).toBe("AuthorizationQueryParametersError");
  });
}

test("verify() reads a header anew that opens like the last good one, and believes nothing of it", () => {
  const good = signed({});
  expect(codeOf(good)).toBe("signed");
  const changed = (change: (authorization: string) => string): RequestHead => ({
    ...good,
    headers: good.headers.map((each) =>
      each.name === "authorization" ? { ...each, value: change(each.value) } : each,
    ),
  });
  expect(codeOf(changed((text) => text))).toBe("signed");
  const cases: readonly [(text: string) => string, string][] = [
    [(text) => `${text.slice(0, -1)}${text.endsWith("0") ? "1" : "0"}`, "SignatureDoesNotMatch"],
    [(text) => `${text.slice(0, -1)}g`, "AuthorizationHeaderMalformed"],
    [(text) => `${text.slice(0, -6)}, a=bc`, "AuthorizationHeaderMalformed"],
    [(text) => text.slice(0, -1), "AuthorizationHeaderMalformed"],
    [(text) => text.replace("AKID", "AKIE"), "InvalidAccessKeyId"],
  ];
  for (const [change, code] of cases) expect(codeOf(changed(change))).toBe(code);
  const elsewhere = new SignatureVerifier(crypto, { lookup: () => ({ secret }), region: "eu" });
  expect(elsewhere.verify(good, now)).toMatchObject({ code: "AuthorizationHeaderMalformed" });
});

test("verify() puts together what is long, and what is not ASCII, as it does the rest", () => {
  for (const value of ["v".repeat(3000), "v".repeat(4096), "v".repeat(9000), "caf\u00e9"]) {
    const line = `x-amz-meta-a:${value}`;
    const names = "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a";
    const lines = ["host:h", "x-amz-content-sha256:UNSIGNED-PAYLOAD", `x-amz-date:${stamp}`, line];
    const canonical = `PUT\n/k\n\n${lines.map((each) => `${each}\n`).join("")}\n${names}\nUNSIGNED-PAYLOAD`;
    const opening = `AWS4-HMAC-SHA256 Credential=AKID/${scope}, SignedHeaders=${names}, Signature=`;
    const head = headOf("/k", [...lines, `Authorization: ${opening}${sign(canonical, scope)}`]);
    const bytes = toUtf8(value).reduce((text, byte) => text + String.fromCharCode(byte), "");
    expect(head.headers[3]).toEqual({ name: "x-amz-meta-a", value: bytes });
    expect(codeOf(head)).toBe("signed");
    expect(codeOf(signed({}))).toBe("signed"); // nothing of it is left for the next
  }
});
