import { expect, test } from "bun:test";
import { concatBytes, fromHex, newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import type { Crypto } from "./crypto.ts";

const hex = (text: string) => fromHex(text.replaceAll(/\s/g, ""));
const ascending = (start: number, size: number) =>
  Uint8Array.from({ length: size }, (_, i) => start + i);

/** Known answers, each from the standard's own document. */
function knownAnswers(name: string, crypto: Crypto): void {
  test(`${name}: sha256() answers FIPS 180-2 appendix B`, () => {
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(toHex(crypto.sha256(toUtf8("abc")))).toBe(abc);
    expect(toHex(crypto.sha256(toUtf8("a"), newBytes(0), toUtf8("bc")))).toBe(abc);
    const running = crypto.startSha256();
    running.update(toUtf8("ab"));
    running.update(toUtf8("c"));
    expect(toHex(running.digest())).toBe(abc);
  });
  test(`${name}: hmacSha256() answers RFC 4231 cases 1 and 2`, () => {
    expect(toHex(crypto.hmacSha256(newBytes(20).fill(0x0b), toUtf8("Hi There")))).toBe(
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    );
    expect(
      toHex(crypto.hmacSha256(toUtf8("Jefe"), toUtf8("what do ya "), toUtf8("want for nothing?"))),
    ).toBe("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  });
  test(`${name}: md5() answers RFC 1321 appendix A.5`, () => {
    expect(toHex(crypto.md5(newBytes(0)))).toBe("d41d8cd98f00b204e9800998ecf8427e");
    expect(toHex(crypto.md5(toUtf8("message digest")))).toBe("f96b697d7cb7938d525a2f31aaf161d0");
  });
  test(`${name}: hkdf answers RFC 5869 appendix A.1`, () => {
    const prk = crypto.hkdfExtract(ascending(0, 13), newBytes(22).fill(0x0b));
    expect(toHex(prk)).toBe("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    expect(toHex(crypto.hkdfExpand(prk, ascending(0xf0, 10), 42))).toBe(
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    );
  });
  test(`${name}: aesBlock() answers FIPS 197 appendix C.3`, () => {
    const block = crypto.aesBlock(ascending(0, 32), hex("00112233445566778899aabbccddeeff"));
    expect(toHex(block)).toBe("8ea2b7ca516745bfeafc49904b496089");
  });
  test(`${name}: seal() answers cases 13, 14 and 16 of the GCM specification (McGrew, Viega)`, () => {
    const zeros = newBytes(32);
    const none = newBytes(0);
    expect(toHex(crypto.seal(zeros, newBytes(12), none, none))).toBe(
      "530f8afbc74536b9a963b4f1c4cb738b",
    );
    expect(toHex(crypto.seal(zeros, newBytes(12), none, newBytes(16)))).toBe(
      "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    );
    const key = hex("feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f9467308308");
    const plaintext = hex(
      `d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72
       1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b39`,
    );
    const sealed = crypto.seal(
      key,
      hex("cafebabefacedbaddecaf888"),
      hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
      plaintext,
    );
    expect(toHex(sealed.slice(-16))).toBe("76fc6ece0f4e1768cddf8853bb2d551b");
    expect(toHex(sealed.slice(0, 16))).toBe("522dc1f099567d07f47f37a32a84427d");
  });
  test(`${name}: crc32c() answers RFC 3720 appendix B.4`, () => {
    expect(crypto.crc32c(0, newBytes(32))).toBe(0x8a9136aa);
    expect(crypto.crc32c(0, ascending(0, 32))).toBe(0x46dd794e);
    expect(crypto.crc32c(crypto.crc32c(0, toUtf8("1234")), toUtf8("56789"))).toBe(0xe3069283);
  });
}

/** What every `Crypto` promises. */
export function cryptoContract(name: string, crypto: Crypto): void {
  knownAnswers(name, crypto);
  test(`${name}: open() takes back what seal() made, and nothing that differs in one bit`, () => {
    const prng = prngFromSeed(7);
    for (const size of [0, 1, 15, 16, 17, 4096, 65_537]) {
      const key = prng.fill(newBytes(32));
      const nonce = prng.fill(newBytes(12));
      const aad = prng.fill(newBytes(size % 40));
      const plaintext = prng.fill(newBytes(size));
      const sealed = crypto.seal(key, nonce, aad, plaintext);
      expect(crypto.open(key, nonce, aad, sealed)).toEqual(plaintext);
      for (const [which, source] of [key, nonce, aad, sealed].entries()) {
        if (source.byteLength === 0) continue;
        const flipped = source.slice();
        flipped[prng.below(flipped.byteLength)]! ^= 1 << prng.below(8);
        const parts = [key, nonce, aad, sealed].with(which, flipped);
        expect(crypto.open(parts[0]!, parts[1]!, parts[2]!, parts[3]!)).toBeUndefined();
      }
      expect(crypto.open(key, nonce, aad, sealed.subarray(0, 15))).toBeUndefined();
    }
  });
  test(`${name}: equal() compares sizes and bytes`, () => {
    expect(crypto.equal(toUtf8("same"), toUtf8("same"))).toBe(true);
    expect(crypto.equal(toUtf8("same"), toUtf8("sane"))).toBe(false);
    expect(crypto.equal(toUtf8("same"), toUtf8("samee"))).toBe(false);
    expect(crypto.equal(newBytes(0), newBytes(0))).toBe(true);
  });
  test(`${name}: wipe() leaves zeros`, () => {
    const secret = concatBytes(toUtf8("secret"));
    crypto.wipe(secret);
    expect(secret).toEqual(newBytes(6));
  });
}
