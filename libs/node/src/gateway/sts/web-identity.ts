import { sameBytes, type WallTime } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import type { OidcFault, OidcVerifier, VerifiedToken } from "@kiseki/oidc";
import { isTrusted, providerArn } from "@kiseki/policy";
import {
  isStsFault,
  type StsFault,
  type StsFaultCode,
  stsFault,
  type StsResult,
  type WebIdentityCall,
} from "@kiseki/sts";
import type { FrontRequest } from "../../front/types.ts";
import {
  assumedUser,
  type AssumeParts,
  durationFault,
  issue,
  narrowingOf,
  timesOf,
} from "./assume.ts";
import { contextOf } from "./context.ts";

export interface WebIdentityParts extends AssumeParts {
  readonly oidc: Pick<OidcVerifier, "issuerOf" | "verify">;
}
type Provider = NonNullable<ReturnType<Catalog["providers"]["lookUp"]>>;
type Role = NonNullable<ReturnType<Catalog["roles"]["find"]>>;

const secondsDefault = 3600;
const faultCodes: Readonly<Record<OidcFault["code"], StsFaultCode>> = {
  expired: "ExpiredTokenException",
  invalid: "InvalidIdentityToken",
  rejected: "InvalidIdentityToken",
  unreachable: "IDPCommunicationError",
};
const notAuthorized = () =>
  stsFault("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");

/** Credentials for whoever shows a token of a provider that a tenant takes: of a role, or with the policies that it names. */
export async function assumeWithWebIdentity(
  parts: WebIdentityParts,
  request: FrontRequest,
  call: WebIdentityCall,
  now: WallTime,
): Promise<StsResult | StsFault> {
  const { catalog, oidc } = parts;
  const issuer = oidc.issuerOf(call.token);
  if (issuer === undefined) {
    return stsFault(
      "InvalidIdentityToken",
      "The token passed is no JSON Web Token with an issuer.",
    );
  }
  const role = call.role && catalog.roles.find(call.role.account, call.role.name);
  if (call.role !== undefined && role === undefined) return notAuthorized();
  const providers = catalog.providers
    .ofIssuer(issuer)
    .filter(({ tenant }) => role === undefined || sameBytes(tenant, role.tenant));
  if (providers.length === 0) {
    return stsFault(
      "InvalidIdentityToken",
      "No OpenIDConnect provider found in your account for the token's issuer",
    );
  }
  const clientIds = providers.flatMap((provider) => provider.clientIds);
  const token = await oidc.verify(call.token, issuer, clientIds);
  if (token.kind === "fault") return stsFault(faultCodes[token.code], token.message);
  const meant = providers.filter((provider) => provider.clientIds.includes(token.audience));
  const provider = meant[0];
  if (provider === undefined || meant.length > 1) {
    return stsFault("AccessDenied", "Several tenants take this token: name a role.");
  }
  const found = { ...parts, provider, token, call, now };
  return role === undefined ? byClaim(found) : byRole(found, role, request);
}

interface Found extends AssumeParts {
  readonly provider: Provider;
  readonly token: VerifiedToken;
  readonly call: WebIdentityCall;
  readonly now: WallTime;
}

function byRole(
  { catalog, tokens, provider, token, call, now }: Found,
  role: Role,
  request: FrontRequest,
): StsResult | StsFault {
  const claims = claimsOf(token);
  const context = contextOf(request, undefined, now, {
    ...Object.fromEntries(claims.map(([name, value]) => [`jwt:${name}`, value])),
    "aws:federatedprovider": providerArn(role.account, token.issuer),
    "sts:rolesessionname": call.sessionName,
  });
  const who = { kind: "provider", arn: providerArn(role.account, token.issuer) } as const;
  if (!isTrusted(role.trust, "sts:AssumeRoleWithWebIdentity", who, context)) return notAuthorized();
  const seconds = call.seconds ?? secondsDefault;
  if (seconds > role.secondsMax) return durationFault();
  const narrowing = narrowingOf(catalog, role.tenant, role.account, call);
  if (isStsFault(narrowing)) return narrowing;
  const sessionName = call.sessionName!;
  const credentials = issue(tokens, {
    kind: "role",
    tenant: role.tenant,
    role: role.id,
    sessionName,
    provider: provider.id,
    subject: token.subject,
    ...timesOf(now, seconds),
    ...narrowing,
    claims,
    tags: [],
  });
  if (isStsFault(credentials)) return credentials;
  return answer(credentials, assumedUser(role, sessionName), { provider, token });
}

