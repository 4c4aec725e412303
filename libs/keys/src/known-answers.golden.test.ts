// Every derivation against an HKDF, HMAC and AES of node:crypto, and against bytes written down once:
// append only, an edited row is a broken upgrade.
import { createCipheriv, createHash, createHmac, hkdfSync } from "node:crypto";
import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import {
  chunkId,
  epoch,
  inodeId,
  keyset,
  newBytes,
  type Prng,
  prngFromSeed,
  sealId,
  shardId,
  tenantId,
  toHex,
} from "@kiseki/base";
import {
  bindShare,
  ClusterKeyring,
  CustomerKey,
  deriveChainKey,
  deriveInfo,
  deriveMasterWrapKey,
  deriveRoot,
  KeysetKeyring,
  resealCustomerSalt,
  TenantKeyring,
} from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const tools = { crypto, openSecret: crypto.openSecret };
const filled = (size: number, byte: number) => newBytes(size).fill(byte);
const tenant = tenantId(filled(16, 0x7e));
const shard = shardId(filled(16, 0x5a));
const fileId = filled(16, 0xf1);

/** Label ‖ (4-byte little-endian size ‖ field)*, written apart from the code under test. */
function info(purpose: string, ...fields: readonly Uint8Array[]): Buffer {
  const parts = [Buffer.from(`kiseki/${purpose}/v1`)];
  for (const field of fields) {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(field.byteLength);
    parts.push(size, Buffer.from(field));
  }
  return Buffer.concat(parts);
}
const extract = (salt: string, secret: Uint8Array) =>
  createHmac("sha256", `kiseki/${salt}/v1`).update(secret).digest();
/** RFC 5869 §2.3 for one block. */
const expand = (prk: Uint8Array, about: Buffer) =>
  createHmac("sha256", prk).update(about).update(Uint8Array.of(1)).digest("hex");

const systemShare = () => filled(32, 0x51);
const tenantShare = () => filled(32, 0x7e);
const root = extract("root", Buffer.concat([systemShare(), tenantShare()]));
const openKeyring = () =>
  new KeysetKeyring(tools, tenant, keyset(3), deriveRoot(crypto, systemShare(), tenantShare()));

test("deriveRoot() is HKDF-Extract of both shares under its label", () => {
  expect(toHex(deriveRoot(crypto, systemShare(), tenantShare()))).toBe(root.toString("hex"));
  const both = Buffer.concat([systemShare(), tenantShare()]);
  const whole = hkdfSync("sha256", both, "kiseki/root/v1", info("page", fileId), 32);
  using keyring = openKeyring();
  expect(toHex(keyring.pageKey(fileId))).toBe(Buffer.from(whole).toString("hex"));
});

