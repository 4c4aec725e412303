import { type WallTime, wallTime } from "@kiseki/base";

/** A point in time as a signature writes it. */
export interface SignedDate {
  /** `20130524T000000Z`, as it goes into the string to sign. */
  readonly text: string;
  readonly time: WallTime;
}

/** Dates that were good: a busy client sends each many times. */
const known = new Map<string, SignedDate>();
const knownCountMax = 64;

/** Reads `20130524T000000Z`; `undefined` for anything else, or a date that does not exist. */
export function parseSignedDate(text: string): SignedDate | undefined {
  const seen = known.get(text);
  if (seen !== undefined) return seen;
  const date = readSignedDate(text);
  if (date === undefined) return undefined;
  if (known.size >= knownCountMax) known.clear();
  known.set(text, date);
  return date;
}

function readSignedDate(text: string): SignedDate | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number);
  const time = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
  // A date that rolled over (month 13, 30 February, hour 24) reads back differently.
  return signedDateText(time) === text ? { text, time: wallTime(time) } : undefined;
}

/**
 * Reads the Date header: the basic form above, or an HTTP date (RFC 9110 §5.6.7, preferred form), which
 * botocore ends in `-0000` as RFC 5322 §3.3 writes UTC.
 */
export function parseDateHeader(text: string): SignedDate | undefined {
  const basic = parseSignedDate(text);
  if (basic !== undefined) return basic;
  const form = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (GMT|[+-]0000)$/;
  if (!form.test(text)) return undefined;
  const time = Date.parse(text);
  if (!Number.isFinite(time)) return undefined;
  return { text: signedDateText(time), time: wallTime(time) };
}

/** Milliseconds since the Unix epoch as `20130524T000000Z`. */
export function signedDateText(time: number): string {
  return new Date(time)
    .toISOString()
    .replace(/\.\d{3}Z$/, "Z")
    .replaceAll(/[-:]/g, "");
}
