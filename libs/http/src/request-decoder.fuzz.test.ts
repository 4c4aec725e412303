// Goal: bytes mean the same however they are cut, whatever they are; nothing throws; memory stays bounded.
// Method: good dialogues, mutated at random, decoded whole, byte by byte, split at every position, and in random pieces.
import { expect, test } from "bun:test";
import { type Prng, prngFromSeed, toUtf8 } from "@kiseki/base";
import { httpLimitsDefault, RequestDecoder } from "./index.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 1500);
const limits = { ...httpLimitsDefault, headSizeMax: 400, targetSizeMax: 60, headerCountMax: 8 };

/** Events with data joined, as text. */
function meaningOf(pieces: Iterable<Uint8Array>, prng?: Prng): string {
  const decoder = new RequestDecoder(limits);
  let meaning = "";
  let wasData = false;
  for (const piece of pieces) {
    if (piece.byteLength === 0) continue;
    decoder.feed(piece);
    for (;;) {
      const event = decoder.next(prng === undefined ? undefined : 1 + prng.below(7));
      if (event.kind === "need_more") break;
      if (event.kind === "data") {
        if (!wasData) meaning += "\ndata ";
        meaning += String.fromCharCode(...event.bytes);
      } else {
        meaning += `\n${JSON.stringify(event)}`;
      }
      wasData = event.kind === "data";
      if (event.kind === "fault") return meaning;
    }
  }
  return meaning;
}
function* cut(source: Uint8Array, prng: Prng, sizeMax: number): Generator<Uint8Array> {
  for (let at = 0; at < source.byteLength;) {
    const size = 1 + prng.below(sizeMax);
    yield source.slice(at, at + size); // a copy: nothing may lean on memory of before
    at += size;
  }
}

const samples = [
  "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Amz-Date: 20260101T000000Z\r\n\r\n",
  "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\nhello world",
  "POST /c HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
  "\r\nHEAD / HTTP/1.0\r\nHost: h:9\r\nConnection: close\r\n\r\n",
].map((text) => toUtf8(text));
const fragments = [
  "\r\n",
  "\r",
  "\n",
  "\0",
  " ",
  ":",
  "0",
  "Content-Length: 3\r\n",
  "é",
  "GET ",
].map((text) => toUtf8(text));

function mutate(source: Uint8Array, prng: Prng): Uint8Array {
  let bytes = [...source];
  for (let count = prng.below(4); count > 0; count--) {
    const at = prng.below(bytes.length + 1);
    const kind = prng.below(4);
    if (kind === 0) bytes[at] = prng.below(256);
    else if (kind === 1) bytes.splice(at, 1 + prng.below(5));
    else if (kind === 2) bytes.splice(at, 0, ...fragments[prng.below(fragments.length)]!);
    else bytes = [...bytes.slice(0, at), ...bytes.slice(Math.max(0, at - prng.below(40)))];
  }
  return Uint8Array.from(bytes);
}

test("RequestDecoder means the same at every split of good requests", () => {
  const all = Uint8Array.from(samples.flatMap((sample) => [...sample]));
  const whole = meaningOf([all]);
  expect(whole.match(/"kind":"end"/g)).toHaveLength(samples.length);
  for (let at = 0; at <= all.byteLength; at++) {
    expect(meaningOf([all.slice(0, at), all.slice(at)])).toBe(whole);
  }
});

test(`RequestDecoder means the same however mutated requests are cut (KISEKI_FUZZ_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  const seen = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const picked = Array.from(
      { length: 1 + prng.below(3) },
      () => samples[prng.below(samples.length)]!,
    );
    const source = mutate(Uint8Array.from(picked.flatMap((sample) => [...sample])), prng);
    const whole = meaningOf([source]);
    expect(meaningOf(cut(source, prng, 1), prng)).toBe(whole);
    expect(meaningOf(cut(source, prng, 60), prng)).toBe(whole);
    for (const [, code] of whole.matchAll(/"fault","code":"([a-z_]+)"/g)) seen.add(code!);
  }
  if (rounds >= 1500) expect(seen.size).toBeGreaterThan(8); // the mutations reach many faults
});

test(`RequestDecoder survives noise (KISEKI_FUZZ_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed + 1);
  for (let round = 0; round < rounds; round++) {
    const source = prng.fill(new Uint8Array(prng.below(300)));
    expect(meaningOf(cut(source, prng, 50))).toBe(meaningOf([source]));
  }
});
