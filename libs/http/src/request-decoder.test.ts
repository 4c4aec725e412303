import { expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import {
  type HttpFaultCode,
  httpLimitsDefault,
  RequestDecoder,
  type RequestEvent,
} from "./index.ts";

/** Everything that `text` means, data joined, until more is needed or it is at fault. */
function eventsOf(text: string | Uint8Array): readonly unknown[] {
  const decoder = new RequestDecoder(httpLimitsDefault);
  decoder.feed(typeof text === "string" ? toUtf8(text) : text);
  const events: unknown[] = [];
  for (;;) {
    const event = decoder.next();
    if (event.kind === "need_more") return events;
    events.push(event.kind === "data" ? new TextDecoder().decode(event.bytes) : event);
    if (event.kind === "fault") return events;
  }
}
function headOf(text: string): Extract<RequestEvent, { kind: "head" }>["head"] {
  const [event] = eventsOf(text) as [RequestEvent];
  if (event?.kind !== "head") throw new Error(JSON.stringify(event));
  return event.head;
}

test("RequestDecoder gives the head as sent", () => {
  const head = headOf(
    "PUT /a//../%2e/b?x=%20&y HTTP/1.1\r\nHOST: h:1\r\nX-Amz-Meta-A:  a  b\t \r\nx-amz-meta-a:\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n",
  );
  expect(head).toEqual({
    method: "PUT",
    target: "/a//../%2e/b?x=%20&y",
    version: "1.1",
    host: "h:1",
    headers: [
      { name: "host", value: "h:1" },
      { name: "x-amz-meta-a", value: "a  b" },
      { name: "x-amz-meta-a", value: "" },
      { name: "content-length", value: "3" },
      { name: "expect", value: "100-Continue" },
    ],
    body: { kind: "sized", size: 3 },
    expectsContinue: true,
    keepAlive: true,
  });
});

test("RequestDecoder keeps bytes over 0x7f in header values, one character each", () => {
  const text = "GET / HTTP/1.1\r\nHost: h\r\nx: \u00e9\u20ac\r\n\r\n";
  const head = headOf(text);
  expect([...head.headers[1]!.value].map((c) => c.charCodeAt(0))).toEqual([
    0xc3, 0xa9, 0xe2, 0x82, 0xac,
  ]);
});

test("RequestDecoder takes pipelined requests with sized, chunked and no bodies", () => {
  const head = (rest: string): string => `POST / HTTP/1.1\r\nHost: h\r\n${rest}\r\n`;
  const events = eventsOf(
    `${head("Content-Length: 3\r\n")}abc\r\n${head("Transfer-Encoding: chunked\r\n")}2;x="y"\r\nde\r\n01\r\nf\r\n0\r\nX-T: v\r\n\r\n${head("")}`,
  );
  expect(events.filter((event) => typeof event === "string")).toEqual(["abc", "de", "f"]);
  const ends = events.filter((event) => (event as RequestEvent).kind === "end");
  expect(ends).toEqual([
    { kind: "end", trailers: [] },
    { kind: "end", trailers: [{ name: "x-t", value: "v" }] },
    { kind: "end", trailers: [] },
  ]);
});

test("RequestDecoder closes after HTTP/1.0 and Connection: close", () => {
  expect(headOf("GET / HTTP/1.0\r\nHost: h\r\n\r\n").keepAlive).toBe(false);
  expect(headOf("GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n").keepAlive).toBe(
    false,
  );
  expect(headOf("GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n").keepAlive).toBe(true);
});

test("RequestDecoder hands out body slices as views of what was fed", () => {
  const decoder = new RequestDecoder(httpLimitsDefault);
  const source = toUtf8("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
  decoder.feed(source);
  expect(decoder.next().kind).toBe("head");
  const event = decoder.next(3);
  if (event.kind !== "data") throw new Error(event.kind);
  expect(event.bytes.buffer).toBe(source.buffer);
  expect(event.bytes.byteLength).toBe(3);
});

const start = "POST / HTTP/1.1\r\nHost: h\r\n";
const chunked = `${start}Transfer-Encoding: chunked\r\n\r\n`;
const faults: readonly (readonly [HttpFaultCode, string])[] = [
  ["bad_request_line", "\u0016\u0003\u0001"],
  ["bad_request_line", "GET\r\n\r\n"],
  ["bad_request_line", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_request_line", `${"G".repeat(33)} / HTTP/1.1\r\nHost: h\r\n\r\n`],
  ["bad_request_line", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_method", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET h HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET /\u00e9 HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_target", "GET /a\u0000 HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["target_too_large", `GET /${"a".repeat(16 * 1024)} HTTP/1.1\r\nHost: h\r\n\r\n`],
  ["bad_version", "GET / HTTX/1.1\r\nHost: h\r\n\r\n"],
  ["bad_version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"],
  ["bad_version", "GET / b HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["bad_version", "GET /\r\nHost: h\r\n\r\n".replace("/\r\n", "/ \r\n")],
  ["unsupported_version", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"],
  ["head_too_large", `GET / HTTP/1.1\r\nHost: h\r\nA: ${"a".repeat(64 * 1024)}`],
  ["too_many_headers", `GET / HTTP/1.1\r\nHost: h\r\n${"a: b\r\n".repeat(100)}\r\n`],
  ["bad_header_name", "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n"],
  ["bad_header_name", "GET / HTTP/1.1\r\nHost: h\r\na(b: c\r\n\r\n"],
  ["bad_header_name", "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n"],
  ["bad_header_value", "GET / HTTP/1.1\r\nHost: h\r\na: b\u0000c\r\n\r\n"],
  ["bad_header_value", "GET / HTTP/1.1\r\nHost: h\r\na: b\u007fc\r\n\r\n"],
  ["folded_header", "GET / HTTP/1.1\r\nHost: h\r\na: b\r\n c\r\n\r\n"],
  ["folded_header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"],
  ["space_before_colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"],
  ["bare_line_end", "GET / HTTP/1.1\nHost: h\n\n"],
  ["bare_line_end", "GET / HTTP/1.1\r\nHost: h\n\r\n"],
  ["bare_line_end", "GET / HTTP/1.1\r\nHost: h\r\na: b\rc\r\n\r\n"],
  ["missing_host", "GET / HTTP/1.1\r\n\r\n"],
  ["duplicate_host", "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n"],
  ["bad_host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"],
  ["bad_host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"],
  ["bad_host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
  ...["+1", "-1", "1,1", "0x1", "01", "1.0", "1 1", ""].map(
    (value) => ["bad_content_length", `${start}Content-Length: ${value}\r\n\r\n`] as const,
  ),
  ["duplicate_content_length", `${start}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`],
  ["body_too_large", `${start}Content-Length: 99999999999999\r\n\r\n`],
  ["body_too_large", `${start}Content-Length: ${"9".repeat(40)}\r\n\r\n`],
  [
    "length_with_transfer_encoding",
    `${start}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  ...["gzip, chunked", "chunked, identity", "identity", "xchunked", "chunked;q=1", ""].map(
    (value) =>
      ["unsupported_transfer_encoding", `${start}Transfer-Encoding: ${value}\r\n\r\n`] as const,
  ),
  [
    "unsupported_transfer_encoding",
    `${start}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  [
    "unsupported_transfer_encoding",
    "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
  ],
  ["space_before_colon", `${start}Transfer-Encoding : chunked\r\n\r\n`],
  ["unsupported_expectation", `${start}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n`],
  ...[
    "x\r\n",
    "\r\n",
    "-1\r\n",
    "0x1\r\n",
    " 1\r\n",
    "1 \r\n",
    "1\t;a\r\n",
    `${"0".repeat(14)}\r\n`,
  ].map((line) => ["bad_chunk_size", chunked + line] as const),
  ["bare_line_end", `${chunked}1\na\r\n`],
  ["bare_line_end", `${chunked}1\rX`],
  ["bad_chunk_end", `${chunked}1\r\naXX`],
  ["bad_chunk_end", `${chunked}1\r\na\rX`],
  ["body_too_large", `${chunked}fffffffffffff\r\n`],
  ["chunk_extension_too_large", `${chunked}1;${"a".repeat(300)}\r\n`],
  ["chunk_extension_too_large", chunked + `1;${"a".repeat(200)}\r\nx\r\n`.repeat(40)],
  ["bad_trailer", `${chunked}0\r\nContent-Length: 1\r\n\r\n`],
  ["bad_trailer", `${chunked}0\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ["bad_trailer", `${chunked}0\r\n folded: 1\r\n\r\n`],
  ["trailer_too_large", `${chunked}0\r\n${"a: b\r\n".repeat(33)}\r\n`],
  ["trailer_too_large", `${chunked}0\r\na: ${"b".repeat(9000)}\r\n\r\n`],
];
for (const [code, text] of faults) {
  test(`RequestDecoder refuses ${JSON.stringify(text.slice(0, 90))} as ${code}`, () => {
    const last = eventsOf(text).at(-1);
    expect(last).toEqual({ kind: "fault", code });
  });
}

test("RequestDecoder tells names apart that differ little, in every case", () => {
  const usual = ["host", "authorization", "x-amz-date", "x-amz-content-sha256", "if-none-match"];
  const near = usual.flatMap((name) => [
    `${name}x`,
    name.slice(1),
    `^${name.slice(1)}`,
    `~${name.slice(1)}`,
  ]);
  const more = ["x-amz_date", "x^amz-date", "x~amz-date", "ho`t", "Hos!", "0ost"];
  for (const name of [...usual.slice(1), ...near, ...more]) {
    for (const sent of [name, name.toUpperCase(), `${name[0]!.toUpperCase()}${name.slice(1)}`]) {
      const head = headOf(`GET / HTTP/1.1\r\n${sent}: 1\r\nHost: h\r\n\r\n`);
      expect(head.headers).toEqual([
        { name: name.toLowerCase(), value: "1" },
        { name: "host", value: "h" },
      ]);
    }
  }
  for (const method of ["GET", "PUT", "HEAD", "POST", "DELETE", "get", "GETS", "PU", "PATCH"]) {
    expect(headOf(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`).method).toBe(method);
  }
});
