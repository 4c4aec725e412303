/** Object lock: its headers and documents. Whether a lock holds is for the machine that keeps it to say. */
import type { WallTime } from "@kiseki/base";
import { isLockPeriod, type LockDefault, type Retention } from "@kiseki/format";
import type { ObjectLock } from "./attributes.ts";
import { formatIsoDate, parseIsoDate } from "./date.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";
import { leafText, readRecord } from "./records.ts";
import { readXml, type XmlElement } from "./xml-read.ts";
import { s3Namespace, writeXml, type XmlNode } from "./xml-write.ts";

const modes = { GOVERNANCE: "governance", COMPLIANCE: "compliance" } as const;
const modeText = { governance: "GOVERNANCE", compliance: "COMPLIANCE" } as const;
const modeOf = (text: string | undefined): Retention["mode"] | undefined =>
  text === "GOVERNANCE" || text === "COMPLIANCE" ? modes[text] : undefined;

const modeHeader = "x-amz-object-lock-mode";
const untilHeader = "x-amz-object-lock-retain-until-date";
const holdHeader = "x-amz-object-lock-legal-hold";

/** The locks that a new object is to have; `undefined`: none are asked for. */
export function parseLockHeaders(fields: Fields): ObjectLock | undefined | S3Fault {
  const mode = fields.get(modeHeader);
  const until = fields.get(untilHeader);
  const hold = fields.get(holdHeader);
  if (mode === undefined && until === undefined && hold === undefined) return undefined;
  if (hold !== undefined && hold !== "ON" && hold !== "OFF") {
    const why = "Legal Hold must be either of 'ON' or 'OFF'";
    return invalidArgument(holdHeader, hold.slice(0, 256), why);
  }
  const legalHold = hold === undefined ? {} : { legalHold: hold === "ON" };
  if (mode === undefined && until === undefined) return legalHold;
  if (mode === undefined || until === undefined) {
    const missing = mode === undefined ? modeHeader : untilHeader;
    return invalidArgument(missing, "", `${untilHeader} and ${modeHeader} must both be supplied`);
  }
  const known = modeOf(mode);
  if (known === undefined) {
    return invalidArgument(modeHeader, mode.slice(0, 256), "Unknown wormMode directive.");
  }
  const time = parseIsoDate(until);
  if (time === undefined) {
    const why = "The retain until date must be provided in ISO 8601 format";
    return invalidArgument(untilHeader, until.slice(0, 256), why);
  }
  return { ...legalHold, retention: { mode: known, until: time } };
}
export function lockHeaderPairs(
  lock: ObjectLock | undefined,
): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  if (lock?.retention !== undefined) {
    pairs.push([modeHeader, modeText[lock.retention.mode]]);
    pairs.push([untilHeader, formatIsoDate(lock.retention.until)]);
  }
  if (lock?.legalHold !== undefined) pairs.push([holdHeader, lock.legalHold ? "ON" : "OFF"]);
  return pairs;
}

/** The client claims the right to remove what is retained in governance mode. */
export const isBypassingGovernance = (fields: Fields): boolean =>
  fields.get("x-amz-bypass-governance-retention")?.toLowerCase() === "true";

/** Whether a new bucket is to have locks. */
export function parseLockEnabled(fields: Fields): boolean | S3Fault {
  const name = "x-amz-bucket-object-lock-enabled";
  const text = fields.get(name) ?? "false";
  if (/^true$/i.test(text)) return true;
  return /^false$/i.test(text) ? false : invalidArgument(name, text.slice(0, 256), "");
}

const malformed = (): S3Fault => s3Fault("MalformedXML");
function readRoot(
  document: Uint8Array,
  name: string,
  names: readonly string[],
): ReadonlyMap<string, XmlElement> | undefined {
  const root = document.byteLength === 0 ? undefined : readXml(document, 64);
  return root?.name === name ? readRecord(root, names) : undefined;
}
const textOf = (record: ReadonlyMap<string, XmlElement>, name: string): string | undefined =>
  leafText(record.get(name))?.trim();

/** The default retention that an ObjectLockConfiguration sets, if any. */
export function parseLockConfiguration(
  document: Uint8Array,
): { readonly byDefault: LockDefault | undefined } | S3Fault {
  const record = readRoot(document, "ObjectLockConfiguration", ["ObjectLockEnabled", "Rule"]);
  if (record === undefined || textOf(record, "ObjectLockEnabled") !== "Enabled") return malformed();
  const rule = record.get("Rule");
  if (rule === undefined) return { byDefault: undefined };
  const inner = readRecord(rule, ["DefaultRetention"])?.get("DefaultRetention");
  const fields = inner && readRecord(inner, ["Mode", "Days", "Years"]);
  const byDefault = fields === undefined ? malformed() : parsePeriod(fields);
  return isFault(byDefault) ? byDefault : { byDefault };
}
function parsePeriod(fields: ReadonlyMap<string, XmlElement>): LockDefault | S3Fault {
  const mode = modeOf(textOf(fields, "Mode"));
  const unit = fields.has("Days") ? "days" : "years";
  const text = textOf(fields, unit === "days" ? "Days" : "Years");
  const isBoth = fields.has("Days") && fields.has("Years");
  if (mode === undefined || isBoth || !/^[+-]?[0-9]{1,9}$/.test(text ?? "")) return malformed();
  const count = Number(text);
  if (isLockPeriod(count, unit)) return { mode, unit, count };
  const why =
    count < 1
      ? "Default retention period must be a positive integer value."
      : "Default retention period too large";
  return s3Fault("InvalidRetentionPeriod", why);
}
export function formatLockConfiguration(byDefault: LockDefault | undefined): Uint8Array {
  const rule: readonly XmlNode[] =
    byDefault === undefined
      ? []
      : [
          [
            "Rule",
            [
              [
                "DefaultRetention",
                [
                  ["Mode", modeText[byDefault.mode]],
                  [byDefault.unit === "days" ? "Days" : "Years", byDefault.count],
                ],
              ],
            ],
          ],
        ];
  return writeXml("ObjectLockConfiguration", s3Namespace, [
    ["ObjectLockEnabled", "Enabled"],
    ...rule,
  ]);
}

/** Of a Retention document; `retention` undefined (an empty document): it is to be removed. */
export function parseRetentionBody(
  document: Uint8Array,
): { readonly retention: Retention | undefined } | S3Fault {
  const record = readRoot(document, "Retention", ["Mode", "RetainUntilDate"]);
  if (record === undefined) return malformed();
  if (record.size === 0) return { retention: undefined };
  const mode = modeOf(textOf(record, "Mode"));
  const until: WallTime | undefined = parseIsoDate(textOf(record, "RetainUntilDate") ?? "");
  return mode === undefined || until === undefined ? malformed() : { retention: { mode, until } };
}
export const formatRetention = ({ mode, until }: Retention): Uint8Array =>
  writeXml("Retention", s3Namespace, [
    ["Mode", modeText[mode]],
    ["RetainUntilDate", formatIsoDate(until)],
  ]);

export function parseLegalHoldBody(
  document: Uint8Array,
): { readonly legalHold: boolean } | S3Fault {
  const record = readRoot(document, "LegalHold", ["Status"]);
  const status = record && textOf(record, "Status");
  return status === "ON" || status === "OFF" ? { legalHold: status === "ON" } : malformed();
}
export const formatLegalHold = (legalHold: boolean): Uint8Array =>
  writeXml("LegalHold", s3Namespace, [["Status", legalHold ? "ON" : "OFF"]]);
