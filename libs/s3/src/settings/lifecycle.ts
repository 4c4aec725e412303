/** A bucket's lifecycle: its document with everything that AWS refuses in one. */
import { MiB, type WallTime } from "@kiseki/base";
import { formatIsoDate, parseIsoTime } from "../date.ts";
import { isFault, s3Fault, type S3Fault } from "../errors.ts";
import { canonicalKey } from "../key.ts";
import { defineDocumentSetting } from "./document.ts";
import { flag, integer, many, one, optional, record, text, type ValueOf, word } from "./shape.ts";
import { type Tag, tagShape, validateTag } from "./tags.ts";

const ruleCountMax = 1000;
const idLengthMax = 255;
const newerCountMax = 100;
const dayCountMax = 2_147_483_647;
const dayMs = 86_400_000;

const sizeFields = {
  sizeGreaterThan: optional("ObjectSizeGreaterThan", integer),
  sizeLessThan: optional("ObjectSizeLessThan", integer),
};
const filterShape = record({
  prefix: optional("Prefix", text),
  tag: optional("Tag", tagShape),
  ...sizeFields,
  and: optional(
    "And",
    record({ prefix: optional("Prefix", text), tags: many("Tag", tagShape), ...sizeFields }),
  ),
});
const transitionShape = record({
  date: optional("Date", text),
  days: optional("Days", integer),
  storageClass: one("StorageClass", text),
});
const ruleShape = record({
  expiration: optional(
    "Expiration",
    record({
      date: optional("Date", text),
      days: optional("Days", integer),
      expiredObjectDeleteMarker: optional("ExpiredObjectDeleteMarker", flag),
    }),
  ),
  id: optional("ID", text),
  prefix: optional("Prefix", text),
  filter: optional("Filter", filterShape),
  status: one("Status", word(["Enabled", "Disabled"])),
  transitions: many("Transition", transitionShape),
  noncurrentTransitions: many(
    "NoncurrentVersionTransition",
    record({
      days: optional("NoncurrentDays", integer),
      storageClass: one("StorageClass", text),
      newerVersions: optional("NewerNoncurrentVersions", integer),
    }),
  ),
  noncurrentExpiration: optional(
    "NoncurrentVersionExpiration",
    record({
      days: optional("NoncurrentDays", integer),
      newerVersions: optional("NewerNoncurrentVersions", integer),
    }),
  ),
  abortUploads: optional(
    "AbortIncompleteMultipartUpload",
    record({ days: optional("DaysAfterInitiation", integer) }),
  ),
});
export type LifecycleRule = ValueOf<typeof ruleShape>;
const lifecycleShape = record({ rules: many("Rule", ruleShape) });
export type LifecycleConfiguration = ValueOf<typeof lifecycleShape>;

/** What a rule is about, whichever of the two forms it is written in. */
export interface LifecycleFilter {
  readonly prefix: string;
  readonly tags: readonly Tag[];
  readonly sizeGreaterThan: number | undefined;
  readonly sizeLessThan: number | undefined;
}

export function filterOf({ prefix, filter }: LifecycleRule): LifecycleFilter {
  const { and } = filter ?? {};
  const tag = filter?.tag;
  return {
    prefix: prefix ?? filter?.prefix ?? and?.prefix ?? "",
    tags: and?.tags ?? (tag === undefined ? [] : [tag]),
    sizeGreaterThan: filter?.sizeGreaterThan ?? and?.sizeGreaterThan,
    sizeLessThan: filter?.sizeLessThan ?? and?.sizeLessThan,
  };
}

/** A date of a rule that passed `validate`. */
export function dateOf(date: string): WallTime | undefined {
  return parseIsoTime(date);
}

export const lifecycleSetting = defineDocumentSetting({
  subresource: "lifecycle",
  stored: "lifecycle",
  documentSizeMax: MiB,
  isRemovable: true,
  unset: "NoSuchLifecycleConfiguration",
  root: "LifecycleConfiguration",
  shape: lifecycleShape,
  validate: validateLifecycle,
  complete: completeRules,
});

