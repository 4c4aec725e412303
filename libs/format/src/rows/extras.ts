import { assert } from "@kiseki/base";
import type { RowReader } from "./codec.ts";
import { RowWriter } from "./codec.ts";
import type { ObjectExtras, Retention } from "./types.ts";

/** Bytes of one extra; also the bound of each text in it. */
const extraSizeMax = 64 * 1024;
const aclSizeMax = 16 * 1024;
const encryptionSizeMax = 512;

const retentionModes: readonly Retention["mode"][] = ["governance", "compliance"];

function writeRetention(to: RowWriter, { mode, until }: Retention): void {
  to.u8(1 + retentionModes.indexOf(mode)).signed(until);
}
function readRetention(from: RowReader): Retention {
  const mode = retentionModes[from.u8() - 1] ?? from.fail("bad_field");
  return { mode, until: from.time() };
}
function writeTags(to: RowWriter, tags: NonNullable<ObjectExtras["tags"]>): void {
  to.number(tags.length);
  for (const [name, value] of tags) to.text(name).text(value);
}
function readTags(from: RowReader): NonNullable<ObjectExtras["tags"]> {
  const length = from.count(2);
  if (length === 0) from.fail("bad_field");
  return Array.from({ length }, () => [from.text(extraSizeMax), from.text(extraSizeMax)]);
}
function readBytes(from: RowReader, size: number, sizeMax: number): Uint8Array {
  return size > sizeMax ? from.fail("bad_field") : from.raw(size);
}
function readFlag(from: RowReader): boolean {
  return (from.flags(1) & 1) !== 0;
}

/** Each extra's bytes in the order of its code; codes are never reused. */
function extraBytes(extras: ObjectExtras): readonly (readonly [code: number, bytes: Uint8Array])[] {
  const found: [number, Uint8Array][] = [];
  const add = (code: number, write: (to: RowWriter) => void): void => {
    const to = new RowWriter();
    write(to);
    found.push([code, to.done()]);
  };
  const { tags, acl, retention, legalHold, encryption, storageClass, redirect } = extras;
  if (tags !== undefined && tags.length > 0) add(1, (to) => writeTags(to, tags));
  if (acl !== undefined) {
    assert(acl.byteLength <= aclSizeMax, "an object's ACL is bounded");
    add(2, (to) => to.raw(acl));
  }
  if (retention !== undefined) add(3, (to) => writeRetention(to, retention));
  if (legalHold !== undefined) add(4, (to) => to.u8(legalHold ? 1 : 0));
  if (encryption !== undefined) {
    assert(encryption.byteLength <= encryptionSizeMax, "an object's encryption facts are bounded");
    add(5, (to) => to.raw(encryption));
  }
  if (storageClass !== undefined) add(6, (to) => to.text(storageClass));
  if (redirect !== undefined) add(7, (to) => to.text(redirect));
  return found;
}

/** Version of a row with these extras: one without any keeps the bytes of version 1. */
export function extrasVersion(extras: ObjectExtras): 1 | 2 {
  return extraBytes(extras).length === 0 ? 1 : 2;
}
/** Nothing at all when there are none, unless `isCounted`. */
export function writeExtras(to: RowWriter, extras: ObjectExtras, isCounted = false): void {
  const found = extraBytes(extras);
  if (found.length === 0 && !isCounted) return;
  to.number(found.length);
  for (const [code, bytes] of found) to.u8(code).bytes(bytes);
}

function readExtra(from: RowReader, code: number, size: number): ObjectExtras {
  switch (code) {
    case 1:
      return { tags: readTags(from) };
    case 2:
      return { acl: readBytes(from, size, aclSizeMax) };
    case 3:
      return { retention: readRetention(from) };
    case 4:
      return { legalHold: readFlag(from) };
    case 5:
      return { encryption: readBytes(from, size, encryptionSizeMax) };
    case 6:
      return { storageClass: from.text(extraSizeMax) };
    case 7:
      return { redirect: from.text(extraSizeMax) };
    default:
      return from.fail("unknown_version"); // of a newer program, and it may forbid what is about to be done
  }
}
/** A version 1 row has none, one of version 2 at least one; one of version 3 says how many. */
export function readExtras(from: RowReader): ObjectExtras {
  if (from.version === 1) return {};
  const count = from.count(2);
  if (count === 0 && from.version === 2) from.fail("bad_field");
  let extras: ObjectExtras = {};
  let before = 0;
  for (let i = 0; i < count; i++) {
    const code = from.u8();
    if (code <= before) from.fail("bad_field");
    before = code;
    const size = from.number(extraSizeMax);
    if (size > from.left) from.fail("truncated");
    const { left } = from;
    extras = { ...extras, ...readExtra(from, code, size) };
    if (left - from.left !== size) from.fail("bad_field");
  }
  return extras;
}
