import { assert } from "@kiseki/base";
import { decodeEncryption, encodeEncryption, type ObjectAttributes } from "@kiseki/format";
import { type CustomerCipher, CustomerKey, type CustomerSeal } from "@kiseki/keys";
import type { Crypto } from "@kiseki/ports";
import {
  type CustomerKeyHeaders,
  encryptionSetting,
  mismatchedKeyMessage,
  type RequestedEncryption,
  type S3Call,
  type ShownEncryption,
} from "@kiseki/s3";
import { encodeCustomer } from "../keys/customer-salts.ts";
import { isOwnKmsKey, kmsKeyArn } from "../keys/key-name.ts";
import { fail, GatewayFailure } from "./failure.ts";
import type { CallScope } from "./scope.ts";
import { findSetting } from "./settings.ts";

/** How one object is encrypted, while it is read or written. Disposal wipes what a customer's key made. */
export interface ObjectEncryption extends Disposable {
  readonly shown: ShownEncryption;
  /** What its row keeps; undefined: nothing beyond what every object has. */
  readonly stored: Uint8Array | undefined;
  /** Opens and seals content under a customer's key. */
  readonly cipher: CustomerCipher | undefined;
}

/** What most objects have. */
const plain: ObjectEncryption = {
  shown: { kind: "s3" },
  stored: undefined,
  cipher: undefined,
  [Symbol.dispose]: () => undefined,
};
const managed = (shown: ShownEncryption, stored?: Uint8Array): ObjectEncryption => ({
  shown,
  stored,
  cipher: undefined,
  [Symbol.dispose]: () => undefined,
});
const underCustomerKey = (
  keyMd5: Uint8Array,
  stored: Uint8Array,
  cipher: CustomerCipher,
): ObjectEncryption => ({
  shown: { kind: "customer", keyMd5 },
  stored,
  cipher,
  [Symbol.dispose]: () => cipher[Symbol.dispose](),
});

/** The key of a request, checked against its MD5; the header's bytes are wiped. @throws {GatewayFailure} */
function takeKey({ ports }: CallScope, { key, md5 }: CustomerKeyHeaders): CustomerKey {
  const { crypto } = ports;
  const isRight = crypto.equal(crypto.md5(key), md5);
  const taken = new CustomerKey(crypto, key);
  if (isRight) return taken;
  taken[Symbol.dispose]();
  throw fail("InvalidArgument", mismatchedKeyMessage);
}

/** @throws {GatewayFailure} `KMS.NotFoundException`: there is one key a tenant. */
function checkOwnKey(scope: CallScope, keyId: string | undefined): void {
  if (keyId === undefined || isOwnKmsKey(scope.tenant.id, keyId)) return;
  throw fail("KMS.NotFoundException", `Key '${keyId.slice(0, 256)}' does not exist`);
}

function underKms(
  scope: CallScope,
  keyId: string | undefined,
  isBucketKey: boolean,
): ObjectEncryption {
  checkOwnKey(scope, keyId);
  const stored = encodeEncryption({ kind: "kms", isBucketKey });
  return managed(kmsShown(scope, isBucketKey), stored);
}
const kmsShown = ({ tenant, region }: CallScope, isBucketKey: boolean): ShownEncryption => ({
  kind: "kms",
  keyId: kmsKeyArn(tenant.id, region),
  isBucketKey,
});

/** How a new object or upload is encrypted: as its request says, else as the bucket does. @throws {GatewayFailure} */
export function encryptTarget(
  scope: CallScope,
  bucket: string,
  requested: RequestedEncryption | undefined,
): ObjectEncryption {
  if (requested?.kind === "invalid") throw new GatewayFailure(requested.fault);
  if (requested?.kind === "s3") return plain;
  const setting = findSetting(scope, bucket, encryptionSetting);
  if (requested?.kind === "customer") {
    if (setting?.isCustomerKeyBlocked) throw fail("AccessDenied");
    return sealTarget(scope, requested.customerKey);
  }
  if (requested?.kind === "kms") {
    return underKms(scope, requested.keyId, requested.isBucketKey ?? setting?.isBucketKey ?? false);
  }
  if (setting?.algorithm !== "aws:kms") return plain;
  return underKms(scope, setting.keyId, setting.isBucketKey);
}