const u64 = (n: bigint) => {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(n);
  return field;
};
const id = chunkId(filled(32, 0xc1));
const seal = sealId(filled(16, 0x5e));
const golden: readonly (readonly [string, (k: KeysetKeyring) => Uint8Array, Buffer, string])[] = [
  [
    "chunk",
    (k) => k.chunkDek(id, seal, "none"),
    info("chunk", id, seal, Uint8Array.of(0)),
    "a62bd3ee992fb394145211080f6da04bc4aa56b37503aed0015a8c5d0502c955",
  ],
  [
    "chunk, deflated",
    (k) => k.chunkDek(id, seal, "deflate"),
    info("chunk", id, seal, Uint8Array.of(1)),
    "ba0ffd6c34506f42536f481d1e81726258db0ebb7791cb70bdfc05459b2a1b99",
  ],
  [
    "page",
    (k) => k.pageKey(fileId),
    info("page", fileId),
    "e71e06b1eec8209187917a25c9be8bd2a34ac71cc291270d17b9da7d071324b7",
  ],
  [
    "wal-mask",
    (k) => k.walMaskKey(fileId),
    info("wal-mask", fileId),
    "b6c752901a098f63a3c84af831b26de2178bede95751263d518c9514733d7d89",
  ],
  [
    "log",
    (k) => k.logKey(shard, epoch(258n)),
    info("log", shard, u64(258n)),
    "b5f02ee9d23ee1b8b64942ebbb13b025b5643cf92e71784e7e92806c6f8f1871",
  ],
  [
    "name-tag",
    (k) => k.nameTagKey(shard),
    info("name-tag", shard),
    "7dda3554532cc9881ed9696855e4c49a5a47dd35a5b5eb28d24caecf256212dd",
  ],
  [
    "bounds",
    (k) => k.boundsKey(shard),
    info("bounds", shard),
    "84e91e7ebd54c7f788e27d3c31467db4dcc98228d89feb56adb926bbde40fc5b",
  ],
  [
    "list-token",
    (k) => k.listTokenKey(shard),
    info("list-token", shard),
    "19959a31c4654f4a29f1d6b1f388f6e6d783e8f0b76c9fc30c884c44f626953e",
  ],
  [
    "row-sum",
    (k) => k.rowSumKey(shard),
    info("row-sum", shard),
    "c2dae80cfb3b1a511d41c4ebc2536ea905cfedf2a78dd4548f78a320c36d2e6f",
  ],
  [
    "customer-salt",
    (k) => k.customerSaltKey(filled(16, 0xa5)),
    info("customer-salt", filled(16, 0xa5)),
    "300a08c7133e45660f422864ead1a835fbf86a04402b505b09eafbc1ca2afda9",
  ],
  [
    "tenant-secret",
    (k) => k.tenantSecretKey(),
    info("tenant-secret", tenant),
    "3331970863f491529346ba64f42b4b01eead0b7a91f0ef7c3b33f2de14c55717",
  ],
];
for (const [name, derive, about, hex] of golden) {
  test(`KeysetKeyring keeps its ${name} key`, () => {
    using keyring = openKeyring();
    expect(toHex(derive(keyring))).toBe(expand(root, about));
    expect(toHex(derive(keyring))).toBe(hex);
  });
}
test("KeysetKeyring derives a different key for every purpose", () => {
  using keyring = openKeyring();
  expect(new Set(golden.map(([, derive]) => toHex(derive(keyring)))).size).toBe(golden.length);
});
test("deriveInfo() gives no two lists of fields the same bytes", () => {
  const lists = [
    [],
    [newBytes(0)],
    [newBytes(0), newBytes(0)],
    [newBytes(4)],
    [newBytes(8)],
    [newBytes(4), newBytes(4)],
    [newBytes(1), newBytes(7)],
  ];
  expect(new Set(lists.map((fields) => toHex(deriveInfo("log", ...fields)))).size).toBe(
    lists.length,
  );
});
test("deriveChainKey() needs the system's share alone", () => {
  const key = toHex(deriveChainKey(crypto, systemShare(), shard));
  expect(key).toBe(expand(extract("chain-root", systemShare()), info("chain", shard)));
  expect(key).toBe("ee39d1a45e544c6768877eee892533004cdb5c394309fda48c0c8b0e98a294d0");
});
test("deriveMasterWrapKey() keeps its bytes", () => {
  const key = toHex(deriveMasterWrapKey(tools, filled(32, 0x3a)));
  expect(key).toBe(expand(extract("master-root", filled(32, 0x3a)), info("share")));
  expect(key).toBe("b746eaaca6049306e3e4b70307366b63f8d5b3a7e817d6424d5d660e2440fdee");
});
test("ClusterKeyring keeps the keys of the catalog's and key store's pages", () => {
  using cluster = new ClusterKeyring(tools, filled(32, 0xc5));
  const clusterRoot = extract("cluster-root", filled(32, 0xc5));
  expect(toHex(cluster.pageKey(fileId))).toBe(expand(clusterRoot, info("cluster-page", fileId)));
  expect(toHex(cluster.walMaskKey(fileId))).toBe(
    expand(clusterRoot, info("cluster-wal-mask", fileId)),
  );
  expect(toHex(cluster.pageKey(fileId))).toBe(
    "44d56e47456c12358ee5922c46a222f8a6f358d3af57008fbcbd3b47e36e9245",
  );
});
test("ClusterKeyring keeps the keys of session tokens and their secrets", () => {
  using cluster = new ClusterKeyring(tools, filled(32, 0xc5));
  const clusterRoot = extract("cluster-root", filled(32, 0xc5));
  expect(toHex(cluster.sessionTokenKey())).toBe(expand(clusterRoot, info("session-token")));
  expect(toHex(cluster.sessionSecretKey())).toBe(expand(clusterRoot, info("session-secret")));
  expect(toHex(cluster.sessionTokenKey())).toBe(
    "b61547f36b2b0f83ec5cafc22478806da27db7601854a9851b946bbe00445977",
  );
  expect(toHex(cluster.capabilityKey())).toBe(expand(clusterRoot, info("capability")));
  expect(toHex(cluster.receiptKey())).toBe(expand(clusterRoot, info("receipt")));
});
test("bindShare() ends with SHA-256 of tenant, keyset and purpose", () => {
  const bound = bindShare(crypto, { tenant, keyset: keyset(3), purpose: "tenant" }, tenantShare());
  const number = Buffer.from([3, 0, 0, 0]);
  const about = info("share-binding", tenant, number, Buffer.from("tenant"));
  expect(toHex(bound.subarray(32))).toBe(createHash("sha256").update(about).digest("hex"));
});

