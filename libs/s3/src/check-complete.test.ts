import { expect, test } from "bun:test";
import type { CompleteUploadCall } from "./call.ts";
import { checkComplete, checkCompletePart } from "./check-complete.ts";

const value = new Uint8Array([0, 0, 0, 1]);
const other = new Uint8Array(4);
const composite = { algorithm: "crc32", type: "COMPOSITE" } as const;
const whole = { algorithm: "crc32", type: "FULL_OBJECT" } as const;

test("checkCompletePart() wants every checksum of a composite, and none to differ", () => {
  const part = { partNumber: 1, etag: "e", checksum: { algorithm: "crc32", value } } as const;
  const bare = { partNumber: 1, etag: "e", checksum: undefined };
  const foreign = { ...part, checksum: { algorithm: "crc32c", value } } as const;
  expect(checkCompletePart(part, composite, value)).toBeUndefined();
  expect(checkCompletePart(part, composite, other)).toMatchObject({ code: "InvalidPart" });
  expect(checkCompletePart(part, undefined, other)).toMatchObject({ code: "InvalidPart" });
  expect(checkCompletePart(part, undefined, undefined)).toBeUndefined();
  expect(checkCompletePart(part, whole, undefined)).toMatchObject({ code: "InvalidPart" });
  expect(checkCompletePart(foreign, whole, value)).toMatchObject({ code: "InvalidPart" });
  expect(checkCompletePart(bare, composite, value)).toMatchObject({ code: "InvalidRequest" });
  expect(checkCompletePart(bare, whole, value)).toBeUndefined();
});

test("checkComplete() believes no claim that the parts do not come to", () => {
  const base = {
    expected: undefined,
    expectedAlgorithm: undefined,
    checksumType: undefined,
    expectedSize: undefined,
  };
  const check = (claim: object, has: typeof composite | typeof whole | undefined = composite) =>
    checkComplete(
      { ...base, ...claim } as Partial<CompleteUploadCall> as CompleteUploadCall,
      has && { ...has, value, partCount: has === composite ? 2 : 0 },
      9,
    );
  const expected = { value, partCount: 2 };
  expect(check({})).toBeUndefined();
  expect(check({}, undefined)).toBeUndefined();
  expect(
    check({ expectedSize: 9, checksumType: "COMPOSITE", expected, expectedAlgorithm: "crc32" }),
  ).toBeUndefined();
  expect(
    check({ expected: { value, partCount: 0 }, expectedAlgorithm: "crc32" }, whole),
  ).toBeUndefined();
  expect(check({ expectedSize: 8 })).toMatchObject({ code: "InvalidRequest" });
  const bad = { code: "BadDigest" };
  expect(check({ checksumType: "FULL_OBJECT" })).toMatchObject(bad);
  expect(check({ expected: { value, partCount: 3 }, expectedAlgorithm: "crc32" })).toMatchObject(
    bad,
  );
  expect(
    check({ expected: { value: other, partCount: 2 }, expectedAlgorithm: "crc32" }),
  ).toMatchObject(bad);
  expect(check({ expected, expectedAlgorithm: "crc32c" })).toMatchObject(bad);
  expect(
    checkComplete(
      {
        ...base,
        expected,
        expectedAlgorithm: "crc32",
      } as Partial<CompleteUploadCall> as CompleteUploadCall,
      undefined,
      9,
    ),
  ).toMatchObject(bad);
});
