import { expect, test } from "bun:test";
import { prngFromSeed } from "@kiseki/base";
import type { RequestHead } from "@kiseki/http";
import { parseNetworks, proxyTrust, seenThrough } from "./forwarded.ts";

const headWith = (fields: readonly (readonly [string, string])[]): RequestHead => ({
  method: "GET",
  target: "/",
  version: "1.1",
  headers: [["host", "inner:9000"] as const, ...fields].map(([name, value]) => ({ name, value })),
  host: "inner:9000",
  body: { kind: "none" },
  expectsContinue: false,
  keepAlive: true,
});
function seen(
  header: "x-forwarded" | "forwarded" | "nobody",
  address: string,
  ...fields: readonly (readonly [string, string])[]
): readonly [address: string, isTls: boolean, host: string] {
  const networks = ["10.0.0.0/8", "fd00::/8"];
  const trust = header === "nobody" ? undefined : proxyTrust(networks, header);
  const got = seenThrough(trust, { address, isTls: false }, headWith(fields));
  expect(got.head.headers.find(({ name }) => name === "host")?.value).toBe(got.head.host);
  return [got.address, got.isTls, got.head.host];
}

test("seenThrough() believes nobody by default, and nobody but the trusted", () => {
  const lies = [
    ["x-forwarded-for", "1.1.1.1"],
    ["x-forwarded-proto", "https"],
    ["x-forwarded-host", "evil"],
    ["forwarded", "for=1.1.1.1;proto=https;host=evil"],
  ] as const;
  expect(seen("nobody", "10.0.0.1", ...lies)).toEqual(["10.0.0.1", false, "inner:9000"]);
  expect(seen("x-forwarded", "9.9.9.9", ...lies)).toEqual(["9.9.9.9", false, "inner:9000"]);
  expect(seen("forwarded", "9.9.9.9", ...lies)).toEqual(["9.9.9.9", false, "inner:9000"]);
});

test("seenThrough() takes the nearest address that is not a proxy's, never what a client wrote before it", () => {
  const via = (...chain: readonly string[]) =>
    seen(
      "x-forwarded",
      "::ffff:10.0.0.1",
      ...chain.map((each) => ["x-forwarded-for", each] as const),
    )[0];
  expect(via("7.7.7.7, 8.8.8.8, 10.0.0.2")).toBe("8.8.8.8");
  expect(via("7.7.7.7", "8.8.8.8:4711", "10.0.0.2")).toBe("8.8.8.8");
  expect(via("[2001:DB8::1]:80, fd00::5")).toBe("2001:db8::1");
  expect(via("10.0.0.3, 10.0.0.2")).toBe("10.0.0.3");
  expect(via("7.7.7.7, unknown, 10.0.0.2")).toBe("0.0.0.0");
  expect(via("7.7.7.7, 300.1.1.1")).toBe("0.0.0.0");
  expect(via()).toBe("10.0.0.1");
  expect(via("::ffff:8.8.8.8")).toBe("8.8.8.8");
});

test("seenThrough() takes scheme and host of one header family and passes over the other", () => {
  const both = [
    ["x-forwarded-for", "8.8.8.8"],
    ["x-forwarded-proto", "https"],
    ["x-forwarded-host", "s3.example.org"],
    ["forwarded", 'for="[2001:db8::7]:1";proto=http;host="other.example.org"'],
  ] as const;
  expect(seen("x-forwarded", "10.0.0.1", ...both)).toEqual(["8.8.8.8", true, "s3.example.org"]);
  expect(seen("forwarded", "10.0.0.1", ...both)).toEqual([
    "2001:db8::7",
    false,
    "other.example.org",
  ]);
  expect(seen("x-forwarded", "10.0.0.1", ["x-forwarded-proto", "https"])).toEqual([
    "10.0.0.1",
    true,
    "inner:9000",
  ]);
  expect(seen("x-forwarded", "10.0.0.1", ["x-forwarded-proto", "https, http"])[1]).toBe(false);
  expect(seen("x-forwarded", "10.0.0.1", ["x-forwarded-host", "a b\tc"])[2]).toBe("inner:9000");
});

test("seenThrough() reads Forwarded as RFC 7239 has it, from the nearest element on", () => {
  const via = (text: string) => seen("forwarded", "fd00::1", ["forwarded", text]);
  expect(via("for=7.7.7.7, FOR=8.8.8.8;Proto=https, for=10.9.9.9")).toEqual([
    "8.8.8.8",
    true,
    "inner:9000",
  ]);
  expect(via('for="8.8.8.8:80";host="a,b";proto=https')).toEqual(["8.8.8.8", true, "inner:9000"]);
  expect(via("for=_hidden, for=10.0.0.7")[0]).toBe("0.0.0.0");
  expect(via(`for="x, for="[2001:db8::1]"`)[0]).toBe("0.0.0.0"); // a client's quote around the proxy's words
  expect(via('for="8.8.8.8, for=7.7.7.7')[0]).toBe("7.7.7.7"); // an open quote is part of nothing
  expect(via("")[0]).toBe("fd00::1");
  expect(via("proto=https")[0]).toBe("fd00::1");
  expect(via(`for=7.7.7.7;x=${"y".repeat(5000)}`)[0]).toBe("0.0.0.0");
});

test("parseNetworks() refuses what is no network", () => {
  expect(parseNetworks([])?.check("1.2.3.4")).toBe(false);
  for (const text of [
    "",
    "10.0.0.0/33",
    "10.0.0/8",
    "x",
    "::/129",
    "1.2.3.4/",
    "1.2.3.4/8/8",
    "1.2.3.4/-1",
  ]) {
    expect(parseNetworks([text])).toBeUndefined();
  }
});

test("seenThrough() answers an address whatever the headers hold, and never one from beyond an untrusted hop", () => {
  const prng = prngFromSeed(Number(process.env["KISEKI_FUZZ_SEED"] ?? 7));
  const pieces = [
    "10.0.0.1",
    "8.8.8.8",
    "::1",
    "[fd00::1]:5",
    ",",
    ";",
    "for=",
    '"',
    "\\\\",
    "proto=https",
    "host=a.b",
    " ",
    "_x",
    "=",
  ];
  for (let i = 0; i < 5000; i++) {
    const text = Array.from(
      { length: prng.below(12) },
      () => pieces[prng.below(pieces.length)]!,
    ).join("");
    for (const header of ["x-forwarded", "forwarded"] as const) {
      const name = header === "forwarded" ? "forwarded" : "x-forwarded-for";
      // Whatever a client wrote, the proxy adds the client's address at the end.
      const last = header === "forwarded" ? "for=9.9.9.9" : "9.9.9.9";
      const [address] = seen(header, "10.0.0.1", [name, text], [name, last]);
      expect(["9.9.9.9", "0.0.0.0"]).toContain(address); // nobody's, when a quote swallows it
    }
  }
});
