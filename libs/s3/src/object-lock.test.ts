/** Goal: locks are read exactly or refused, never guessed. Method: headers and documents, well-formed and not; what is written is read again. */
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { expect, test } from "bun:test";
import { parseIsoDate } from "./date.ts";
import { isFault } from "./errors.ts";
import { parseFields } from "./fields.ts";
import {
  formatLegalHold,
  formatLockConfiguration,
  formatRetention,
  lockHeaderPairs,
  parseLegalHoldBody,
  parseLockConfiguration,
  parseLockHeaders,
  parseRetentionBody,
} from "./object-lock.ts";

function locks(headers: Readonly<Record<string, string>>) {
  const fields = parseFields({
    method: "PUT",
    target: "/abc/k",
    host: "h",
    isSigned: true,
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
  });
  if (isFault(fields)) throw new Error(fields.code);
  return parseLockHeaders(fields);
}
const until = "2030-01-02T03:04:05.000Z";
const time = wallTime(Date.UTC(2030, 0, 2, 3, 4, 5));
const mode = "x-amz-object-lock-mode";
const date = "x-amz-object-lock-retain-until-date";
const hold = "x-amz-object-lock-legal-hold";

test("parseLockHeaders() wants mode and date together, in S3's words", () => {
  expect(locks({})).toBeUndefined();
  expect(locks({ [hold]: "OFF" })).toEqual({ legalHold: false });
  const both = { [mode]: "GOVERNANCE", [date]: until };
  const lock = { retention: { mode: "governance", until: time }, legalHold: true } as const;
  expect(locks({ ...both, [hold]: "ON" })).toEqual(lock);
  expect(lockHeaderPairs(lock)).toEqual([
    [mode, "GOVERNANCE"],
    [date, until],
    [hold, "ON"],
  ]);
  const bad = [
    { [mode]: "GOVERNANCE" },
    { [date]: until },
    { ...both, [mode]: "governance" },
    { ...both, [date]: "tomorrow" },
    { ...both, [date]: "2030-13-02T03:04:05Z" },
    { [hold]: "on" },
  ];
  for (const headers of bad) expect(locks(headers)).toMatchObject({ code: "InvalidArgument" });
});

test("parseIsoDate() reads zones and fractions, of four-digit years only", () => {
  expect(parseIsoDate("2030-01-02T04:04:05+01:00")).toBe(time);
  expect(parseIsoDate(" 2030-01-02T03:04:05.123456Z ")).toBe(wallTime(time + 123));
  const bad = ["", "2030-01-02", "2030-01-02T03:04:05", "9999-12-31T23:59:59-01:00", "1e9"];
  for (const text of bad) expect(parseIsoDate(text)).toBeUndefined();
});

const configuration = (inner: string) =>
  parseLockConfiguration(toUtf8(`<ObjectLockConfiguration>${inner}</ObjectLockConfiguration>`));
const on = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
const rule = (inner: string) =>
  configuration(`${on}<Rule><DefaultRetention>${inner}</DefaultRetention></Rule>`);

test("parseLockConfiguration() takes one period of one unit", () => {
  expect(configuration(on)).toEqual({ byDefault: undefined });
  const byDefault = { mode: "compliance", unit: "years", count: 1 } as const;
  expect(rule("<Mode>COMPLIANCE</Mode><Years>1</Years>")).toEqual({ byDefault });
  const days = { mode: "governance", unit: "days", count: 36_500 } as const;
  for (const value of [byDefault, days, undefined]) {
    expect(parseLockConfiguration(formatLockConfiguration(value))).toEqual({ byDefault: value });
  }
  const malformed = [
    "",
    "<ObjectLockEnabled>Disabled</ObjectLockEnabled>",
    `${on}<Rule/>`,
    `${on}<Rule><DefaultRetention/></Rule>`,
  ];
  for (const inner of malformed)
    expect(configuration(inner)).toMatchObject({ code: "MalformedXML" });
  const governance = "<Mode>GOVERNANCE</Mode>";
  const more = ["", "<Days>1</Days><Years>1</Years>", "<Days>one</Days>", "<Days>1.5</Days>"];
  for (const inner of more)
    expect(rule(governance + inner)).toMatchObject({ code: "MalformedXML" });
  expect(rule("<Mode>abc</Mode><Days>1</Days>")).toMatchObject({ code: "MalformedXML" });
  for (const inner of ["<Days>0</Days>", "<Years>-1</Years>", "<Days>36501</Days>"]) {
    expect(rule(governance + inner)).toMatchObject({ code: "InvalidRetentionPeriod" });
  }
});

test("parseRetentionBody() and parseLegalHoldBody() read what they format", () => {
  const retention = { mode: "governance", until: time } as const;
  expect(parseRetentionBody(formatRetention(retention))).toEqual({ retention });
  expect(parseRetentionBody(toUtf8("<Retention/>"))).toEqual({ retention: undefined });
  for (const inner of ["<Mode>GOVERNANCE</Mode>", `<RetainUntilDate>${until}</RetainUntilDate>`]) {
    const document = toUtf8(`<Retention>${inner}</Retention>`);
    expect(parseRetentionBody(document)).toMatchObject({ code: "MalformedXML" });
  }
  for (const legalHold of [true, false]) {
    expect(parseLegalHoldBody(formatLegalHold(legalHold))).toEqual({ legalHold });
  }
  expect(fromUtf8(formatLegalHold(true))).toContain("<Status>ON</Status>");
  for (const text of ["", "<LegalHold/>", "<LegalHold><Status>abc</Status></LegalHold>"]) {
    expect(parseLegalHoldBody(toUtf8(text))).toMatchObject({ code: "MalformedXML" });
  }
});