function sealTarget(scope: CallScope, headers: CustomerKeyHeaders): ObjectEncryption {
  using key = takeKey(scope, headers);
  const keys = scope.tenant.keys("write");
  const seal = key.newSeal(scope.ports.prng, keys.writing);
  const stored = encodeCustomer(seal, keys.current);
  return underCustomerKey(headers.md5, stored, key.cipher(keys.writing, seal));
}

/** What is said when a key is missing, wrong, or not asked for. */
interface KeyRefusals {
  readonly missing: string;
  readonly wrong: readonly ["AccessDenied" | "InvalidRequest", string | undefined];
  readonly unwanted: string;
}
const objectRefusals: KeyRefusals = {
  missing:
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
  wrong: ["AccessDenied", undefined],
  unwanted: "The encryption parameters are not applicable to this object.",
};
const uploadRefusals: KeyRefusals = {
  missing:
    "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.",
  wrong: [
    "InvalidRequest",
    "The provided encryption parameters did not match the ones used originally.",
  ],
  unwanted:
    "The multipart upload initiate did not request encryption. Please resend the request without sending encryption parameters.",
};

function open(
  scope: CallScope,
  { encryption: stored }: ObjectAttributes,
  headers: CustomerKeyHeaders | undefined,
  refusals: KeyRefusals,
): ObjectEncryption {
  if (stored === undefined && headers === undefined) return plain;
  const facts = stored === undefined ? undefined : decodeEncryption(stored);
  if (facts?.kind !== "customer") {
    if (headers !== undefined) throw fail("InvalidRequest", refusals.unwanted);
    return managed(facts ? kmsShown(scope, facts.isBucketKey) : { kind: "s3" }, stored);
  }
  assert(stored !== undefined, "facts come from somewhere");
  if (headers === undefined) throw fail("InvalidRequest", refusals.missing);
  using key = takeKey(scope, headers);
  const seal: CustomerSeal = facts;
  if (!key.fits(seal)) throw fail(...refusals.wrong);
  const keyring = scope.tenant.keys("read").keyset(facts.keyset);
  assert(keyring !== undefined, "a salt in use is under a live keyset");
  return underCustomerKey(headers.md5, stored, key.cipher(keyring, seal));
}

/** How an object is opened: before a byte of it is sent, its customer's key is checked. @throws {GatewayFailure} */
export const openEncrypted = (
  scope: CallScope,
  attributes: ObjectAttributes,
  key: CustomerKeyHeaders | undefined,
): ObjectEncryption => open(scope, attributes, key, objectRefusals);

/** How the parts of an upload are sealed: all by the key that it was begun with. @throws {GatewayFailure} */
export const openUploadEncryption = (
  scope: CallScope,
  attributes: ObjectAttributes,
  key: CustomerKeyHeaders | undefined,
): ObjectEncryption => open(scope, attributes, key, uploadRefusals);

/** What an answer says of an upload, whose key the request need not bring. */
export function shownOf(scope: CallScope, { encryption }: ObjectAttributes): ShownEncryption {
  const facts = encryption === undefined ? undefined : decodeEncryption(encryption);
  return facts?.kind === "kms" ? kmsShown(scope, facts.isBucketKey) : { kind: "s3" };
}

/** Every customer's key that a call brought. */
export function customerKeysOf(call: S3Call): readonly CustomerKeyHeaders[] {
  const keys: (CustomerKeyHeaders | undefined)[] = [];
  if ("customerKey" in call) keys.push(call.customerKey);
  if ("source" in call) keys.push(call.source.customerKey);
  if ("encryption" in call && call.encryption?.kind === "customer") {
    keys.push(call.encryption.customerKey);
  }
  return keys.filter((key) => key !== undefined);
}

/** What was not taken by anybody is wiped when the call ends. */
export const wipeAtEnd = (crypto: Crypto, keys: readonly CustomerKeyHeaders[]): Disposable => ({
  [Symbol.dispose]() {
    for (const { key } of keys) crypto.wipe(key);
  },
});
