/** Fuzz targets: HTTP requests and their targets. Bytes mean the same however they are cut, whatever they are. */
import { type Prng, toUtf8 } from "@kiseki/base";
import { type FuzzTarget, must, mutateBytes, mutateText, pick } from "@kiseki/base/contract";
import {
  FormDecoder,
  formBoundary,
  httpLimitsDefault,
  parseQuery,
  RequestDecoder,
  splitTarget,
} from "./index.ts";
import { formLimitsDefault } from "./limits.ts";
import { percentDecodeBytes, percentEncodeBytes } from "./target.ts";

const limits = { ...httpLimitsDefault, headSizeMax: 400, targetSizeMax: 60, headerCountMax: 8 };

/** Events with data joined, as text. */
export function meaningOf(pieces: Iterable<Uint8Array>, prng?: Prng): string {
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

export const samples = [
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

const lastWord = (meaning: string): string =>
  /"fault","code":"([a-z_]+)"/.exec(meaning)?.[1] ?? (meaning === "" ? "nothing" : "accepted");

const requests: FuzzTarget = {
  name: "http-request",
  run(prng, note) {
    const picked = Array.from({ length: 1 + prng.below(3) }, () => pick(prng, samples));
    const source = mutateBytes(prng, Uint8Array.from(picked.flatMap((one) => [...one])), fragments);
    note(source);
    const whole = meaningOf([source]);
    must(meaningOf(cut(source, prng, 1), prng) === whole, "byte by byte it means the same");
    must(meaningOf(cut(source, prng, 60), prng) === whole, "in pieces it means the same");
    return lastWord(whole);
  },
};

const noise: FuzzTarget = {
  name: "http-noise",
  run(prng, note) {
    const source = prng.fill(new Uint8Array(prng.below(300)));
    note(source);
    const whole = meaningOf([source]);
    must(meaningOf(cut(source, prng, 50)) === whole, "in pieces it means the same");
    return lastWord(whole);
  },
};

const targets: FuzzTarget = {
  name: "http-target",
  run(prng, note) {
    const text = mutateText(prng, "/a%20b//c/..?list-type=2&prefix=%C3%A9&x", [
      "%",
      "%f",
      "&",
      "=",
      "?",
      "+",
      "%00",
    ]);
    note(text);
    const { path, query } = splitTarget(text);
    must(path + (text.includes("?") ? `?${query}` : "") === text, "a split loses nothing");
    const decoded = percentDecodeBytes(path);
    if (decoded !== undefined) {
      const again = percentDecodeBytes(percentEncodeBytes(decoded));
      must(again !== undefined && Buffer.from(again).equals(decoded), "escaping keeps the bytes");
    }
    const pairs = parseQuery(query);
    if (pairs !== undefined)
      must(pairs.length <= query.length + 1, "pairs are bounded by the text");
    return decoded === undefined || pairs === undefined ? "refused" : "accepted";
  },
};

const formLimits = { ...formLimitsDefault, fieldSizeMax: 60, headSizeMax: 500, restSizeMax: 40 };

/** Events of a form, data joined, as text. */
function formMeaning(pieces: Iterable<Uint8Array>, prng?: Prng): string {
  const decoder = new FormDecoder("b0", formLimits);
  let meaning = "";
  let wasData = false;
  for (const piece of pieces) {
    decoder.feed(piece);
    for (;;) {
      const event = decoder.next(prng === undefined ? undefined : 1 + prng.below(7));
      if (event.kind === "need_more") break;
      const isData = event.kind === "data";
      if (isData && !wasData) meaning += "\ndata ";
      meaning += isData ? String.fromCharCode(...event.bytes) : `\n${JSON.stringify(event)}`;
      wasData = isData;
      if (event.kind === "fault") return meaning;
    }
  }
  return `${meaning}\n${decoder.isWhole ? "accepted" : "cut"}`;
}
const form = toUtf8(
  '--b0\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b0\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--b0--\r\n',
);
const formPieces = ["\r\n--b0", "\r\n", "\r", "--", '"', "\\", "; name=", "\r\n\r\n"].map((text) =>
  toUtf8(text),
);

const forms: FuzzTarget = {
  name: "http-form",
  run(prng, note) {
    const source = mutateBytes(prng, form, formPieces);
    note(source);
    const whole = formMeaning([source]);
    must(formMeaning(cut(source, prng, 1), prng) === whole, "byte by byte it means the same");
    must(formMeaning(cut(source, prng, 60), prng) === whole, "in pieces it means the same");
    const type = mutateText(prng, "multipart/form-data; boundary=b0", [";", '"', "=", "boundary="]);
    const boundary = formBoundary(type)?.boundary;
    must(boundary === undefined || boundary.length <= 70, "a boundary is bounded");
    return whole.endsWith("accepted") ? "accepted" : lastWord(whole);
  },
};

export const httpTargets: readonly FuzzTarget[] = [requests, noise, targets, forms];
