/** Question: what does the head of a signed S3 request cost? Answer wanted: under 5 µs. */
import { httpLimitsDefault, RequestDecoder } from "./index.ts";

const head = new TextEncoder().encode(
  [
    "PUT /bucket/some/prefix/object-000123.bin?partNumber=7&uploadId=VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRz HTTP/1.1",
    "Host: 127.0.0.1:9000",
    "Accept-Encoding: identity",
    "User-Agent: aws-cli/2.17.0 md/awscrt#0.20.11 ua/2.0 os/linux#6.1 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#standard",
    "X-Amz-Date: 20261120T112233Z",
    "X-Amz-Content-SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-east-1/s3/aws4_request, SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date, Signature=e585a4a3f1d82e1db320670b1e7e7ed28f6de1ee612460e0db9bfbf3c5b77461",
    "amz-sdk-invocation-id: 6f2bd7ce-1f3e-4c5c-b7a4-0b7f4a6a4f2d",
    "amz-sdk-request: attempt=1",
    "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==",
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n"),
);

/** Decodes `requests` heads, one feed each. `witness` counts their headers. */
export function benchDecode({ requests }: { requests: number }): {
  nsPerHead: number;
  witness: number;
} {
  const decoder = new RequestDecoder(httpLimitsDefault);
  let witness = 0;
  const started = Bun.nanoseconds();
  for (let i = 0; i < requests; i++) {
    decoder.feed(head);
    const event = decoder.next();
    if (event.kind === "head") witness += event.head.headers.length;
    decoder.next();
    decoder.next();
  }
  return { nsPerHead: (Bun.nanoseconds() - started) / requests, witness };
}
if (import.meta.main) {
  benchDecode({ requests: 20_000 });
  console.log(JSON.stringify({ ...benchDecode({ requests: 300_000 }), size: head.byteLength }));
}
