import { fromUtf8, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { isFault, type S3Fault } from "../errors.ts";
import { encryptionSetting } from "./encryption.ts";

const document = (applied: string, more = ""): Uint8Array =>
  toUtf8(
    `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>${applied}</ApplyServerSideEncryptionByDefault>${more}</Rule></ServerSideEncryptionConfiguration>`,
  );
const kept = (source: Uint8Array): Uint8Array => {
  const stored = encryptionSetting.store(source);
  if (isFault(stored)) throw new Error((stored as S3Fault).code);
  return stored as Uint8Array;
};
const codeOf = (source: Uint8Array): string | undefined => {
  const stored = encryptionSetting.store(source);
  return isFault(stored) ? (stored as S3Fault).code : undefined;
};
const aes = "<SSEAlgorithm>AES256</SSEAlgorithm>";
const kms = "<SSEAlgorithm>aws:kms</SSEAlgorithm>";

test("encryptionSetting keeps algorithm, key and BucketKeyEnabled, and shows them as they came", () => {
  const cases = [
    [document(aes), { algorithm: "AES256", isBucketKey: false }],
    [document(kms), { algorithm: "aws:kms", isBucketKey: false }],
    [
      document(
        `${kms}<KMSMasterKeyID>k</KMSMasterKeyID>`,
        "<BucketKeyEnabled>true</BucketKeyEnabled>",
      ),
      { algorithm: "aws:kms", keyId: "k", isBucketKey: true },
    ],
    [
      document(
        aes,
        "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>",
      ),
      { algorithm: "AES256", isBucketKey: false, isCustomerKeyBlocked: true },
    ],
    [
      document(
        aes,
        "<BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes>",
      ),
      { algorithm: "AES256", isBucketKey: false },
    ],
  ] as const;
  for (const [source, config] of cases) {
    expect(encryptionSetting.decode(kept(source))).toEqual(config);
  }
  const shown = fromUtf8(encryptionSetting.show(kept(cases[2][0])) as Uint8Array);
  expect(shown).toContain(
    "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>",
  );
  expect(fromUtf8(encryptionSetting.show(undefined) as Uint8Array)).toContain(aes);
});

test("encryptionSetting refuses what S3's schema does not have, and a key for AES256", () => {
  expect(codeOf(document(`${aes}<KMSMasterKeyID>k</KMSMasterKeyID>`))).toBe("InvalidArgument");
  expect(codeOf(document("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>"))).toBe("NotImplemented");
  const malformed = [
    document("<SSEAlgorithm>ROT13</SSEAlgorithm>"),
    document(""),
    document(`${kms}<KMSMasterKeyID/>`),
    document(aes, "<BucketKeyEnabled>perhaps</BucketKeyEnabled>"),
    document(aes, "<Other/>"),
    document(aes, "<BlockedEncryptionTypes/>"),
    document(
      aes,
      "<BlockedEncryptionTypes><EncryptionType>AES</EncryptionType></BlockedEncryptionTypes>",
    ),
    document(`${kms}<KMSMasterKeyID>${"k".repeat(2049)}</KMSMasterKeyID>`),
    toUtf8("<ServerSideEncryptionConfiguration/>"),
    new Uint8Array(0),
  ];
  for (const each of malformed) expect(codeOf(each)).toBe("MalformedXML");
});

test("encryptionSetting fails closed on what it did not write", () => {
  for (const text of [
    `{"version":1,"algorithm":"none","isBucketKey":false}`,
    `{"version":1,"algorithm":"AES256"}`,
    `{"version":1,"algorithm":"AES256","isBucketKey":false,"isCustomerKeyBlocked":false}`,
    `{"version":1,"algorithm":"AES256","keyId":"k","isBucketKey":false}`,
    `{"version":2,"algorithm":"AES256","isBucketKey":false}`,
  ]) {
    expect(() => encryptionSetting.decode(toUtf8(text))).toThrow();
  }
});
