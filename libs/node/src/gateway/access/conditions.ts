/** Values of condition keys of one request. Each key speaks for the actions that AWS gives it, and for no other. */
import type { Principal } from "@kiseki/policy";
import type { FrontRequest } from "../../front/types.ts";
import type { Need, RequestWords } from "./needs.ts";

/** What is known of a request beside its words. */
export interface RequestFacts {
  readonly words: RequestWords;
  readonly request: Pick<FrontRequest, "remoteAddress" | "isTls">;
  readonly principal: Principal;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly region: string;
  readonly authType: "REST-HEADER" | "REST-QUERY-STRING" | "POST" | undefined;
}

/** What is known of the place that a need is about. */
export interface PlaceFacts {
  /** Account of the bucket's owner. */
  readonly owner: string;
  /** Tags of the object that is there; asked only when a policy speaks of them. */
  readonly objectTags: () => readonly (readonly [name: string, value: string])[];
  readonly bucketTags: () => readonly (readonly [name: string, value: string])[];
}

type Values = readonly string[] | "unknown" | undefined;
const one = (value: string | undefined): Values => (value === undefined ? undefined : [value]);

const principalTypes: Readonly<Record<Principal["kind"], string>> = {
  root: "Account",
  user: "User",
  session: "AssumedRole",
  anonymous: "Anonymous",
};

function ofPrincipal(key: string, { principal }: RequestFacts): Values {
  const isKnown = principal.kind !== "anonymous";
  switch (key) {
    case "aws:principaltype":
      return [principalTypes[principal.kind]];
    case "aws:username":
      return one(principal.userName);
    case "aws:userid":
      return [principal.userId];
    case "aws:principalarn":
      return isKnown ? [principal.issuerArn ?? principal.arn] : undefined;
    case "aws:principalaccount":
      return isKnown ? [principal.account] : undefined;
    case "aws:tokenissuetime":
      return principal.tokenIssued === undefined
        ? undefined
        : [new Date(principal.tokenIssued).toISOString()];
    case "aws:principalisawsservice":
      return ["false"];
    default:
      if (key.startsWith("aws:principaltag/")) {
        return one(principal.tags.get(key.slice("aws:principaltag/".length)));
      }
      return key.startsWith("jwt:")
        ? one(principal.claims.get(key.slice("jwt:".length)))
        : undefined;
  }
}

function ofRequest(key: string, { request, words, now, region, authType }: RequestFacts): Values {
  switch (key) {
    case "aws:sourceip":
      return [request.remoteAddress];
    case "aws:securetransport":
      return [String(request.isTls)];
    case "aws:currenttime":
      return [new Date(now).toISOString()];
    case "aws:epochtime":
      return [String(Math.floor(now / 1000))];
    case "aws:referer":
      return one(words.header("referer"));
    case "aws:useragent":
      return one(words.header("user-agent"));
    case "aws:requestedregion":
      return [region];
    case "aws:viaawsservice":
      return ["false"];
    case "s3:authtype":
      return one(authType);
    case "s3:signatureversion":
      return authType && ["AWS4-HMAC-SHA256"];
    case "s3:signatureage":
      return one(signatureAge(words, now));
    case "s3:x-amz-content-sha256":
      return one(words.header("x-amz-content-sha256"));
    default:
      return undefined;
  }
}

/** Of presigned requests: milliseconds since they were signed. */
function signatureAge({ query }: RequestWords, now: number): string | undefined {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query("X-Amz-Date") ?? "") ?? [];
  if (year === undefined) return undefined;
  const signed = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return String(Math.max(0, now - signed));
}

const listActions = new Set(["s3:ListBucket", "s3:ListBucketVersions"]);
const aclActions = new Set([
  "s3:CreateBucket",
  "s3:PutBucketAcl",
  "s3:PutObject",
  "s3:PutObjectAcl",
  "s3:PutObjectVersionAcl",
]);
const tagActions = new Set(["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"]);
const lockActions = new Set(["s3:PutObject", "s3:PutObjectLegalHold", "s3:PutObjectRetention"]);