/** As MinIO has it: a claim names policies. */
function byClaim({ catalog, tokens, provider, token, call, now }: Found): StsResult | StsFault {
  const { tenant, policyClaim } = provider;
  if (call.policyArns.length > 0) {
    return stsFault("ValidationError", "PolicyArns narrow a role: name one.");
  }
  const known = new Set(catalog.policies(tenant).map(({ name }) => name));
  const policyNames = namesIn(token.claims, policyClaim).filter((name) => known.has(name));
  if (policyNames.length === 0) {
    return stsFault("AccessDenied", `The claim ${policyClaim} names no policy that is here.`);
  }
  const account = catalog.account(tenant);
  const narrowing = narrowingOf(catalog, tenant, account, call);
  if (isStsFault(narrowing)) return narrowing;
  const { subject } = token;
  const credentials = issue(tokens, {
    kind: "claims",
    tenant,
    provider: provider.id,
    subject,
    ...(call.sessionName === undefined ? {} : { sessionName: call.sessionName }),
    ...timesOf(now, call.seconds ?? secondsDefault),
    ...narrowing,
    policyNames,
    claims: claimsOf(token),
    tags: [],
  });
  if (isStsFault(credentials)) return credentials;
  const name = federatedName(provider.name, subject);
  const arn = `arn:aws:sts::${account}:federated-user/${name}`;
  return answer(credentials, { arn, id: name }, { provider, token });
}

function answer(
  credentials: Extract<StsResult, { readonly kind: "web_identity" }>["credentials"],
  user: { readonly arn: string; readonly id: string },
  { provider, token }: Pick<Found, "provider" | "token">,
): StsResult {
  const { subject, audience } = token;
  return { kind: "web_identity", credentials, user, subject, audience, provider: provider.issuer };
}

/** How ARNs name whom a provider's token speaks of; no two of them alike. */
export function federatedName(provider: string, subject: string): string {
  const escaped = subject.replaceAll(/[^A-Za-z0-9_,.@+-]/gu, (character) =>
    Array.from(
      new TextEncoder().encode(character),
      (byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    ).join(""),
  );
  return `${provider}/${escaped}`;
}

/** Claims that conditions may ask for, as the policies of MinIO name them. */
const shownClaims = [
  "azp",
  "email",
  "family_name",
  "given_name",
  "iss",
  "name",
  "nickname",
  "preferred_username",
  "upn",
] as const;
const claimSizeMax = 256;

function claimsOf({ claims, subject, audience }: VerifiedToken): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [
    ["sub", subject],
    ["aud", audience],
  ];
  for (const name of shownClaims) {
    const value = claims[name];
    const isShown =
      typeof value === "string" && value.length <= claimSizeMax && !value.includes("\0");
    if (isShown) pairs.push([name, value]);
  }
  return pairs;
}

/** Names in a claim: a list, or text with commas. A dot leads into an object where no claim has the whole name. */
function namesIn(claims: VerifiedToken["claims"], name: string): readonly string[] {
  let value: unknown = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value === undefined) {
    value = name.split(".").reduce<unknown>((inner, part) => {
      const isObject = typeof inner === "object" && inner !== null && Object.hasOwn(inner, part);
      return isObject ? (inner as Readonly<Record<string, unknown>>)[part] : undefined;
    }, claims);
  }
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const names = list.flatMap((each) => (typeof each === "string" ? each.split(",") : []));
  return [...new Set(names.map((each) => each.trim()).filter((each) => each !== ""))].slice(0, 20);
}
