/** Dates of conditions: ISO 8601 (W3C profile) or seconds since 1970. */

const isoForm =
  /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2}))?)?)?$/;

/** Milliseconds since 1970; `undefined` for what is no date. */
export function parsePolicyDate(text: string): number | undefined {
  if (/^-?\d{9,13}$/.test(text)) return Number(text) * 1000;
  const match = isoForm.exec(text);
  if (match === null) return undefined;
  const [, year, month = "01", day = "01", hour = "00", minute = "00", second = "00", part = ""] =
    match;
  const zone = match[8] ?? "Z";
  const number = Number;
  const [y, m, d] = [number(year), number(month), number(day)];
  const isInRange =
    m >= 1 && m <= 12 && d >= 1 && number(hour) < 24 && number(minute) < 60 && number(second) < 60;
  if (!isInRange || d > new Date(Date.UTC(y, m, 0)).getUTCDate()) return undefined;
  const time = Date.UTC(y, m - 1, d, number(hour), number(minute), number(second));
  const offset =
    zone === "Z"
      ? 0
      : (zone.startsWith("-") ? -1 : 1) *
        (number(zone.slice(1, 3)) * 60 + number(zone.slice(-2))) *
        60_000;
  return time + number(part.padEnd(3, "0").slice(0, 3)) - offset;
}
