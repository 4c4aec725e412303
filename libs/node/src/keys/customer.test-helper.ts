/** Objects under customers' keys (SSE-C), put and read through the object path. A key is 32 bytes of one kind. */
import { newBytes } from "@kiseki/base";
import { lookupObject } from "@kiseki/composition";
import { decodeEncryption } from "@kiseki/format";
import { systemPrng } from "@kiseki/host";
import { CustomerKey } from "@kiseki/keys";
import type { StorageNode } from "../node/open-node.ts";
import { crypto, namespace, never, openReader, put, readAll } from "./bed.test-helper.ts";
import { encodeCustomer } from "./customer-salts.ts";

const keyOf = (byte: number) => new CustomerKey(crypto, newBytes(32).fill(byte));

/** Facts and cipher of a new object under the key. */
export async function newTarget(node: StorageNode, byte: number) {
  using key = keyOf(byte);
  const keys = (await node.openDefaultTenant(never)).keys("write");
  const seal = key.newSeal(systemPrng, keys.writing);
  return { stored: encodeCustomer(seal, keys.current), cipher: key.cipher(keys.writing, seal) };
}
/** The cipher of what is stored, or undefined: the key does not fit. */
export async function cipherOf(node: StorageNode, stored: Uint8Array, byte: number) {
  using key = keyOf(byte);
  const facts = decodeEncryption(stored);
  if (facts.kind !== "customer") throw new Error(facts.kind);
  const keyring = (await node.openDefaultTenant(never)).keys("read").keyset(facts.keyset);
  return key.fits(facts) ? key.cipher(keyring!, facts) : undefined;
}
export async function storedOf(node: StorageNode, name: string): Promise<Uint8Array> {
  const tenant = await node.openDefaultTenant(never);
  const found = tenant.store.view((map) =>
    lookupObject(map, tenant.dirKeys(tenant.keys("read")), { namespace, key: Buffer.from(name) }),
  );
  if (found.kind !== "object") throw new Error(found.kind);
  return found.cold.attributes.encryption!;
}
export async function putSealed(node: StorageNode, name: string, bytes: Uint8Array, byte: number) {
  const target = await newTarget(node, byte);
  using _cipher = target.cipher;
  await put(node, name, bytes, undefined, target);
}
export async function getSealed(node: StorageNode, name: string, byte: number): Promise<Buffer> {
  using cipher = await cipherOf(node, await storedOf(node, name), byte);
  if (cipher === undefined) throw new Error(`Cannot open ${name}: another key`);
  using reader = await openReader(node, name, undefined, "read", node.ports, cipher);
  return await readAll(reader);
}
