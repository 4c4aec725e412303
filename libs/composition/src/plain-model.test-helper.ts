import type { NamespaceSetting } from "@kiseki/format";
import type { VersionRef } from "./operation.ts";

/** The slow, obvious store that the machine is compared with: maps, arrays and sorting. */
export interface PlainVersion {
  readonly version: bigint;
  readonly isNull: boolean;
  readonly isMarker: boolean;
  readonly etag: string;
  readonly size: number;
  /** Chunk numbers of its extents, 100 bytes each; empty for small and empty content. */
  readonly chunks: readonly number[];
  readonly isSmall: boolean;
  /** Tags and ACL as `set_object_extras` left them. */
  readonly extras?: { readonly tags?: string; readonly acl?: string };
}
export interface PlainUpload {
  readonly namespace: string;
  readonly key: string;
  readonly parts: Map<number, { chunks: readonly number[]; md5: Uint8Array; isSmall: boolean }>;
}
export interface PlainNamespace {
  versioning: "off" | "enabled" | "suspended";
  /** By key in latin1; newest first, never empty. */
  readonly keys: Map<string, PlainVersion[]>;
  readonly settings: Map<NamespaceSetting, string>;
}
export const plainNamespace = (): PlainNamespace => ({
  versioning: "off",
  keys: new Map(),
  settings: new Map(),
});

export const keyBytes = (key: string): Uint8Array =>
  Uint8Array.from(key, (character) => character.charCodeAt(0));
export const keyString = (key: Uint8Array): string => String.fromCharCode(...key);
/** Latin1 text of the UTF-8 bytes. */
export const utf8String = (text: string): string => keyString(new TextEncoder().encode(text));

export function plainPut(namespace: PlainNamespace, key: string, made: PlainVersion): void {
  const before = namespace.keys.get(key) ?? [];
  const kept = namespace.versioning === "enabled" ? before : before.filter(({ isNull }) => !isNull);
  namespace.keys.set(key, [made, ...kept]);
}
export function plainDelete(namespace: PlainNamespace, key: string, version: VersionRef): boolean {
  const before = namespace.keys.get(key) ?? [];
  const kept = before.filter((v) => (version === "null" ? !v.isNull : v.version !== version));
  if (kept.length === 0) namespace.keys.delete(key);
  else namespace.keys.set(key, kept);
  return kept.length < before.length;
}
export function plainCurrent(namespace: PlainNamespace, key: string): PlainVersion | undefined {
  const newest = namespace.keys.get(key)?.[0];
  return newest?.isMarker === true ? undefined : newest;
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
/** Keys (or key and rank) rolled up, in order, above `after`. */
export function plainList(
  keys: readonly string[],
  prefix: string,
  delimiter: string,
  after: string | undefined,
): { readonly kind: "key" | "prefix"; readonly text: string }[] {
  const items = new Map<string, "key" | "prefix">();
  for (const key of keys) {
    if (!key.startsWith(prefix)) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (at < 0) items.set(`k${key}`, "key");
    else items.set(`p${key.slice(0, at + delimiter.length)}`, "prefix");
  }
  return [...items]
    .map(([text, kind]) => ({ kind, text: text.slice(1) }))
    .filter(({ text }) => after === undefined || text > after)
    .sort((a, b) => compareText(a.text, b.text));
}
