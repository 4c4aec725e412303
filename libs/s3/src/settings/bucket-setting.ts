/** What a setting of a bucket is made of: its document, its configuration, and how that is kept. */
import { assert, fromUtf8, toUtf8 } from "@kiseki/base";
import type { NamespaceSetting } from "@kiseki/format";
import { isFault, s3Fault, type S3ErrorCode, type S3Fault } from "../errors.ts";

/** Stored bytes that are no configuration this program knows: damage, or of a newer one. Never a client's fault. */
export class SettingError extends Error {
  override readonly name = "SettingError";
  constructor(stored: NamespaceSetting) {
    super(`Cannot read the bucket's setting ${stored}`);
  }
}

/** One setting, as its file in this folder describes it. `Config` is a plain JSON object. */
export interface SettingParts<Config extends object> {
  /** The query parameter that names it, such as `cors`. */
  readonly subresource: string;
  /** The row that keeps it. */
  readonly stored: NamespaceSetting;
  readonly documentSizeMax: number;
  /** AWS has a DELETE of it. */
  readonly isRemovable: boolean;
  /** What GET answers where nothing is set: an error, or what AWS gives a new bucket. */
  readonly unset: S3ErrorCode | { readonly config: Config };
  /** Status of a PUT that was done. */
  readonly putStatus?: 200 | 204;
  readonly contentType?: string;
  /** Of a request's document, checked in full. */
  readonly parse: (document: Uint8Array) => Config | S3Fault;
  readonly format: (config: Config) => Uint8Array;
  /** Of parsed JSON of ours with its `version` (1 unless raised); `undefined`: it is none. */
  readonly read: (json: Readonly<Record<string, unknown>>) => Config | undefined;
}

/** A setting for those who only move it between requests and rows. */
export interface BucketSetting<Config> extends Omit<
  SettingParts<object>,
  "unset" | "parse" | "format" | "read"
> {
  /** The bytes to keep of a request's document. */
  readonly store: (document: Uint8Array) => Uint8Array | S3Fault;
  /** The document to answer with; `undefined`: nothing is set. @throws {SettingError} */
  readonly show: (kept: Uint8Array | undefined) => Uint8Array | S3Fault;
  /** @throws {SettingError} */
  readonly decode: (kept: Uint8Array) => Config;
}

/** UTF-8 JSON with a `version`, as all settings are kept. */
export function encodeConfig(config: object, version = 1): Uint8Array {
  return toUtf8(JSON.stringify({ version, ...config }));
}

function parseJson(kept: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const text = fromUtf8(kept);
  if (text === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && "version" in json
      ? (json as Record<string, unknown>)
      : undefined;
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined;
    throw reason;
  }
}

export function defineSetting<Config extends object>(
  parts: SettingParts<Config>,
): BucketSetting<Config> {
  const { unset, parse, format, read, ...rest } = parts;
  const decode = (kept: Uint8Array): Config => {
    const json = parseJson(kept);
    const config = json?.["version"] === 1 ? read(json) : undefined;
    if (config === undefined) throw new SettingError(parts.stored);
    return config;
  };
  return {
    ...rest,
    decode,
    store(document) {
      const config = parse(document);
      if (isFault(config)) return config;
      const kept = encodeConfig(config as Config);
      assert(read(parseJson(kept)!) !== undefined, "what is kept can be read");
      return kept;
    },
    show(kept) {
      if (kept !== undefined) return format(decode(kept));
      return typeof unset === "string" ? s3Fault(unset) : format(unset.config);
    },
  };
}