/** Which actions a header of a new object speaks for, by key. */
function headerActions(header: string): ReadonlySet<string> | undefined {
  if (header === "x-amz-acl" || header.startsWith("x-amz-grant-")) return aclActions;
  if (header === "x-amz-object-ownership") return new Set(["s3:CreateBucket"]);
  if (header === "if-match") return new Set(["s3:DeleteObject", "s3:PutObject"]);
  const ofPut = [
    "if-none-match",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
  ];
  return ofPut.includes(header) ? new Set(["s3:PutObject"]) : undefined;
}

/**
 * Of a new object, or of a document that was read; a copy takes its tags from the header where it replaces the source's, and
 * only there: what it takes over nobody has read yet.
 */
function ofRequestTags(name: string, { header }: RequestWords, need: Need): Values {
  if (!tagActions.has(need.action)) return undefined;
  if (need.isNew !== true && need.action === "s3:PutObject") return undefined;
  const isCopied =
    header("x-amz-copy-source") !== undefined && header("x-amz-tagging-directive") !== "REPLACE";
  if (isCopied) return "unknown";
  const tags = [...new URLSearchParams(header("x-amz-tagging") ?? "")];
  if (name === "requestobjecttagkeys") return tags.map(([tag]) => tag);
  const wanted = name.slice("requestobjecttag/".length);
  return one(tags.find(([tag]) => tag === wanted)?.[1]);
}

/** Retention and hold: of a new object, or of a document that was read. */
function ofLock(name: string, { words, now }: RequestFacts, need: Need): Values {
  if (!lockActions.has(need.action)) return undefined;
  if (need.isNew !== true && need.action === "s3:PutObject") return undefined;
  if (name !== "object-lock-remaining-retention-days") return one(words.header(`x-amz-${name}`));
  const until = Date.parse(words.header("x-amz-object-lock-retain-until-date") ?? "");
  return Number.isNaN(until) ? undefined : [String(Math.ceil((until - now) / 86_400_000))];
}

function ofNeed(key: string, facts: RequestFacts, need: Need): Values {
  const name = key.slice("s3:".length);
  const { words } = facts;
  const { action, versionId } = need;
  if (name === "versionid") return one(versionId);
  if (name === "prefix" || name === "delimiter" || name === "max-keys") {
    return listActions.has(action) ? one(words.query(name)) : undefined;
  }
  if (name.startsWith("requestobjecttag")) return ofRequestTags(name, words, need);
  if (name.startsWith("object-lock-")) return ofLock(name, facts, need);
  if (name === "locationconstraint") return action === "s3:CreateBucket" ? "unknown" : undefined;
  return headerActions(name)?.has(action) === true ? one(words.header(name)) : undefined;
}

/** Whoever writes over or deletes an object is not judged by its tags, says AWS: no policy can let them in or keep them out so. */
const existingTagActions =
  /^s3:((Get|Put)Object(Version)?(Acl|Tagging)|DeleteObject(Version)?Tagging|GetObject(Version)?(Attributes)?)$/;

function ofPlace(key: string, { objectTags, bucketTags, owner }: PlaceFacts, need: Need): Values {
  if (key === "aws:resourceaccount" || key === "s3:resourceaccount") return [owner];
  for (const [prefix, tags] of [
    ["s3:existingobjecttag/", objectTags],
    ["s3:buckettag/", bucketTags],
    ["aws:resourcetag/", bucketTags],
  ] as const) {
    if (!key.startsWith(prefix)) continue;
    if (tags === objectTags && (need.isNew === true || !existingTagActions.test(need.action))) {
      return undefined;
    }
    return one(tags().find(([name]) => name === key.slice(prefix.length))?.[1]);
  }
  return undefined;
}

/** `key` in the form of `libs/policy`: lower case, but for names of tags and claims. */
export function conditionValues(
  key: string,
  facts: RequestFacts,
  need: Need,
  place: PlaceFacts,
): Values {
  return (
    ofPlace(key, place, need) ??
    (key.startsWith("s3:") ? ofNeed(key, facts, need) : ofPrincipal(key, facts)) ??
    ofRequest(key, facts)
  );
}
