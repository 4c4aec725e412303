import { describe, expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import { isFault } from "../errors.ts";
import { requestPaymentSetting } from "./request-payment.ts";
import {
  routeWebsite,
  routeWebsiteError,
  type WebsiteConfiguration,
  websiteErrorPage,
  websiteSetting,
} from "./website.ts";

const parse = (inner: string) =>
  websiteSetting.store(toUtf8(`<WebsiteConfiguration>${inner}</WebsiteConfiguration>`));
const configured = (inner: string): WebsiteConfiguration => {
  const value = parse(inner);
  if (isFault(value)) throw new Error(value.code);
  return websiteSetting.decode(value as Uint8Array);
};
const index = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";
const rules = (...inner: readonly string[]): string =>
  `${index}<RoutingRules>${inner.map((rule) => `<RoutingRule>${rule}</RoutingRule>`).join("")}</RoutingRules>`;
const to = (inner: string): string => `<Redirect>${inner}</Redirect>`;
const when = (inner: string): string => `<Condition>${inner}</Condition>`;

const rows: readonly (readonly [string, string, string])[] = [
  ["an index", index, "accepted"],
  [
    "an index and an error page",
    `${index}<ErrorDocument><Key>e.html</Key></ErrorDocument>`,
    "accepted",
  ],
  ["nothing", "", "InvalidArgument"],
  [
    "an index with a slash",
    "<IndexDocument><Suffix>a/b</Suffix></IndexDocument>",
    "InvalidArgument",
  ],
  ["an empty index", "<IndexDocument><Suffix/></IndexDocument>", "InvalidArgument"],
  ["an empty error page", `${index}<ErrorDocument><Key/></ErrorDocument>`, "InvalidArgument"],
  [
    "all redirected",
    "<RedirectAllRequestsTo><HostName>a.example</HostName></RedirectAllRequestsTo>",
    "accepted",
  ],
  [
    "all redirected and an index",
    `${index}<RedirectAllRequestsTo><HostName>a.example</HostName></RedirectAllRequestsTo>`,
    "InvalidRequest",
  ],
  [
    "all redirected by another protocol",
    "<RedirectAllRequestsTo><HostName>a</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>",
    "MalformedXML",
  ],
  [
    "a line end in a host",
    "<RedirectAllRequestsTo><HostName>a&#10;b</HostName></RedirectAllRequestsTo>",
    "InvalidArgument",
  ],
  ["a rule", rules(to("<ReplaceKeyWith>a</ReplaceKeyWith>")), "accepted"],
  [
    "50 rules",
    rules(...Array.from({ length: 50 }, () => to("<HostName>a</HostName>"))),
    "accepted",
  ],
  [
    "51 rules",
    rules(...Array.from({ length: 51 }, () => to("<HostName>a</HostName>"))),
    "InvalidRequest",
  ],
  ["a rule that leads nowhere", rules("<Redirect/>"), "MalformedXML"],
  ["a rule without redirect", rules(when("<KeyPrefixEquals>a</KeyPrefixEquals>")), "MalformedXML"],
  ["an empty condition", rules(`<Condition/>${to("<HostName>a</HostName>")}`), "InvalidRequest"],
  [
    "a key and a prefix to replace",
    rules(to("<ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith>")),
    "InvalidRequest",
  ],
  [
    "a condition on success",
    rules(
      when("<HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals>") +
        to("<HostName>a</HostName>"),
    ),
    "InvalidArgument",
  ],
  ["a redirect by 200", rules(to("<HttpRedirectCode>200</HttpRedirectCode>")), "InvalidArgument"],
  ["a redirect by 307", rules(to("<HttpRedirectCode>307</HttpRedirectCode>")), "accepted"],
];
test.each(rows)("a website with %s", (_, inner, code) => {
  const result = parse(inner);
  expect(isFault(result) ? result.code : "accepted").toBe(code);
});

test("a website is kept and written as it came", () => {
  const inner = `${index}<ErrorDocument><Key>e</Key></ErrorDocument><RoutingRules><RoutingRule>${when("<KeyPrefixEquals>a/</KeyPrefixEquals>")}${to("<Protocol>https</Protocol><HttpRedirectCode>302</HttpRedirectCode>")}</RoutingRule></RoutingRules>`;
  const kept = websiteSetting.store(
    toUtf8(`<WebsiteConfiguration>${inner}</WebsiteConfiguration>`),
  ) as Uint8Array;
  expect(new TextDecoder().decode(websiteSetting.show(kept) as Uint8Array)).toEndWith(
    `${inner}</WebsiteConfiguration>`,
  );
});

const origin = { protocol: "http", host: "site.example" } as const;

describe("routeWebsite()", () => {
  const plain = configured(index);
  test.each([
    ["", "index.html", undefined],
    ["docs/", "docs/index.html", undefined],
    ["docs", "docs", "docs/index.html"],
    ["a b.html", "a b.html", "a b.html/index.html"],
  ] as const)("finds the object of %p", (key, object, folderIndex) => {
    const route = routeWebsite(plain, key, origin);
    expect(route).toEqual({ kind: "object", key: object, folderIndex });
  });
});

describe("routeWebsite() of a site with rules", () => {
  const redirects: readonly (readonly [string, string, string, number, string])[] = [
    [
      "everything",
      "<RedirectAllRequestsTo><HostName>b.example</HostName></RedirectAllRequestsTo>",
      "a b/é",
      301,
      "http://b.example/a%20b/%C3%A9",
    ],
    [
      "everything by another protocol",
      "<RedirectAllRequestsTo><HostName>b.example</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>",
      "",
      301,
      "https://b.example/",
    ],
    [
      "a prefix",
      rules(
        when("<KeyPrefixEquals>docs/</KeyPrefixEquals>") +
          to("<ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith>"),
      ),
      "docs/x",
      301,
      "http://site.example/documents/x",
    ],
    [
      "a key",
      rules(
        when("<KeyPrefixEquals>docs/</KeyPrefixEquals>") +
          to("<ReplaceKeyWith>all</ReplaceKeyWith><HttpRedirectCode>302</HttpRedirectCode>"),
      ),
      "docs/x",
      302,
      "http://site.example/all",
    ],
    [
      "by the first rule that fits",
      rules(
        when("<KeyPrefixEquals>x</KeyPrefixEquals>") + to("<HostName>x</HostName>"),
        to("<HostName>y</HostName>"),
      ),
      "docs",
      301,
      "http://y/docs",
    ],
  ];
  test.each(redirects)("redirects %s", (_, inner, key, status, location) => {
    expect(routeWebsite(configured(inner), key, origin)).toEqual({
      kind: "redirect",
      status,
      location,
    });
  });
});

describe("routeWebsiteError()", () => {
  test("follows the rules that routeWebsite() leaves to it", () => {
    const site = configured(
      rules(
        when("<HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>") +
          to("<ReplaceKeyPrefixWith>missing/</ReplaceKeyPrefixWith>"),
      ),
    );
    expect(routeWebsite(site, "a", origin).kind).toBe("object");
    expect(routeWebsiteError(site, "a", 404, origin)).toEqual({
      kind: "redirect",
      status: 301,
      location: "http://site.example/missing/a",
    });
    expect(routeWebsiteError(site, "a", 403, origin)).toBeUndefined();
  });
});

test("websiteErrorPage() lets nothing of a key through as markup", () => {
  const page = websiteErrorPage(404, "NoSuchKey", "m", [["Key", `<script>"&'`]]);
  expect(page).toContain("<title>404 Not Found</title>");
  expect(page).toContain("<li>Key: &lt;script&gt;&quot;&amp;&#39;</li>");
});

test("requestPaymentSetting takes its two payers", () => {
  const codeOf = (name: string) => {
    const kept = requestPaymentSetting.store(
      toUtf8(`<RequestPaymentConfiguration><Payer>${name}</Payer></RequestPaymentConfiguration>`),
    );
    return isFault(kept) ? kept.code : "accepted";
  };
  expect(["Requester", "BucketOwner", "requester", ""].map(codeOf)).toEqual([
    "accepted",
    "accepted",
    "MalformedXML",
    "MalformedXML",
  ]);
});
