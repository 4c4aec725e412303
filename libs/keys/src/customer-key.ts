import { assert, type ChunkId, concatBytes, newBytes, type Prng, type SealId } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { deriveKey, label } from "./derive.ts";
import type { KeysetKeyring } from "./keyset-keyring.ts";

const customerKeySize = 32;
const checkSaltSize = 16;
const saltSize = 32;
const nonceSize = 12;
const tagSize = 16;
const sealedSaltSize = nonceSize + saltSize + tagSize;

/** What a row keeps of an object under a customer's key; the key itself is kept nowhere (KEYS §1). */
export interface CustomerSeal {
  /** 16 random bytes in the open. */
  readonly checkSalt: Uint8Array;
  /** Salted HMAC of the customer's key, 32 bytes. */
  readonly check: Uint8Array;
  /** nonce(12) ‖ ciphertext(32) ‖ tag(16) of the secret salt `r`, under the tenant's root. */
  readonly sealedSalt: Uint8Array;
}

/** A key that a request brought, for as long as the request takes. Disposal wipes it; then every method throws. */
export class CustomerKey implements Disposable {
  readonly #crypto: Crypto;
  readonly #root: Uint8Array;
  #isOpen = true;

  /** Takes over `key` (32 bytes) and wipes it. */
  constructor(crypto: Crypto, key: Uint8Array) {
    assert(key.byteLength === customerKeySize, "a customer's key has 32 bytes");
    this.#crypto = crypto;
    this.#root = crypto.hkdfExtract(label("customer-root"), key);
    crypto.wipe(key);
  }

  /** Salts of a new object, `r` sealed under the keyring for new writes. */
  newSeal(prng: Prng, keyring: KeysetKeyring): CustomerSeal {
    const checkSalt = prng.fill(newBytes(checkSaltSize));
    const check = this.#check(checkSalt);
    const salt = prng.fill(newBytes(saltSize));
    const seal = sealSalt(this.#crypto, prng, keyring, { checkSalt, check }, salt);
    this.#crypto.wipe(salt);
    return seal;
  }

  /** Whether the object was sealed with this key; time does not depend on the answer. */
  fits(seal: Pick<CustomerSeal, "checkSalt" | "check">): boolean {
    return this.#crypto.equal(this.#check(seal.checkSalt), seal.check);
  }

  /** What opens and seals the object's content. @throws when `sealedSalt` does not open: damage. */
  cipher(keyring: KeysetKeyring, seal: CustomerSeal): CustomerCipher {
    assert(this.fits(seal), "the key was checked against the object");
    return new CustomerCipher(
      this.#crypto,
      this.#root.slice(),
      openSalt(this.#crypto, keyring, seal),
    );
  }

  #check(checkSalt: Uint8Array): Uint8Array {
    assert(this.#isOpen, "a wiped key is not used");
    return deriveKey(this.#crypto, this.#root, "customer-check", checkSalt);
  }

  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#crypto.wipe(this.#root);
  }
}

/** The keys of one object under a customer's key. Disposal wipes what they come from. */
export class CustomerCipher implements Disposable {
  readonly #crypto: Crypto;
  readonly #root: Uint8Array;
  readonly #salt: Uint8Array;
  #isOpen = true;

  constructor(crypto: Crypto, root: Uint8Array, salt: Uint8Array) {
    this.#crypto = crypto;
    this.#root = root;
    this.#salt = salt;
  }
  /** The key of one sealing of one chunk; 32 new bytes that the caller wipes. */
  chunkDek(chunkId: ChunkId, sealId: SealId): Uint8Array {
    assert(this.#isOpen, "a wiped key is not used");
    return deriveKey(this.#crypto, this.#root, "customer-chunk", chunkId, sealId, this.#salt);
  }
  /** 16 bytes that stand for `md5` in an ETag: S3's ETag of such an object is no digest of its content. */
  etag(md5: Uint8Array): Uint8Array {
    assert(this.#isOpen, "a wiped key is not used");
    return deriveKey(this.#crypto, this.#root, "customer-etag", md5, this.#salt).slice(0, 16);
  }
  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#crypto.wipe(this.#root);
    this.#crypto.wipe(this.#salt);
  }
}

/** Bound to the object's check: a sealed salt that was moved to another row does not open there. */
const aadOf = (seal: Pick<CustomerSeal, "checkSalt" | "check">): Uint8Array =>
  concatBytes(label("customer-salt"), seal.checkSalt, seal.check);

function sealSalt(
  crypto: Crypto,
  prng: Prng,
  keyring: KeysetKeyring,
  seal: Pick<CustomerSeal, "checkSalt" | "check">,
  salt: Uint8Array,
): CustomerSeal {
  const { checkSalt, check } = seal;
  const key = keyring.customerSaltKey(checkSalt);
  const nonce = prng.fill(newBytes(nonceSize));
  const sealedSalt = concatBytes(nonce, crypto.seal(key, nonce, aadOf(seal), salt));
  crypto.wipe(key);
  return { checkSalt, check, sealedSalt };
}

function openSalt(crypto: Crypto, keyring: KeysetKeyring, seal: CustomerSeal): Uint8Array {
  const { checkSalt, sealedSalt } = seal;
  assert(sealedSalt.byteLength === sealedSaltSize, "a sealed salt has its size");
  const key = keyring.customerSaltKey(checkSalt);
  const nonce = sealedSalt.subarray(0, nonceSize);
  const salt = crypto.open(key, nonce, aadOf(seal), sealedSalt.subarray(nonceSize));
  crypto.wipe(key);
  if (salt === undefined) throw new Error("Cannot open the salt of a customer's key: damage");
  return salt;
}

/** The same salt under another keyset: what a new keyset costs such an object, whose content stays as it is. */
export function resealCustomerSalt(
  crypto: Crypto,
  prng: Prng,
  keyrings: { readonly from: KeysetKeyring; readonly to: KeysetKeyring },
  seal: CustomerSeal,
): CustomerSeal {
  const salt = openSalt(crypto, keyrings.from, seal);
  const moved = sealSalt(crypto, prng, keyrings.to, seal, salt);
  crypto.wipe(salt);
  return moved;
}
