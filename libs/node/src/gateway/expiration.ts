import type { WallTime } from "@kiseki/base";
import {
  abortionOf,
  activeRules,
  type ActiveRules,
  calendarDay,
  type Due,
  expirationOf,
  type LifecycleConfiguration,
  lifecycleSetting,
  needsTags,
  SettingError,
  type Tag,
} from "@kiseki/s3";
import { toTags } from "./convert.ts";
import { lookUp } from "./objects.ts";
import type { CallScope } from "./scope.ts";
import { findSetting } from "./settings.ts";

/** A configuration is decoded once and remembered; so is what is made of it. */
const known = new WeakMap<LifecycleConfiguration, ActiveRules>();

function rulesOf(scope: CallScope, bucket: string): ActiveRules {
  const configuration = findReadable(scope, bucket);
  if (configuration === undefined) return [];
  let rules = known.get(configuration);
  if (rules === undefined) known.set(configuration, (rules = activeRules(configuration)));
  return rules;
}

/** Rules that cannot be read are not applied (the worker says so), and keep nobody from the objects. */
function findReadable(scope: CallScope, bucket: string): LifecycleConfiguration | undefined {
  try {
    return findSetting(scope, bucket, lifecycleSetting);
  } catch (reason) {
    if (reason instanceof SettingError) return undefined;
    throw reason;
  }
}

/** Whether answers about its objects may have to say when they expire. */
export const hasExpirationRules = (scope: CallScope, bucket: string): boolean =>
  rulesOf(scope, bucket).length > 0;

interface ObjectName {
  readonly bucket: string;
  readonly key: Uint8Array;
}
/** What of an object its rules look at. */
interface ObjectState {
  readonly size: number;
  readonly tags: readonly Tag[];
  readonly modified: WallTime;
}

/** When the bucket's rules expire the object, in days of the calendar: what `x-amz-expiration` says. */
export function expirationFor(
  scope: CallScope,
  { bucket, key }: ObjectName,
  { size, tags, modified }: ObjectState,
): { readonly expiration?: Due } {
  const rules = rulesOf(scope, bucket);
  if (rules.length === 0) return {};
  const state = {
    key,
    size,
    tags,
    modified,
    isDeleteMarker: false,
    noncurrentSince: undefined,
    newerNoncurrentCount: 0,
    isOnly: false,
  };
  const expiration = expirationOf(rules, state, calendarDay);
  return expiration === undefined ? {} : { expiration };
}

/** As above, of the current object; its tags are looked for only where a rule asks for them. */
export function currentExpiration(
  scope: CallScope,
  name: ObjectName,
  object: Omit<ObjectState, "tags">,
): { readonly expiration?: Due } {
  const hasTags = needsTags(rulesOf(scope, name.bucket));
  const found = hasTags ? lookUp(scope, name.bucket, name.key) : undefined;
  const tags = found === undefined ? [] : toTags(found.cold.attributes);
  return expirationFor(scope, name, { ...object, tags });
}

/** When the bucket's rules abort the upload. */
export function abortionFor(
  scope: CallScope,
  { bucket, key }: ObjectName,
  initiated: WallTime,
): { readonly abortion?: Due } {
  const rules = rulesOf(scope, bucket);
  const abortion =
    rules.length === 0 ? undefined : abortionOf(rules, { key, initiated }, calendarDay);
  return abortion === undefined ? {} : { abortion };
}
