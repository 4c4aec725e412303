// Goal: whatever arrives, in whatever pieces, what is accepted was signed, and the rest ends in a fault.
// Method: the targets of auth.fuzz.ts, and chosen bad bodies.
import { expect, test } from "bun:test";
import { prngFromSeed, toUtf8 } from "@kiseki/base";
import { fuzz } from "@kiseki/base/contract";
import { authTargets, date, decode, encode, key, scope, seedSignature } from "./auth.fuzz.ts";
import type { StreamedPayload } from "./index.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 150);

test.each([...authTargets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < rounds);
  expect(words.size).toBeGreaterThan(1);
});

test("AwsChunkedDecoder refuses small chunks before the last, surplus, shortage and unannounced trailers", () => {
  const prng = prngFromSeed(1);
  const base = { kind: "streamed", hasTrailer: false, trailerNames: [] } as const;
  const signing = { key, date, scope, seedSignature };
  const run = (payload: StreamedPayload, body: string): string =>
    decode(payload, toUtf8(body), prng, 100);
  expect(run({ ...base, decodedSize: 2, signing }, encode(["a", "b"], true, []))).toBe(
    "InvalidChunkSizeError",
  );
  expect(run({ ...base, decodedSize: 1, signing: undefined }, encode(["ab"], false, []))).toBe(
    "IncompleteBody",
  );
  expect(run({ ...base, decodedSize: 3, signing: undefined }, encode(["ab"], false, []))).toBe(
    "IncompleteBody",
  );
  const announced = {
    ...base,
    hasTrailer: true,
    trailerNames: ["x-a"],
    decodedSize: 2,
    signing: undefined,
  };
  expect(run(announced, encode(["ab"], false, []))).toBe("MalformedTrailerError");
  expect(run(announced, encode(["ab"], false, ["x-b:1"]))).toBe("MalformedTrailerError");
  expect(run(announced, "2\r\nab\r\n0\r\nX-A: 1\n\r\n")).toBe('ok [{"name":"x-a","value":"1"}] ab');
  expect(run(announced, `${"0".repeat(200)}`)).toBe("InvalidRequest");
  expect(run(announced, "2;x=y\r\nab\r\n")).toBe("InvalidRequest");
});
