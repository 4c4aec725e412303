import { assert, type Keyset, keyset } from "@kiseki/base";
import { RowError, RowReader, RowWriter } from "./codec.ts";

const checkSaltSize = 16;
const checkSize = 32;
const sealedSaltSize = 60;

/** How S3 was asked to encrypt an object, where that is more than its default. Drawn in `docs/formats/map.md`. */
export type EncryptionFacts =
  /** By the tenant's own key, as everything is; said back as `aws:kms`. */
  | { readonly kind: "kms"; readonly isBucketKey: boolean }
  /** By a key that the customer keeps (SSE-C). */
  | {
      readonly kind: "customer";
      /** Under which `sealedSalt` is. */
      readonly keyset: Keyset;
      readonly checkSalt: Uint8Array;
      readonly check: Uint8Array;
      readonly sealedSalt: Uint8Array;
    };

/** Value of the extra `encryption` of an object or upload. */
export function encodeEncryption(facts: EncryptionFacts): Uint8Array {
  const to = new RowWriter().u8(1);
  if (facts.kind === "kms")
    return to
      .u8(1)
      .u8(facts.isBucketKey ? 1 : 0)
      .done();
  const { checkSalt, check, sealedSalt } = facts;
  assert(checkSalt.byteLength === checkSaltSize, "a check's salt has 16 bytes");
  assert(check.byteLength === checkSize, "a check has 32 bytes");
  assert(sealedSalt.byteLength === sealedSaltSize, "a sealed salt has 60 bytes");
  return to.u8(2).number(facts.keyset).raw(checkSalt).raw(check).raw(sealedSalt).done();
}
/** @throws {RowError} also for what a newer program wrote: nobody may take such an object for a plain one. */
export function decodeEncryption(source: Uint8Array): EncryptionFacts {
  const from = new RowReader(source, "an object's encryption");
  const code = from.u8();
  let facts: EncryptionFacts;
  if (code === 1) facts = { kind: "kms", isBucketKey: (from.flags(1) & 1) !== 0 };
  else if (code === 2) {
    const set = from.number(0xffff_ffff);
    if (set === 0) from.fail("bad_field");
    facts = {
      kind: "customer",
      keyset: keyset(set),
      checkSalt: from.raw(checkSaltSize),
      check: from.raw(checkSize),
      sealedSalt: from.raw(sealedSaltSize),
    };
  } else throw new RowError("unknown_version", "an object's encryption");
  from.end();
  return facts;
}
