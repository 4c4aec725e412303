import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import { inodeId, keyset, newBytes, prngFromSeed, shardId, tenantId } from "@kiseki/base";
import { deriveRoot, KeysetKeyring, poolSecrets, type Secret, TenantKeyring } from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const prng = prngFromSeed(13);
const random = (size: number) => prng.fill(newBytes(size));
const tenant = tenantId(random(16));
const shard = shardId(random(16));

/** Plain memory that remembers what was opened, and shows what is left after disposal. */
function plainMemory() {
  const opened: Uint8Array[] = [];
  const openSecret = (size: number): Secret => {
    const bytes = newBytes(size);
    opened.push(bytes);
    return { bytes, [Symbol.dispose]: () => void bytes.fill(0) };
  };
  return { opened, openSecret };
}
function makeKeyring(openSecret: (size: number) => Secret) {
  const tools = { crypto, openSecret };
  const roots = [1, 2].map(() => deriveRoot(crypto, random(32), random(32)));
  const parts = {
    tenant,
    current: keyset(2),
    keysets: roots.map((root, i) => new KeysetKeyring(tools, tenant, keyset(i + 1), root)),
    idKey: random(32),
    dirSecret: random(32),
    chainKey: () => random(32),
  };
  return { keyring: new TenantKeyring(tools, parts), parts, roots };
}

test("TenantKeyring takes its secrets over and leaves nothing after disposal", () => {
  const { opened, openSecret } = plainMemory();
  const { keyring, parts, roots } = makeKeyring(openSecret);
  for (const source of [parts.idKey, parts.dirSecret, ...roots])
    expect(source).toEqual(newBytes(32));
  expect(opened).toHaveLength(4);
  for (const secret of opened) expect(secret).not.toEqual(newBytes(32));
  const writing = keyring.writing;
  expect(keyring.isOpen).toBe(true);
  keyring[Symbol.dispose]();
  for (const secret of opened) expect(secret).toEqual(newBytes(32));
  expect(keyring.isOpen).toBe(false);
  expect(() => keyring.dirKey(inodeId(1n))).toThrow("Must hold");
  expect(() => keyring.writing).toThrow("Must hold");
  expect(writing.keyset).toBe(keyset(2));
});
test("chainKey() asks for the key of one keyset and shard once, and gives copies that are wiped without harm", () => {
  const { opened, openSecret } = plainMemory();
  const { keyring } = makeKeyring(openSecret);
  const first = keyring.chainKey(keyset(2), shard);
  const again = keyring.chainKey(keyset(2), shardId(shard.slice()));
  expect(again).toEqual(first);
  crypto.wipe(first);
  expect(keyring.chainKey(keyset(2), shard)).toEqual(again);
  expect(keyring.chainKey(keyset(1), shard)).not.toEqual(again); // the test's source gives another one each time
  expect(keyring.chainKey(keyset(1), shardId(newBytes(16)))).not.toEqual(again);
  keyring[Symbol.dispose]();
  for (const secret of opened) expect(secret).toEqual(newBytes(secret.byteLength));
});
test("KeysetKeyring in locked memory throws after disposal", () => {
  const { keyring } = makeKeyring(crypto.openSecret);
  const { writing } = keyring;
  expect(writing.nameTagKey(shard)).toHaveLength(32);
  keyring[Symbol.dispose]();
  expect(() => writing.nameTagKey(shard)).toThrow("Must hold");
  expect(() => keyring.chunkIdOf(newBytes(32))).toThrow("Must hold");
});
test("TenantKeyring shows live keysets only", () => {
  const { keyring } = makeKeyring(crypto.openSecret);
  using _ = keyring;
  expect([...keyring.keysets]).toEqual([keyset(1), keyset(2)]);
  expect(keyring.keyset(keyset(1))?.keyset).toBe(keyset(1));
  expect(keyring.keyset(keyset(3))).toBeUndefined();
});
test("TenantKeyring.dirKey() answers the same for an inode, in the cache or fallen out of it", () => {
  const { keyring } = makeKeyring(crypto.openSecret);
  using _ = keyring;
  const first = keyring.dirKey(inodeId(1n)).slice();
  expect(keyring.dirKey(inodeId(1n))).toBe(keyring.dirKey(inodeId(1n)));
  const seen = new Set<string>();
  for (let i = 1n; i <= 20_000n; i++) seen.add(keyring.dirKey(inodeId(i)).join());
  expect(seen.size).toBe(20_000);
  expect(keyring.dirKey(inodeId(1n))).toEqual(first);
});
test("poolSecrets() shares blocks, wipes each secret and gives empty blocks back", () => {
  const { opened, openSecret } = plainMemory();
  let givenBack = 0;
  const counting = (size: number): Secret => {
    const memory = openSecret(size);
    return {
      bytes: memory.bytes,
      [Symbol.dispose]: () => {
        expect(memory.bytes).toEqual(newBytes(size)); // wiped secret by secret before
        givenBack += 1;
      },
    };
  };
  const open = poolSecrets(counting, crypto.wipe, 64);
  const secrets = [1, 2, 3].map((n) => {
    const secret = open(32);
    secret.bytes.fill(n);
    return secret;
  });
  expect(opened).toHaveLength(2);
  expect(secrets.map((secret) => secret.bytes[31])).toEqual([1, 2, 3]);
  secrets[0]![Symbol.dispose]();
  secrets[0]![Symbol.dispose]();
  expect(() => secrets[0]!.bytes).toThrow("Must hold");
  expect(secrets[1]!.bytes[0]).toBe(2);
  const again = open(32);
  expect(again.bytes).toEqual(newBytes(32));
  expect(opened).toHaveLength(2);
  for (const secret of [...secrets, again]) secret[Symbol.dispose]();
  expect(givenBack).toBe(2);
  expect(() => open(16)).toThrow("Must hold");
});
