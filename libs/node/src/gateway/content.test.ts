import { expect, test } from "bun:test";
import { newBytes, toUtf8 } from "@kiseki/base";
import type { StreamedPayload } from "@kiseki/auth";
import { openCrypto } from "@kiseki/host";
import type { BodySource } from "../front/types.ts";
import { openContent } from "./content.ts";
import { GatewayFailure } from "./failure.ts";

const crypto = openCrypto();
const payload: StreamedPayload = {
  kind: "streamed",
  decodedSize: 7,
  hasTrailer: true,
  trailerNames: ["x-amz-checksum-crc32"],
  signing: undefined,
};

/** A source of `text` in slices of `sliceSize`. */
function sourceOf(text: string, sliceSize: number): BodySource {
  const bytes = toUtf8(text);
  let at = 0;
  const readSlice = async (): Promise<Uint8Array | undefined> => {
    const slice = bytes.subarray(at, at + sliceSize);
    at += slice.byteLength;
    return slice.byteLength === 0 ? undefined : slice;
  };
  const readInto = (): Promise<number> => Promise.reject(new Error("not asked for"));
  return { size: bytes.byteLength, trailers: [], readInto, readSlice };
}

const good = "3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
for (const sliceSize of [1, 5, 1000]) {
  test(`openContent() gives the object's bytes from slices of ${sliceSize}`, async () => {
    const body = openContent(crypto, sourceOf(good, sliceSize), payload);
    const target = newBytes(5);
    let text = "";
    for (;;) {
      const size = await body.readInto(target);
      if (size === 0) break;
      text += Buffer.from(target.subarray(0, size)).toString();
    }
    expect(text).toBe("abcdefg");
    expect(body.trailers).toEqual([{ name: "x-amz-checksum-crc32", value: "AAAAAA==" }]);
    expect(await body.readInto(target)).toBe(0);
  });
}

test("openContent() throws what is wrong, also at the end", async () => {
  for (const text of [good.slice(0, 12), good.replace("x-amz-checksum", "x-other"), `${good}x`]) {
    const body = openContent(crypto, sourceOf(text, 1000), payload);
    const target = newBytes(100);
    const readAll = async (): Promise<void> => {
      while ((await body.readInto(target)) > 0);
    };
    await expect(readAll()).rejects.toBeInstanceOf(GatewayFailure);
  }
});
