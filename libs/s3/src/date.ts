/** Dates as HTTP and S3 write them, without `Date`: calendar arithmetic on the proleptic Gregorian calendar. */
import { assert, wallTime, type WallTime } from "@kiseki/base";

const dayNames = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"] as const; // day 0 was a Thursday
const monthNames = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec",
] as const;
const secondsPerDay = 86_400;

/** Days since 1970-01-01; `month` in `[1, 12]`. The year is taken to start in March, so a leap day ends it. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

interface CivilTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly milli: number;
}

function civilFromTime(time: WallTime): CivilTime {
  const seconds = Math.floor(time / 1000);
  const days = Math.floor(seconds / secondsPerDay);
  const rest = seconds - days * secondsPerDay;
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
    weekday: ((days % 7) + 7) % 7,
    hour: Math.floor(rest / 3600),
    minute: Math.floor(rest / 60) % 60,
    second: rest % 60,
    milli: time - seconds * 1000,
  };
}

const digits = (n: number, width: number): string => String(n).padStart(width, "0");

/** `2026-11-20T11:06:45.000Z`, as S3's documents have it. Years 0 to 9999. */
export function formatIsoDate(time: WallTime): string {
  const at = civilFromTime(time);
  assert(at.year >= 0 && at.year <= 9999, "a date in a document has a year of four digits");
  const date = `${digits(at.year, 4)}-${digits(at.month, 2)}-${digits(at.day, 2)}`;
  return `${date}T${digits(at.hour, 2)}:${digits(at.minute, 2)}:${digits(at.second, 2)}.${digits(at.milli, 3)}Z`;
}

/** `Fri, 20 Nov 2026 11:06:45 GMT` (RFC 9110 §5.6.7); fractions of a second are cut. */
export function formatHttpDate(time: WallTime): string {
  const at = civilFromTime(time);
  assert(at.year >= 0 && at.year <= 9999, "a date in a header has a year of four digits");
  const date = `${dayNames[at.weekday]}, ${digits(at.day, 2)} ${monthNames[at.month - 1]} ${digits(at.year, 4)}`;
  return `${date} ${digits(at.hour, 2)}:${digits(at.minute, 2)}:${digits(at.second, 2)} GMT`;
}

/** ISO 8601 with seconds and a zone, of years that `formatIsoDate` can write. `undefined`: not a date. */
export function parseIsoDate(text: string): WallTime | undefined {
  const trimmed = text.trim();
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)$/.test(trimmed)) {
    return undefined;
  }
  const parsed = Date.parse(trimmed);
  if (!(parsed >= isoMin && parsed <= isoMax)) return undefined;
  return wallTime(parsed);
}
/** Of the years 0 to 9999. */
const isoMin = -62_167_219_200_000;
const isoMax = 253_402_300_799_999;

const time = "(\\d\\d):(\\d\\d):(\\d\\d)";
const imfFixdate = new RegExp(`^[A-Z][a-z]{2}, (\\d\\d) ([A-Z][a-z]{2}) (\\d{4}) ${time} GMT$`);
const rfc850 = new RegExp(`^[A-Z][a-z]{5,8}, (\\d\\d)-([A-Z][a-z]{2})-(\\d\\d) ${time} GMT$`);
const asctime = new RegExp(`^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \\d]\\d) ${time} (\\d{4})$`);

function fromParts(
  year: number,
  monthName: string,
  day: string,
  clock: readonly string[],
): WallTime | undefined {
  const month = monthNames.indexOf(monthName as (typeof monthNames)[number]) + 1;
  const [hour, minute, second] = clock.map(Number) as [number, number, number];
  if (month === 0 || hour > 23 || minute > 59 || second > 60) return undefined;
  const days = daysFromCivil(year, month, Number(day));
  const result = wallTime(
    ((days * 24 + hour) * 60 + minute) * 60_000 + Math.min(second, 59) * 1000,
  );
  const back = civilFromTime(result); // refuses 30 February and day 0
  return back.month === month && back.day === Number(day) ? result : undefined;
}

/**
 * Any of HTTP's three forms (RFC 9110 §5.6.7); the name of the day is not checked. Two-digit years
 * count as 1970 to 2069. `undefined`: not a date.
 */
export function parseHttpDate(text: string): WallTime | undefined {
  const fixed = imfFixdate.exec(text);
  if (fixed) return fromParts(Number(fixed[3]), fixed[2]!, fixed[1]!, fixed.slice(4, 7));
  const old = rfc850.exec(text);
  if (old) {
    const short = Number(old[3]);
    return fromParts(short < 70 ? 2000 + short : 1900 + short, old[2]!, old[1]!, old.slice(4, 7));
  }
  const c = asctime.exec(text);
  return c ? fromParts(Number(c[6]), c[1]!, c[2]!, c.slice(3, 6)) : undefined;
}

const isoTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

/** A date of a document, with a time of day and its zone or without either: then midnight in UTC. `undefined`: no date. */
export function parseIsoTime(text: string): WallTime | undefined {
  const trimmed = text.trim();
  const parsed = isoTime.test(trimmed) ? Date.parse(trimmed) : Number.NaN;
  if (Number.isNaN(parsed)) return undefined;
  const { year } = civilFromTime(wallTime(parsed));
  return year >= 0 && year <= 9999 ? wallTime(parsed) : undefined;
}