function openTenant(): TenantKeyring {
  return new TenantKeyring(tools, {
    tenant,
    current: keyset(3),
    keysets: [openKeyring()],
    idKey: filled(32, 0x1d),
    dirSecret: filled(32, 0xd1),
    chainKey: (_, own) => deriveChainKey(crypto, systemShare(), own),
  });
}
test("TenantKeyring.chunkIdOf() is HMAC-SHA-256(idKey, digest)", () => {
  using keyring = openTenant();
  const digest = createHash("sha256").update("abc").digest();
  const wanted = createHmac("sha256", filled(32, 0x1d)).update(digest).digest("hex");
  expect(toHex(keyring.chunkIdOf(digest))).toBe(wanted);
  expect(wanted).toBe("45592db721a50049ef79627e7126223f5756a1a6b44aa0f0021235738703a3b4");
});
test("TenantKeyring.dirKey() is AES-256(dirSecret, inode ‖ zeros)", () => {
  using keyring = openTenant();
  const cipher = createCipheriv("aes-256-ecb", filled(32, 0xd1), null).setAutoPadding(false);
  const wanted = cipher.update(Buffer.concat([u64(0x0102n), Buffer.alloc(8)])).toString("hex");
  expect(toHex(keyring.dirKey(inodeId(0x0102n)))).toBe(wanted);
  expect(wanted).toBe("d71a25fea3634c1a148f301a992553c7");
});
test("TenantKeyring.hiddenNameKey() hangs on dirSecret alone", () => {
  using keyring = openTenant();
  const key = toHex(keyring.hiddenNameKey());
  expect(key).toBe(expand(extract("dir-root", filled(32, 0xd1)), info("hidden-name")));
  expect(key).toBe("3d1ccd6a917e05391af2e643d252cc37f0aa58c88a446333fc7f9138337b89dc");
});
test("TenantKeyring.versionId() hides the number under a key of dirSecret alone; versionOf() undoes it", () => {
  using keyring = openTenant();
  const key = Buffer.from(expand(extract("dir-root", filled(32, 0xd1)), info("version-id")), "hex");
  const block = (value: Uint8Array, use: number): Buffer => {
    const cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    return cipher.update(Buffer.concat([value, Buffer.of(use), Buffer.alloc(7)])).subarray(0, 8);
  };
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(0x0102n);
  const tag = block(number, 1);
  const mask = block(tag, 2);
  const wanted = Buffer.concat([tag, number.map((byte, at) => byte ^ mask[at]!)]).toString("hex");
  const id = keyring.versionId(0x0102n);
  expect(toHex(id)).toBe(wanted);
  expect(wanted).toBe("3d1f56005f675160b51a19c416368cbf");
  for (const version of [0n, 1n, 0x0102n, 2n ** 64n - 1n]) {
    expect(keyring.versionOf(keyring.versionId(version))).toBe(version);
  }
  for (let at = 0; at < 16; at++) {
    const forged = id.slice();
    forged[at]! ^= 1;
    expect(keyring.versionOf(forged)).toBeUndefined();
  }
  expect(keyring.versionOf(id.slice(1))).toBeUndefined();
});

