import { newBytes, prngFromSeed } from "@kiseki/base";
import type { ObjectAttributes } from "@kiseki/format";
import { decodeEncryption, encodeEncryption } from "@kiseki/format";
import { type CustomerCipher, CustomerKey } from "@kiseki/keys";
import type { SimNode } from "./sim-node.ts";

/** One customer's key for all: whose it is makes no difference to what is simulated. */
const keyByte = 9;

/** Bodies that are put under a customer's key (SSE-C); by their seed, so that no draw of others is shifted. */
export const isCustomers = ({ seed, size }: { readonly seed: number; readonly size: number }) =>
  seed % 5 === 4 && size > 0;

/** What the row of a new object keeps, and the keys of its content. */
export function sealForCustomer(
  { tenant, world }: SimNode,
  seed: number,
): { readonly encryption: Uint8Array; readonly cipher: CustomerCipher } {
  using key = new CustomerKey(world.crypto, newBytes(32).fill(keyByte));
  const keys = tenant.keys("write");
  const seal = key.newSeal(prngFromSeed(seed), keys.writing);
  const encryption = encodeEncryption({ kind: "customer", keyset: keys.current, ...seal });
  return { encryption, cipher: key.cipher(keys.writing, seal) };
}

/** The keys of an object's content, when it is a customer's. */
export function openForCustomer(
  { tenant, world }: SimNode,
  { encryption }: ObjectAttributes,
): CustomerCipher | undefined {
  if (encryption === undefined) return undefined;
  const facts = decodeEncryption(encryption);
  if (facts.kind !== "customer") return undefined;
  using key = new CustomerKey(world.crypto, newBytes(32).fill(keyByte));
  return key.cipher(tenant.keys("read").keyset(facts.keyset)!, facts);
}
