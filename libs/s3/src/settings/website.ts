/** A bucket as a website: its document, and what a page request comes to under it. */
import { KiB } from "@kiseki/base";
import { percentEncode } from "@kiseki/http";
import { s3Fault, type S3Fault } from "../errors.ts";
import { defineDocumentSetting } from "./document.ts";
import { integer, one, optional, many, record, text, type ValueOf, word } from "./shape.ts";

const ruleCountMax = 50;
const lengthMax = 1024;

const protocol = optional("Protocol", word(["http", "https"]));
const ruleShape = record({
  condition: optional(
    "Condition",
    record({
      keyPrefixEquals: optional("KeyPrefixEquals", text),
      errorCodeEquals: optional("HttpErrorCodeReturnedEquals", integer),
    }),
  ),
  redirect: one(
    "Redirect",
    record({
      protocol,
      hostName: optional("HostName", text),
      replaceKeyPrefixWith: optional("ReplaceKeyPrefixWith", text),
      replaceKeyWith: optional("ReplaceKeyWith", text),
      httpRedirectCode: optional("HttpRedirectCode", integer),
    }),
  ),
});
const websiteShape = record({
  redirectAll: optional(
    "RedirectAllRequestsTo",
    record({ hostName: one("HostName", text), protocol }),
  ),
  index: optional("IndexDocument", record({ suffix: one("Suffix", text) })),
  error: optional("ErrorDocument", record({ key: one("Key", text) })),
  routing: optional("RoutingRules", record({ rules: many("RoutingRule", ruleShape) })),
});
export type WebsiteConfiguration = ValueOf<typeof websiteShape>;
type RoutingRule = ValueOf<typeof ruleShape>;

export const websiteSetting = defineDocumentSetting({
  subresource: "website",
  stored: "website",
  documentSizeMax: 128 * KiB,
  isRemovable: true,
  unset: "NoSuchWebsiteConfiguration",
  root: "WebsiteConfiguration",
  shape: websiteShape,
  validate: validateWebsite,
});

const badArgument = (message: string): S3Fault => s3Fault("InvalidArgument", message);
/** A host, perhaps with its port: it goes into a header as it is. */
const isHostName = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?$/;