const malformed = (): S3Fault => s3Fault("MalformedXML");
const badRequest = (message: string): S3Fault => s3Fault("InvalidRequest", message);
const badArgument = (message: string): S3Fault => s3Fault("InvalidArgument", message);

function validateLifecycle({ rules }: LifecycleConfiguration): S3Fault | undefined {
  if (rules.length === 0) return malformed();
  if (rules.length > ruleCountMax) {
    return badRequest(
      `The number of lifecycle rules must not exceed the allowed limit of ${ruleCountMax} rules`,
    );
  }
  const ids = new Set<string>();
  for (const rule of rules) {
    const { id } = rule;
    if (id !== undefined && id !== "") {
      if (id.length > idLengthMax) {
        return badArgument(`ID length should not exceed allowed limit of ${idLengthMax}`);
      }
      if (ids.has(id)) {
        return badArgument("Rule ID must be unique. Found same ID for more than one rule");
      }
      ids.add(id);
    }
    const fault = validateFilter(rule) ?? validateActions(rule);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Either the old `Prefix` or a `Filter`, and in that one condition or several under `And`. */
function validateFilter(rule: LifecycleRule): S3Fault | undefined {
  const { prefix, filter } = rule;
  if ((prefix === undefined) === (filter === undefined)) return malformed();
  const count = filter === undefined ? 0 : Object.keys(filter).length;
  if (count > 1) return malformed();
  const and = filter?.and;
  if (and !== undefined) {
    const { tags, ...others } = and;
    if (Object.keys(others).length + tags.length < 2) return malformed();
  }
  const all = filterOf(rule);
  for (const tag of all.tags) {
    const fault = validateTag(tag);
    if (fault !== undefined) return fault;
  }
  if (new Set(all.tags.map(({ key }) => key)).size < all.tags.length) {
    return badRequest("Duplicate Tag Keys are not allowed.");
  }
  if (all.prefix !== "" && isFault(canonicalKey(all.prefix))) {
    return badRequest("The maximum size of a prefix is 1024.");
  }
  return validateSizes(all);
}

function validateSizes({ sizeGreaterThan: low, sizeLessThan: high }: LifecycleFilter) {
  if ((low ?? 0) < 0) return badRequest("'ObjectSizeGreaterThan' must not be negative");
  if (high !== undefined && high < 1) {
    return badRequest("'ObjectSizeLessThan' must be a positive integer");
  }
  if (low === undefined || high === undefined || high > low + 1) return undefined;
  return badRequest(
    "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan' by more than one",
  );
}

function validateActions(rule: LifecycleRule): S3Fault | undefined {
  const { expiration, noncurrentExpiration, abortUploads } = rule;
  const hasAny =
    expiration !== undefined ||
    noncurrentExpiration !== undefined ||
    abortUploads !== undefined ||
    rule.transitions.length + rule.noncurrentTransitions.length > 0;
  if (!hasAny) return badRequest("At least one action needs to be specified in a rule");
  return (
    validateExpiration(rule) ??
    validateNoncurrent(rule) ??
    validateAbort(rule) ??
    validateTransitions(rule)
  );
}

const isDayCount = (days: number, min: number): boolean => days >= min && days <= dayCountMax;
const positiveDays = (name: string, action: string): S3Fault =>
  badArgument(`'${name}' for ${action} action must be a positive integer`);

function validateExpiration(rule: LifecycleRule): S3Fault | undefined {
  const { expiration } = rule;
  if (expiration === undefined) return undefined;
  const { days, date, expiredObjectDeleteMarker } = expiration;
  if (Object.keys(expiration).length !== 1) return malformed();
  if (days !== undefined && !isDayCount(days, 1)) return positiveDays("Days", "Expiration");
  if (expiredObjectDeleteMarker !== undefined) {
    const { tags, sizeGreaterThan, sizeLessThan } = filterOf(rule);
    if (tags.length > 0 || sizeGreaterThan !== undefined || sizeLessThan !== undefined) {
      return badRequest(
        "ExpiredObjectDeleteMarker cannot be specified with Tags or object sizes: a delete marker has neither.",
      );
    }
  }
  return date === undefined ? undefined : validateDate(date);
}

function validateDate(date: string): S3Fault | undefined {
  const time = parseIsoTime(date);
  if (time === undefined) return malformed();
  return time % dayMs === 0 ? undefined : badArgument("'Date' must be at midnight GMT");
}

function validateNoncurrent({ noncurrentExpiration }: LifecycleRule): S3Fault | undefined {
  if (noncurrentExpiration === undefined) return undefined;
  const { days, newerVersions } = noncurrentExpiration;
  if (days === undefined) return malformed();
  if (!isDayCount(days, 1)) return positiveDays("NoncurrentDays", "NoncurrentVersionExpiration");
  return validateNewer(newerVersions);
}

function validateNewer(newerVersions: number | undefined): S3Fault | undefined {
  if (newerVersions === undefined) return undefined;
  if (newerVersions >= 1 && newerVersions <= newerCountMax) return undefined;
  return badArgument(`'NewerNoncurrentVersions' must be an integer from 1 to ${newerCountMax}`);
}

function validateAbort(rule: LifecycleRule): S3Fault | undefined {
  const { abortUploads } = rule;
  if (abortUploads === undefined) return undefined;
  const { tags, sizeGreaterThan, sizeLessThan } = filterOf(rule);
  if (tags.length > 0) {
    return badRequest("AbortIncompleteMultipartUpload cannot be specified with Tags.");
  }
  if (sizeGreaterThan !== undefined || sizeLessThan !== undefined) {
    return badRequest("AbortIncompleteMultipartUpload cannot be specified with Object Size.");
  }
  if (abortUploads.days === undefined) return malformed();
  if (isDayCount(abortUploads.days, 1)) return undefined;
  return positiveDays("DaysAfterInitiation", "AbortIncompleteMultipartUpload");
}

function validateTransitions(rule: LifecycleRule): S3Fault | undefined {
  for (const { date, days } of rule.transitions) {
    if ((date === undefined) === (days === undefined)) return malformed();
    if (days !== undefined && !isDayCount(days, 0)) {
      return badArgument("'Days' in Transition action must be nonnegative");
    }
    const fault = date === undefined ? undefined : validateDate(date);
    if (fault !== undefined) return fault;
  }
  for (const { days, newerVersions } of rule.noncurrentTransitions) {
    if (days === undefined) return malformed();
    if (!isDayCount(days, 0)) {
      return badArgument(
        "'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative",
      );
    }
    const fault = validateNewer(newerVersions);
    if (fault !== undefined) return fault;
  }
  // Every class below is a pool of another kind of device, and a node has one pool.
  const wanted = [...rule.transitions, ...rule.noncurrentTransitions][0];
  if (wanted === undefined) return undefined;
  return s3Fault(
    "InvalidStorageClass",
    "This server has no storage class to move objects to: STANDARD is the only one.",
    [["StorageClassRequested", wanted.storageClass.slice(0, 64)]],
  );
}

/** Each rule with an id, a number that no other rule has where none was given, and with its date in full. */
function completeRules({ rules }: LifecycleConfiguration): LifecycleConfiguration {
  const taken = new Set(rules.map(({ id }) => id));
  let number = 0;
  const nextId = (): string => {
    do number += 1;
    while (taken.has(`rule-${number}`));
    return `rule-${number}`;
  };
  return {
    rules: rules.map((rule) => {
      const time = rule.expiration?.date === undefined ? undefined : dateOf(rule.expiration.date);
      return {
        ...rule,
        ...(time === undefined ? {} : { expiration: { date: formatIsoDate(time) } }),
        id: rule.id === undefined || rule.id === "" ? nextId() : rule.id,
      } as LifecycleRule;
    }),
  };
}
