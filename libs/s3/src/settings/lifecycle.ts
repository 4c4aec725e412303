/** A bucket's lifecycle: its document with everything that AWS refuses in one. */
import { assert, MiB, type WallTime } from "@kiseki/base";
import type { StorageClass } from "@kiseki/format";
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

/** What a rule may move to, the coldest last: nothing is ever moved back. */
const transitionClasses = [
  "STANDARD_IA",
  "INTELLIGENT_TIERING",
  "ONEZONE_IA",
  "GLACIER_IR",
] as const satisfies readonly StorageClass[];
export type TransitionClass = (typeof transitionClasses)[number];
const isTransitionClass = (name: string): name is TransitionClass =>
  (transitionClasses as readonly string[]).includes(name);
/** How far down a class is; 0: nothing was moved yet. */
export const coldness = (name: string): number =>
  (transitionClasses as readonly string[]).indexOf(name) + 1;

/** Classes of S3 that need a restore: known words, and on no server of ours a pool. */
const restoredClasses: readonly string[] = ["GLACIER", "DEEP_ARCHIVE"];
const infrequentClasses: readonly string[] = ["STANDARD_IA", "ONEZONE_IA"];
const infrequentDaysMin = 30;

/** The class that a transition of a rule that passed `validate` leads to. */
export function classOf({ storageClass }: { readonly storageClass: string }): TransitionClass {
  assert(isTransitionClass(storageClass), "a rule that was checked names a class");
  return storageClass;
}
/** All that the rules move to: a pool must be there for each. */
export const classesOf = ({ rules }: LifecycleConfiguration): readonly TransitionClass[] => [
  ...new Set(
    rules.flatMap((rule) => [...rule.transitions, ...rule.noncurrentTransitions].map(classOf)),
  ),
];

function validateClass(storageClass: string): S3Fault | undefined {
  if (isTransitionClass(storageClass)) return undefined;
  if (!restoredClasses.includes(storageClass)) return malformed();
  return noSuchClass(storageClass);
}
export const noSuchClass = (storageClass: string): S3Fault =>
  s3Fault(
    "InvalidStorageClass",
    `This server has no storage class ${storageClass} to move objects to.`,
    [["StorageClassRequested", storageClass]],
  );

function validateClassDays(name: string, action: string, days: number, storageClass: string) {
  if (!isDayCount(days, 0)) return badArgument(`'${name}' in ${action} action must be nonnegative`);
  if (!infrequentClasses.includes(storageClass) || days >= infrequentDaysMin) return undefined;
  return badArgument(
    `'${name}' in ${action} action must be greater than or equal to ${infrequentDaysMin} for storageClass '${storageClass}'`,
  );
}

function validateTransitions(rule: LifecycleRule): S3Fault | undefined {
  for (const { date, days, storageClass } of rule.transitions) {
    if ((date === undefined) === (days === undefined)) return malformed();
    const fault =
      (days === undefined
        ? undefined
        : validateClassDays("Days", "Transition", days, storageClass)) ??
      (date === undefined ? undefined : validateDate(date)) ??
      validateClass(storageClass);
    if (fault !== undefined) return fault;
  }
  const action = "NoncurrentVersionTransition";
  for (const { days, newerVersions, storageClass } of rule.noncurrentTransitions) {
    if (days === undefined) return malformed();
    const fault =
      validateClassDays("NoncurrentDays", action, days, storageClass) ??
      validateNewer(newerVersions) ??
      validateClass(storageClass);
    if (fault !== undefined) return fault;
  }
  return (
    validateDistinct("Transition", rule.transitions) ??
    validateDistinct(action, rule.noncurrentTransitions) ??
    validateOrder(rule)
  );
}

function validateDistinct(
  action: string,
  transitions: readonly { readonly storageClass: string }[],
): S3Fault | undefined {
  if (new Set(transitions.map(classOf)).size === transitions.length) return undefined;
  return badRequest(`'StorageClass' must be different for '${action}' actions in same 'Rule'`);
}

/** An object is moved before it expires, and a rule counts in days or by dates. */
function validateOrder({
  expiration,
  transitions,
  noncurrentExpiration,
  noncurrentTransitions,
}: LifecycleRule): S3Fault | undefined {
  const byDays = transitions.filter(({ days }) => days !== undefined).length;
  const isMixed = byDays > 0 && byDays < transitions.length;
  const { days, date } = expiration ?? {};
  if (isMixed || (byDays > 0 ? date !== undefined : transitions.length > 0 && days !== undefined)) {
    return badRequest(
      "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule",
    );
  }
  if (days !== undefined && transitions.some((each) => (each.days ?? 0) >= days)) {
    return badArgument(
      "'Days' in the Expiration action must be greater than 'Days' in the Transition action",
    );
  }
  const end = date === undefined ? undefined : dateOf(date);
  const isLate = transitions.some((each) => {
    const at = each.date === undefined ? undefined : dateOf(each.date);
    return end !== undefined && at !== undefined && at >= end;
  });
  if (isLate) {
    return badArgument(
      "'Date' in the Expiration action must be later than 'Date' in the Transition action",
    );
  }
  const last = noncurrentExpiration?.days;
  if (last === undefined || noncurrentTransitions.every((each) => (each.days ?? 0) < last)) {
    return undefined;
  }
  return badArgument(
    "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action",
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
        transitions: rule.transitions.map((each) => {
          const at = each.date === undefined ? undefined : dateOf(each.date);
          return at === undefined ? each : { ...each, date: formatIsoDate(at) };
        }),
        id: rule.id === undefined || rule.id === "" ? nextId() : rule.id,
      } as LifecycleRule;
    }),
  };
}