/** Chance that is written down: 1, 2, 3 … */
const counting = (): Prng => {
  let next = 0;
  return {
    ...prngFromSeed(1),
    fill(target) {
      for (let i = 0; i < target.byteLength; i++) target[i] = next = (next + 1) & 0xff;
      return target;
    },
  };
};
const customerRoot = extract("customer-root", filled(32, 0xc7));

test("CustomerKey keeps its check and the sealed salt, which open again to the same keys", () => {
  using keyring = openKeyring();
  using key = new CustomerKey(crypto, filled(32, 0xc7));
  const made = key.newSeal(counting(), keyring);
  const checkSalt = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  expect(made.checkSalt).toEqual(checkSalt);
  expect(toHex(made.check)).toBe(expand(customerRoot, info("customer-check", checkSalt)));
  expect(toHex(made.check)).toBe(
    "6c48d844b1f8a2e7c14d6aed129047772550a4bd2bd423756aa5f6908e129861",
  );
  expect(toHex(made.sealedSalt)).toBe(
    "3132333435363738393a3b3c8cf4c2594ee504592b92072bf53c7406419fdd0b587ba7392794fbb2f24705a5da267ac708b017cd1a7e69e4f7363b43",
  );
  using cipher = key.cipher(keyring, made);
  const salt = Uint8Array.from({ length: 32 }, (_, i) => i + 17);
  const dek = toHex(cipher.chunkDek(id, seal));
  expect(dek).toBe(expand(customerRoot, info("customer-chunk", id, seal, salt)));
  expect(dek).toBe("c938f138a9c60b2b003462fa267bc2ef4941634f02e0f05d9c0ac02d515e12e6");
  const etag = expand(customerRoot, info("customer-etag", filled(16, 0x3d), salt));
  expect(toHex(cipher.etag(filled(16, 0x3d)))).toBe(etag.slice(0, 32));
});

test("resealCustomerSalt() moves the salt to another keyset and changes nothing that it makes", () => {
  using from = openKeyring();
  using to = new KeysetKeyring(tools, tenant, keyset(4), filled(32, 0x99));
  using key = new CustomerKey(crypto, filled(32, 0xc7));
  const before = key.newSeal(prngFromSeed(3), from);
  const after = resealCustomerSalt(crypto, prngFromSeed(4), { from, to }, before);
  expect(after).toMatchObject({ checkSalt: before.checkSalt, check: before.check });
  expect(after.sealedSalt).not.toEqual(before.sealedSalt);
  using old = key.cipher(from, before);
  using moved = key.cipher(to, after);
  expect(moved.chunkDek(id, seal)).toEqual(old.chunkDek(id, seal));
  expect(() => key.cipher(to, before)).toThrow("damage");
  expect(() => key.cipher(from, after)).toThrow("damage");
});

test("CustomerKey fits its own seals alone, wipes what it was given, and is of no use afterwards", () => {
  using keyring = openKeyring();
  const given = filled(32, 0xc7);
  const key = new CustomerKey(crypto, given);
  expect(given).toEqual(newBytes(32));
  using other = new CustomerKey(crypto, filled(32, 0xc8));
  const made = key.newSeal(prngFromSeed(3), keyring);
  const again = key.newSeal(prngFromSeed(4), keyring);
  expect([key.fits(made), key.fits(again), other.fits(made)]).toEqual([true, true, false]);
  expect(made.check).not.toEqual(again.check);
  const moved = { ...again, sealedSalt: made.sealedSalt }; // another object's salt
  expect(() => key.cipher(keyring, moved)).toThrow("damage");
  expect(() => other.cipher(keyring, made)).toThrow("checked");
  const cipher = key.cipher(keyring, made);
  cipher[Symbol.dispose]();
  expect(() => cipher.chunkDek(id, seal)).toThrow("wiped");
  key[Symbol.dispose]();
  expect(() => key.fits(made)).toThrow("wiped");
});
