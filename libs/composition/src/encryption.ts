import { assert, sameBytes } from "@kiseki/base";
import type { EncryptionFacts, ObjectAttributes } from "@kiseki/format";
import {
  decodeCold,
  decodeEncryption,
  decodeUpload,
  encodeCold,
  encodeUpload,
  keyAfterPrefix,
  table,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer, Operation } from "./operation.ts";
import { afterKey } from "./row-cursor.ts";
import type { Step } from "./step.ts";

/** An object, an old version or an upload with encryption facts of its own. */
export interface EncryptedRow {
  readonly row: Uint8Array;
  readonly stored: Uint8Array;
  readonly facts: EncryptionFacts;
}
export interface EncryptedPage {
  readonly rows: readonly EncryptedRow[];
  readonly next: Uint8Array | undefined;
}

/** Facts move from an upload to its object and never back: in this order a walk over a changing map misses none. */
const encryptedTables: readonly number[] = [table.upload, table.cold];
/** Rows of the first version have no extras, and most rows are of that. */
const plainVersion = 1;

function attributesOf(row: Uint8Array, value: Uint8Array): ObjectAttributes {
  return row[0] === table.cold ? decodeCold(value).attributes : decodeUpload(value).attributes;
}

/** All rows with encryption facts, over pages of about `rowsMax` rows looked at. */
export function listEncryptions(
  map: MapReader,
  after: Uint8Array | undefined,
  rowsMax: number,
): EncryptedPage {
  const rows: EncryptedRow[] = [];
  let last: Uint8Array | undefined;
  let seen = 0;
  const begun = after === undefined ? 0 : encryptedTables.indexOf(after[0]!);
  assert(begun >= 0, "a walk goes on where it stopped");
  for (const number of encryptedTables.slice(begun)) {
    const first = Uint8Array.of(number);
    const start = after !== undefined && after[0] === number ? afterKey(after) : first;
    map.scan({ start, end: keyAfterPrefix(first) }, (row, value) => {
      if (seen === rowsMax) return false;
      seen += 1;
      last = row;
      if (value[0] === plainVersion) return true;
      const stored = attributesOf(row, value).encryption;
      if (stored !== undefined) rows.push({ row, stored, facts: decodeEncryption(stored) });
      return true;
    });
    if (seen === rowsMax) break;
  }
  return { rows, next: seen === rowsMax ? last : undefined };
}

/** Writes the facts anew where the row still has those that were replaced; else it has ended or moved. */
export function switchEncryption(
  step: Step,
  { row, before, encryption }: Extract<Operation, { kind: "encryption_resealed" }>,
): Answer {
  assert(encryptedTables.includes(row[0]!), "encryption facts are in these rows only");
  const value = step.map.get(row);
  if (value === undefined) return { kind: "none" };
  const { encryption: stored } = attributesOf(row, value);
  if (stored === undefined || !sameBytes(stored, before)) return { kind: "none" };
  const changed = <Row extends { readonly attributes: ObjectAttributes }>(old: Row): Row => ({
    ...old,
    attributes: { ...old.attributes, encryption },
  });
  const next =
    row[0] === table.cold
      ? encodeCold(changed(decodeCold(value)))
      : encodeUpload(changed(decodeUpload(value)));
  step.map.put(row, next);
  return { kind: "none" };
}

/** Content under a customer's key, which is opened with that key alone. */
export function isUnderCustomerKey({ encryption }: ObjectAttributes): boolean {
  return encryption !== undefined && decodeEncryption(encryption).kind === "customer";
}
