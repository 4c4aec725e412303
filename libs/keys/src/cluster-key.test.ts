import { createHmac } from "node:crypto";
import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import { concatBytes, newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import { formatRecoveryCode } from "@kiseki/format";
import {
  clusterKeyGeneration,
  exportKeys,
  importKeys,
  newRecoverySecret,
  openClusterKeyByCode,
  openClusterKeyByNode,
  type PassphraseKdf,
  resealClusterKeyForNode,
  sealClusterKey,
} from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const prng = prngFromSeed(11);
const random = (size: number) => prng.fill(newBytes(size));

function makeFile() {
  const secrets = { nodeSecret: random(32), recoverySecret: newRecoverySecret(prng) };
  const opened = { clusterId: random(16), clusterKey: random(32), generation: 5n };
  const file = sealClusterKey(crypto, prng, opened, secrets);
  return { secrets, opened, file, code: formatRecoveryCode(secrets.recoverySecret) };
}
/** Sets the checksum right again, as somebody who tampers would. */
function withChecksum(file: Uint8Array, offset: number): Uint8Array {
  new DataView(file.buffer).setUint32(offset, crypto.crc32c(0, file.subarray(0, offset)), true);
  return file;
}

test("sealClusterKey() makes a file that node secret and recovery code both open", () => {
  const { secrets, opened, file, code } = makeFile();
  expect(openClusterKeyByNode(crypto, file, secrets.nodeSecret)).toEqual(opened);
  expect(openClusterKeyByCode(crypto, file, code.toLowerCase())).toEqual(opened);
  expect(clusterKeyGeneration(crypto, file)).toBe(5n);
  expect(toHex(file)).not.toContain(toHex(opened.clusterKey));
});
test("sealClusterKey() never makes the same bytes twice", () => {
  const { secrets, opened, file } = makeFile();
  expect(sealClusterKey(crypto, prng, opened, secrets).subarray(40)).not.toEqual(file.subarray(40));
});
test("openClusterKeyByNode() keeps the derivation of version 1", () => {
  const { secrets, opened, file } = makeFile();
  const label = concatBytes(toUtf8("kiseki/node/v1"), Uint8Array.of(16, 0, 0, 0), opened.clusterId);
  const root = createHmac("sha256", file.subarray(40, 72)).update(secrets.nodeSecret).digest();
  const key = createHmac("sha256", root).update(label).update(Uint8Array.of(1)).digest();
  const clusterKey = crypto.open(
    key,
    file.subarray(72, 84),
    file.subarray(0, 40),
    file.subarray(84, 132),
  );
  expect(clusterKey).toEqual(opened.clusterKey);
});
test("openClusterKeyByNode() and ByCode() refuse every flipped bit", () => {
  const { secrets, file, code } = makeFile();
  for (let bit = 0; bit < file.byteLength * 8; bit++) {
    const flipped = file.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(openClusterKeyByNode(crypto, flipped, secrets.nodeSecret)).toBe("damaged");
    if (bit >= 252 * 8) continue;
    const forged = withChecksum(flipped, 252);
    const at = bit >> 3;
    const byNode = openClusterKeyByNode(crypto, forged, secrets.nodeSecret);
    const byCode = openClusterKeyByCode(crypto, forged, code);
    const isCommon = at < 40 || at >= 224;
    if (isCommon || at < 132) expect(typeof byNode, `by node, byte ${at}`).toBe("string");
    if (isCommon || at >= 132) expect(typeof byCode, `by code, byte ${at}`).toBe("string");
  }
});
test("openClusterKeyByNode() and ByCode() tell a wrong secret from damage and from a typo", () => {
  const { file, code } = makeFile();
  const other = makeFile();
  expect(openClusterKeyByNode(crypto, file, random(32))).toBe("wrong_secret");
  expect(openClusterKeyByCode(crypto, file, other.code)).toBe("wrong_secret");
  expect(openClusterKeyByCode(crypto, file, code.replace(/^(.)(.)/, "$1Z"))).toMatchObject({
    kind: "typo",
    group: 1,
  });
  expect(openClusterKeyByNode(crypto, file.subarray(0, 255), random(32))).toBe("damaged");
});
test("resealClusterKeyForNode() opens by the new secret and the old code, not by the old secret", () => {
  const { secrets, opened, file, code } = makeFile();
  const nodeSecret = random(32);
  const { recoverySecret } = secrets;
  const next = { nodeSecret, recoverySecret };
  const resealed = resealClusterKeyForNode(crypto, prng, file, opened, next);
  expect(openClusterKeyByNode(crypto, resealed, nodeSecret)).toEqual({ ...opened, generation: 6n });
  expect(openClusterKeyByCode(crypto, resealed, code)).toEqual({ ...opened, generation: 6n });
  expect(openClusterKeyByNode(crypto, resealed, secrets.nodeSecret)).toBe("wrong_secret");
});

const asked: number[] = [];
const quickKdf: PassphraseKdf = (passphrase, salt, cost) => {
  asked.push(cost.log2N);
  return crypto.hmacSha256(salt, passphrase);
};
test("importKeys() takes back what exportKeys() sealed, by its passphrase alone", () => {
  const keys = { clusterId: random(16), nodeSecret: random(32), clusterKey: random(32) };
  const passphrase = toUtf8("correct horse");
  const cost = { log2N: 10, r: 1, p: 1 };
  const sealed = exportKeys(crypto, prng, keys, passphrase, quickKdf, cost);
  expect(importKeys(crypto, sealed, passphrase, quickKdf)).toEqual(keys);
  expect(importKeys(crypto, sealed, toUtf8("correct horsf"), quickKdf)).toBe("wrong_secret");
  expect(toHex(sealed)).not.toContain(toHex(keys.nodeSecret));
  expect(toHex(sealed)).not.toContain(toHex(keys.clusterKey));
  asked.length = 0;
  const weak = withChecksum(exportKeys(crypto, prng, keys, passphrase, quickKdf), 188);
  weak[11] = 60;
  asked.length = 0;
  expect(importKeys(crypto, withChecksum(weak, 188), passphrase, quickKdf)).toBe("unknown_version");
  expect(asked).toEqual([]);
});
test("importKeys() refuses every flipped bit, with and without the checksum set right", () => {
  const keys = { clusterId: random(16), nodeSecret: random(32), clusterKey: random(32) };
  const passphrase = toUtf8("correct horse");
  const cost = { log2N: 10, r: 1, p: 1 };
  const sealed = exportKeys(crypto, prng, keys, passphrase, quickKdf, cost);
  for (let bit = 0; bit < sealed.byteLength * 8; bit++) {
    const flipped = sealed.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(importKeys(crypto, flipped, passphrase, quickKdf)).toBe("damaged");
    if (bit >= 188 * 8) continue;
    const forged = importKeys(crypto, withChecksum(flipped, 188), passphrase, quickKdf);
    expect(typeof forged, `byte ${bit >> 3}`).toBe("string");
  }
});
