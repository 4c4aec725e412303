import { describe, expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import { isFault } from "../errors.ts";
import {
  type CorsConfiguration,
  corsSetting,
  corsHeaders,
  matchCors,
  parseRequestHeaders,
} from "./cors.ts";

const rule = (inner: string): string => `<CORSRule>${inner}</CORSRule>`;
const root = (inner: string): Uint8Array =>
  toUtf8(`<CORSConfiguration>${inner}</CORSConfiguration>`);
const get = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>";
const codeOf = (inner: string): string => {
  const result = corsSetting.store(root(inner));
  return isFault(result) ? result.code : "accepted";
};
const parse = (inner: string): CorsConfiguration => {
  const result = corsSetting.store(root(inner));
  if (isFault(result)) throw new Error(result.code);
  return corsSetting.decode(result as Uint8Array);
};

describe("CORS rules", () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ["one rule", rule(get), "accepted"],
    ["none", "", "MalformedXML"],
    ["100 rules", rule(get).repeat(100), "accepted"],
    ["101 rules", rule(get).repeat(101), "InvalidRequest"],
    ["no method", rule("<AllowedOrigin>*</AllowedOrigin>"), "MalformedXML"],
    ["no origin", rule("<AllowedMethod>GET</AllowedMethod>"), "MalformedXML"],
    [
      "a method that CORS does not know",
      rule(`${get}<AllowedMethod>PATCH</AllowedMethod>`),
      "InvalidRequest",
    ],
    ["a method in lower case", rule(`${get}<AllowedMethod>put</AllowedMethod>`), "InvalidRequest"],
    [
      "two wildcards in an origin",
      rule(`${get}<AllowedOrigin>http://*.*</AllowedOrigin>`),
      "InvalidRequest",
    ],
    [
      "two wildcards in a header",
      rule(`${get}<AllowedHeader>x-*-*</AllowedHeader>`),
      "InvalidRequest",
    ],
    ["a wildcard to expose", rule(`${get}<ExposeHeader>x-*</ExposeHeader>`), "InvalidRequest"],
    [
      "a line end in a header",
      rule(`${get}<ExposeHeader>a&#10;b: c</ExposeHeader>`),
      "MalformedXML",
    ],
    [
      "a space in an origin",
      rule(`${get}<AllowedOrigin>http://a b</AllowedOrigin>`),
      "MalformedXML",
    ],
    ["an id of 256", rule(`<ID>${"i".repeat(256)}</ID>${get}`), "MalformedXML"],
    ["an age below zero", rule(`${get}<MaxAgeSeconds>-1</MaxAgeSeconds>`), "MalformedXML"],
    [
      "two ages",
      rule(`${get}<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>2</MaxAgeSeconds>`),
      "MalformedXML",
    ],
    ["an unknown element", rule(`${get}<Other/>`), "MalformedXML"],
  ];
  test.each(rows)("with %s", (_, inner, code) => {
    expect(codeOf(inner)).toBe(code);
  });

  test("are kept and written as they came", () => {
    const inner = rule(
      `<ID>i</ID>${get}<AllowedHeader>x-*</AllowedHeader><MaxAgeSeconds>5</MaxAgeSeconds><ExposeHeader>ETag</ExposeHeader>`,
    );
    const kept = corsSetting.store(root(inner)) as Uint8Array;
    expect(new TextDecoder().decode(corsSetting.show(kept) as Uint8Array)).toEndWith(
      `${inner}</CORSConfiguration>`,
    );
  });
});

const rules = parse(
  rule(
    "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://a.example</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>9</MaxAgeSeconds>",
  ) +
    rule("<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>http://*.b.example</AllowedOrigin>") +
    rule("<AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"),
);

describe("matchCors", () => {
  type Row = readonly [string, string, string, string, string | undefined, boolean];
  const rows: readonly Row[] = [
    ["the origin that is named", "http://a.example", "GET", "", "http://a.example", true],
    ["another", "http://c.example", "GET", "", undefined, false],
    ["another case of it", "HTTP://A.EXAMPLE", "GET", "", undefined, false],
    ["a method of another rule", "http://a.example", "PUT", "", undefined, false],
    [
      "a header that fits, in any case",
      "http://a.example",
      "GET",
      "X-Amz-Date",
      "http://a.example",
      true,
    ],
    [
      "headers of which one does not",
      "http://a.example",
      "GET",
      "x-amz-date, x-other",
      undefined,
      false,
    ],
    [
      "a wildcard's origin without credentials",
      "http://x.b.example",
      "PUT",
      "",
      "http://x.b.example",
      false,
    ],
    ["a wildcard that must not overlap", "http://.b.exampl", "PUT", "", undefined, false],
    ["any origin without its name", "http://d.example", "HEAD", "", "*", false],
    ["no header where none is allowed", "http://d.example", "HEAD", "x-a", undefined, false],
  ];
  test.each(rows)("answers %s", (_, origin, method, headers, allowed, isCredentialed) => {
    const grant = matchCors(rules, { origin, method, headers: parseRequestHeaders(headers) });
    expect(grant?.allowOrigin).toBe(allowed as string);
    expect(grant?.isCredentialed ?? false).toBe(isCredentialed);
  });
});

describe("corsHeaders()", () => {
  test("never reflects an origin that is only fitted, with credentials", () => {
    for (const origin of ["*", "http://*", "null", "*.b.example", "http://x.b.example"]) {
      for (const pattern of ["*", "http://*", "*e", "http://*.b.example"]) {
        const config = parse(
          rule(`<AllowedMethod>GET</AllowedMethod><AllowedOrigin>${pattern}</AllowedOrigin>`),
        );
        const grant = matchCors(config, { origin, method: "GET", headers: [] });
        const headers = grant === undefined ? [] : corsHeaders(grant);
        expect(headers.some(([name]) => name === "Access-Control-Allow-Credentials")).toBe(false);
      }
    }
  });

  test("gives what the rule exposes and how long it holds", () => {
    const grant = matchCors(rules, {
      origin: "http://a.example",
      method: "GET",
      headers: ["X-Amz-A"],
    });
    expect(corsHeaders(grant!)).toEqual([
      ["Access-Control-Allow-Origin", "http://a.example"],
      ["Access-Control-Allow-Methods", "GET"],
      ["Access-Control-Allow-Headers", "x-amz-a"],
      ["Access-Control-Expose-Headers", "ETag"],
      ["Access-Control-Max-Age", "9"],
      ["Access-Control-Allow-Credentials", "true"],
    ]);
  });
});
