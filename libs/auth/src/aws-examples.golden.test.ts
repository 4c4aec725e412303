// The worked examples of AWS's documents on Signature V4 for S3, signature for signature.
import { expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { httpLimitsDefault, RequestDecoder, type RequestHead } from "@kiseki/http";
import { openCrypto } from "@kiseki/host";
import { AwsChunkedDecoder, SignatureVerifier, type StreamedPayload } from "./index.ts";

const crypto = openCrypto();
const encoder = new TextEncoder();
const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const accessKeyId = "AKIAIOSFODNN7EXAMPLE";
const now = wallTime(Date.UTC(2013, 4, 24));
const scope = "20130524/us-east-1/s3/aws4_request";
const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const verifier = new SignatureVerifier(crypto, {
  lookup: (id) => (id === accessKeyId ? { secret } : undefined),
  region: "us-east-1",
});

function headOf(lines: readonly string[]): RequestHead {
  const decoder = new RequestDecoder(httpLimitsDefault);
  decoder.feed(encoder.encode(`${lines.join("\r\n")}\r\n\r\n`));
  const event = decoder.next();
  if (event.kind !== "head") throw new Error(`Cannot read the example: ${JSON.stringify(event)}`);
  return event.head;
}
const authorization = (signedHeaders: string, signature: string): string =>
  `Authorization: AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope},SignedHeaders=${signedHeaders},Signature=${signature}`;

const host = "Host: examplebucket.s3.amazonaws.com";
const date = "x-amz-date: 20130524T000000Z";
const emptyHash = `x-amz-content-sha256: ${emptySha256}`;
const rows: readonly (readonly [name: string, lines: readonly string[]])[] = [
  [
    "GET object with Range",
    [
      "GET /test.txt HTTP/1.1",
      host,
      authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      ),
      "Range: bytes=0-9",
      emptyHash,
      date,
    ],
  ],
  [
    "PUT object",
    [
      "PUT /test$file.text HTTP/1.1",
      host,
      "Date: Fri, 24 May 2013 00:00:00 GMT",
      authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      ),
      date,
      "x-amz-storage-class: REDUCED_REDUNDANCY",
      "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    ],
  ],
  [
    "GET bucket lifecycle",
    [
      "GET /?lifecycle HTTP/1.1",
      host,
      authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      ),
      date,
      emptyHash,
    ],
  ],
  [
    "list objects",
    [
      "GET /?max-keys=2&prefix=J HTTP/1.1",
      host,
      authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
      ),
      date,
      emptyHash,
    ],
  ],
  [
    "presigned GET",
    [
      "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
      host,
    ],
  ],
];

for (const [name, lines] of rows) {
  test(`verify() accepts AWS's example of ${name}, and not with one digit changed`, () => {
    expect(verifier.verify(headOf(lines), now).kind).toBe("signed");
    const damaged = lines.map((line) =>
      line.replace(
        /(Signature=[0-9a-f]{63})(.)/,
        (_, start, last) => start + (last === "0" ? "1" : "0"),
      ),
    );
    expect(verifier.verify(headOf(damaged), now)).toMatchObject({ code: "SignatureDoesNotMatch" });
  });
}

function streamedHead(mode: string, signature: string, trailer: boolean): RequestHead {
  const headers = `content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class${trailer ? ";x-amz-trailer" : ""}`;
  return headOf([
    "PUT /examplebucket/chunkObject.txt HTTP/1.1",
    "Host: s3.amazonaws.com",
    date,
    "x-amz-storage-class: REDUCED_REDUNDANCY",
    authorization(trailer ? headers.replace("content-length;", "") : headers, signature),
    `x-amz-content-sha256: ${mode}`,
    "Content-Encoding: aws-chunked",
    "x-amz-decoded-content-length: 66560",
    "Content-Length: 66824",
    ...(trailer ? ["x-amz-trailer: x-amz-checksum-crc32c"] : []),
  ]);
}
function streamedPayload(head: RequestHead): StreamedPayload {
  const outcome = verifier.verify(head, now);
  if (outcome.kind !== "signed" || outcome.payload.kind !== "streamed") {
    throw new Error(JSON.stringify(outcome));
  }
  return outcome.payload;
}
function decodeAll(payload: StreamedPayload, body: string) {
  const decoder = new AwsChunkedDecoder(crypto, payload);
  decoder.feed(encoder.encode(body));
  let size = 0;
  for (;;) {
    const event = decoder.next();
    if (event.kind === "need_more") return { size, end: decoder.finish() };
    if (event.kind === "fault") return { size, end: event };
    size += event.bytes.byteLength;
  }
}

const chunk = (text: string, signature: string): string =>
  `${text.length.toString(16)};chunk-signature=${signature}\r\n${text}\r\n`;

test("AwsChunkedDecoder accepts AWS's example of a chunked upload", () => {
  const payload = streamedPayload(
    streamedHead(
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
      false,
    ),
  );
  const body =
    chunk("a".repeat(65536), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648") +
    chunk("a".repeat(1024), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497") +
    chunk("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
  expect(body.length).toBe(66824);
  expect(decodeAll(payload, body)).toEqual({ size: 66560, end: { kind: "end", trailers: [] } });
  const damaged = body.replace("\r\naaaa", "\r\nabaa");
  expect(decodeAll(payload, damaged).end).toMatchObject({ code: "SignatureDoesNotMatch" });
  expect(decodeAll(payload, body.slice(0, -90)).end).toMatchObject({ code: "IncompleteBody" });
});

const trailerBody =
  chunk("a".repeat(65536), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2") +
  chunk("a".repeat(1024), "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7") +
  "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
  "x-amz-checksum-crc32c:sOO8/Q==\r\n" +
  "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
const trailerSeed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

test("AwsChunkedDecoder accepts AWS's example of a signed trailer", () => {
  const payload = streamedPayload(
    streamedHead("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", trailerSeed, true),
  );
  expect(decodeAll(payload, trailerBody)).toEqual({
    size: 66560,
    end: { kind: "end", trailers: [{ name: "x-amz-checksum-crc32c", value: "sOO8/Q==" }] },
  });
  const damaged = trailerBody.replace("sOO8", "sOO9");
  expect(decodeAll(payload, damaged).end).toMatchObject({ code: "SignatureDoesNotMatch" });
  const unsigned = trailerBody.replace(/x-amz-trailer-signature.*\r\n\r\n$/, "\r\n");
  expect(decodeAll(payload, unsigned).end).toMatchObject({ code: "MalformedTrailerError" });
});