function validateWebsite(configuration: WebsiteConfiguration): S3Fault | undefined {
  const { redirectAll, index, error, routing } = configuration;
  if (redirectAll !== undefined) {
    if (index !== undefined || error !== undefined || routing !== undefined) {
      return s3Fault(
        "InvalidRequest",
        "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
      );
    }
    return isHostName.test(redirectAll.hostName)
      ? undefined
      : badArgument("The HostName of RedirectAllRequestsTo is not a host name.");
  }
  if (index === undefined) {
    return badArgument(
      "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
    );
  }
  if (index.suffix === "" || index.suffix.includes("/") || index.suffix.length > lengthMax) {
    return badArgument("The IndexDocument Suffix is not well formed");
  }
  if (error !== undefined && (error.key === "" || error.key.length > lengthMax)) {
    return badArgument("The ErrorDocument Key is not well formed");
  }
  const rules = routing?.rules ?? [];
  if (rules.length > ruleCountMax) {
    return s3Fault(
      "InvalidRequest",
      `${rules.length} routing rules provided, the number of routing rules in a website configuration is limited to ${ruleCountMax}.`,
    );
  }
  for (const rule of rules) {
    const fault = validateRule(rule);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function validateRule({ condition, redirect }: RoutingRule): S3Fault | undefined {
  if (Object.keys(redirect).length === 0) return s3Fault("MalformedXML");
  if (condition !== undefined && Object.keys(condition).length === 0) {
    return s3Fault(
      "InvalidRequest",
      "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.",
    );
  }
  const { replaceKeyWith, replaceKeyPrefixWith, httpRedirectCode, hostName } = redirect;
  if (replaceKeyWith !== undefined && replaceKeyPrefixWith !== undefined) {
    return s3Fault(
      "InvalidRequest",
      "You can only define ReplaceKeyPrefix or ReplaceKey but not both.",
    );
  }
  const code = condition?.errorCodeEquals;
  if (code !== undefined && (code < 400 || code > 599)) {
    return badArgument(
      `The provided HTTP error code (${code}) is not valid. Valid codes are 4XX or 5XX.`,
    );
  }
  if (httpRedirectCode !== undefined && (httpRedirectCode < 301 || httpRedirectCode > 399)) {
    return badArgument(
      `The provided HTTP redirect code (${httpRedirectCode}) is not valid. Valid codes are 3XX except 300.`,
    );
  }
  const texts = [replaceKeyWith, replaceKeyPrefixWith, condition?.keyPrefixEquals];
  if (texts.some((value) => (value?.length ?? 0) > lengthMax)) {
    return badArgument("A key of a routing rule is longer than 1024 characters");
  }
  if (hostName !== undefined && !isHostName.test(hostName)) {
    return badArgument("The HostName of a routing rule is not a host name.");
  }
  return undefined;
}

/** Where a page request leads before any object is looked at. */
export type WebsiteRoute =
  | { readonly kind: "redirect"; readonly status: number; readonly location: string }
  /** The object to send, and the one to look for when a folder was named without its slash. */
  | { readonly kind: "object"; readonly key: string; readonly folderIndex: string | undefined };

/** How the request came, for redirects that keep the protocol or the host. */
export interface WebsiteOrigin {
  readonly protocol: "http" | "https";
  readonly host: string;
}

/** `key`: the path without its first slash, unescaped. */
export function routeWebsite(
  configuration: WebsiteConfiguration,
  key: string,
  origin: WebsiteOrigin,
): WebsiteRoute {
  const { redirectAll, index, routing } = configuration;
  if (redirectAll !== undefined) {
    const location = locationOf(redirectAll.protocol ?? origin.protocol, redirectAll.hostName, key);
    return { kind: "redirect", status: 301, location };
  }
  const rule = routing?.rules.find(
    ({ condition }) => condition?.errorCodeEquals === undefined && hasPrefix(condition, key),
  );
  if (rule !== undefined) return redirectBy(rule, key, origin);
  const suffix = index?.suffix ?? "";
  if (key === "" || key.endsWith("/")) {
    return { kind: "object", key: `${key}${suffix}`, folderIndex: undefined };
  }
  return { kind: "object", key, folderIndex: `${key}/${suffix}` };
}

/** The redirect that a rule prescribes for an error. `undefined`: none does, and the error page is sent. */
export function routeWebsiteError(
  { routing }: WebsiteConfiguration,
  key: string,
  status: number,
  origin: WebsiteOrigin,
): WebsiteRoute | undefined {
  const rule = routing?.rules.find(
    ({ condition }) => condition?.errorCodeEquals === status && hasPrefix(condition, key),
  );
  return rule === undefined ? undefined : redirectBy(rule, key, origin);
}

const hasPrefix = (condition: RoutingRule["condition"], key: string): boolean =>
  key.startsWith(condition?.keyPrefixEquals ?? "");

function redirectBy(
  { condition, redirect }: RoutingRule,
  key: string,
  origin: WebsiteOrigin,
): WebsiteRoute {
  const { replaceKeyWith, replaceKeyPrefixWith, httpRedirectCode } = redirect;
  const rest = key.slice((condition?.keyPrefixEquals ?? "").length);
  const target =
    replaceKeyWith ?? (replaceKeyPrefixWith === undefined ? key : `${replaceKeyPrefixWith}${rest}`);
  return {
    kind: "redirect",
    status: httpRedirectCode ?? 301,
    location: locationOf(
      redirect.protocol ?? origin.protocol,
      redirect.hostName ?? origin.host,
      target,
    ),
  };
}

const locationOf = (scheme: string, host: string, key: string): string =>
  `${scheme}://${host}/${percentEncode(key, "keep_slash")}`;

/** The page that is sent where a bucket has none of its own. */
export function websiteErrorPage(
  status: number,
  code: string,
  message: string,
  details: readonly (readonly [name: string, value: string])[],
): string {
  const title = `${status} ${statusTexts[status] ?? "Error"}`;
  const items = [["Code", code], ["Message", message], ...details] as const;
  const lines = items.map(([name, value]) => `<li>${escapeHtml(name)}: ${escapeHtml(value)}</li>`);
  return `<html>\n<head><title>${title}</title></head>\n<body>\n<h1>${title}</h1>\n<ul>\n${lines.join("\n")}\n</ul>\n<hr/>\n</body>\n</html>\n`;
}

const statusTexts: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

const htmlNames: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escapeHtml = (source: string): string => source.replace(/[&<>"']/g, (c) => htmlNames[c]!);
