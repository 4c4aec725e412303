import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import { keyset, newBytes, prngFromSeed, tenantId, toUtf8 } from "@kiseki/base";
import {
  bindShare,
  ClusterKeyring,
  openKey,
  sealedKeyGeneration,
  sealKey,
  unbindShare,
} from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const tools = { crypto, openSecret: crypto.openSecret };
const prng = prngFromSeed(12);
const random = (size: number) => prng.fill(newBytes(size));
const tenant = tenantId(random(16));
const place = { key: random(32), kind: "share", generation: 7, context: toUtf8("row 1") } as const;

test("openKey() takes back what sealKey() sealed, of any size up to 4 KiB", () => {
  for (const size of [0, 1, 32, 64, 4096]) {
    const secret = random(size);
    expect(openKey(crypto, place, sealKey(crypto, prng, place, secret))).toEqual(secret);
  }
  expect(() => sealKey(crypto, prng, place, newBytes(4097))).toThrow("Must hold");
});
test("openKey() refuses every flipped bit, and another place", () => {
  const stored = sealKey(crypto, prng, place, random(32));
  for (let bit = 0; bit < stored.byteLength * 8; bit++) {
    const flipped = stored.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(typeof openKey(crypto, place, flipped), `bit ${bit}`).toBe("string");
  }
  expect(openKey(crypto, { ...place, context: toUtf8("row 2") }, stored)).toBe("damaged");
  expect(openKey(crypto, { ...place, generation: 8 }, stored)).toBe("damaged");
  expect(openKey(crypto, { ...place, kind: "master" }, stored)).toBe("damaged");
  expect(openKey(crypto, place, stored.subarray(1))).not.toBeInstanceOf(Uint8Array);
  expect(sealedKeyGeneration("share", stored)).toBe(7);
  expect(sealedKeyGeneration("master", stored)).toBeUndefined();
});
test("unbindShare() refuses another tenant's, keyset's or purpose's share, and wipes what it got", () => {
  const owner = { tenant, keyset: keyset(2), purpose: "tenant" } as const;
  const share = random(32);
  const unwrapped = () => bindShare(crypto, owner, share);
  expect(unbindShare(crypto, owner, unwrapped())).toEqual(share);
  expect(unbindShare(crypto, { ...owner, keyset: keyset(3) }, unwrapped())).toBe("wrong_owner");
  expect(unbindShare(crypto, { ...owner, purpose: "system" }, unwrapped())).toBe("wrong_owner");
  const other = { ...owner, tenant: tenantId(random(16)) };
  expect(unbindShare(crypto, other, unwrapped())).toBe("wrong_owner");
  expect(unbindShare(crypto, owner, unwrapped().subarray(1))).toBe("damaged");
  const borrowed = unwrapped();
  unbindShare(crypto, owner, borrowed);
  expect(borrowed).toEqual(newBytes(64));
});
test("ClusterKeyring binds a master to its epoch and a KEK to tenant and epoch", () => {
  const clusterKey = random(32);
  using cluster = new ClusterKeyring(tools, clusterKey);
  expect(clusterKey).toEqual(newBytes(32));
  const secret = random(32);
  const master = cluster.sealMaster(prng, 1, secret);
  expect(cluster.openMaster(1, master)).toEqual(secret);
  expect(cluster.openMaster(2, master)).toBe("damaged");
  const kek = cluster.sealKek(prng, tenant, 1, secret);
  expect(cluster.openKek(tenant, 1, kek)).toEqual(secret);
  expect(cluster.openKek(tenant, 2, kek)).toBe("damaged");
  expect(cluster.openKek(tenantId(random(16)), 1, kek)).toBe("damaged");
  expect(cluster.openMaster(1, kek)).toBe("damaged");
  using stranger = new ClusterKeyring(tools, random(32));
  expect(stranger.openMaster(1, master)).toBe("damaged");
});
