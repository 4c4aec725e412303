import { createHmac } from "node:crypto";
import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import { concatBytes, newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import { formatRecoveryCode } from "@kiseki/format";
import {
  clusterKeyGeneration,
  type ExportedKeys,
  exportKeys,
  importKeys,
  newKeyExportHeader,
  newRecoverySecret,
  openClusterKeyByCode,
  openClusterKeyByNode,
  readKeyExport,
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

const quickKey = (passphrase: string, { salt }: { readonly salt: Uint8Array }): Uint8Array =>
  crypto.hmacSha256(salt, toUtf8(passphrase));
const quickCost = { log2N: 10, r: 1, p: 1 };
const randomKeys = () => ({
  clusterId: random(16),
  nodeSecret: random(32),
  clusterKey: random(32),
});
function exportAt(keys: ExportedKeys, cost = quickCost): Uint8Array {
  const header = newKeyExportHeader(prng, keys.clusterId, cost);
  return exportKeys(crypto, prng, keys, header, quickKey("correct horse", header));
}
/** All that an import does, with a quick key in the place of scrypt's. */
function importAt(source: Uint8Array, passphrase: string): ExportedKeys | string {
  const sealed = readKeyExport(crypto, source);
  return typeof sealed === "string"
    ? sealed
    : importKeys(crypto, sealed, quickKey(passphrase, sealed));
}
test("importKeys() takes back what exportKeys() sealed, by its passphrase alone", () => {
  const keys = randomKeys();
  const sealed = exportAt(keys);
  expect(importAt(sealed, "correct horse")).toEqual(keys);
  expect(importAt(sealed, "correct horsf")).toBe("wrong_secret");
  expect(toHex(sealed)).not.toContain(toHex(keys.nodeSecret));
  expect(toHex(sealed)).not.toContain(toHex(keys.clusterKey));
});
test("readKeyExport() hands out no cost that asks for more than 2 GiB", () => {
  const sealed = exportAt(randomKeys(), { log2N: 20, r: 16, p: 4 });
  expect(readKeyExport(crypto, sealed)).toMatchObject({ cost: { log2N: 20, r: 16, p: 4 } });
  for (const [offset, value] of [
    [11, 21],
    [11, 9],
    [12, 17],
    [12, 0],
    [13, 1],
    [14, 5],
    [14, 0],
  ]) {
    const weak = sealed.slice();
    weak[offset!] = value!;
    expect(readKeyExport(crypto, withChecksum(weak, 188))).toBe("unknown_version");
  }
});
test("an export is refused with every bit flipped, with and without the checksum set right", () => {
  const sealed = exportAt(randomKeys());
  for (let bit = 0; bit < sealed.byteLength * 8; bit++) {
    const flipped = sealed.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(importAt(flipped, "correct horse")).toBe("damaged");
    if (bit >= 188 * 8) continue;
    const forged = importAt(withChecksum(flipped, 188), "correct horse");
    expect(typeof forged, `byte ${bit >> 3}`).toBe("string");
  }
});
