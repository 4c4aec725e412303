/** Settings whose document is described by a shape: read, checked, kept and written by the one description. */
import { isFault, s3Fault, type S3Fault } from "../errors.ts";
import { readXml } from "../xml-read.ts";
import { s3Namespace, writeXml } from "../xml-write.ts";
import { type BucketSetting, defineSetting, type SettingParts } from "./bucket-setting.ts";
import { misfit, type Shape } from "./shape.ts";

/** A document's root element and what is in it. */
export interface DocumentKind<T> {
  readonly root: string;
  readonly shape: Shape<T>;
  /** What S3 refuses beyond the schema. */
  readonly validate: (value: T) => S3Fault | undefined;
}

/** Bytes to an opening bracket at least: no honest document has more elements than that. */
const elementSizeMin = 4;

/** A request's document, checked in full. `source` was bounded by the caller. */
export function parseDocument<T>(kind: DocumentKind<T>, source: Uint8Array): T | S3Fault {
  if (source.byteLength === 0) return s3Fault("MissingRequestBodyError");
  const root = readXml(source, Math.ceil(source.byteLength / elementSizeMin));
  const value = root?.name === kind.root ? kind.shape.read(root) : misfit;
  if (value === misfit) return s3Fault("MalformedXML");
  return kind.validate(value) ?? value;
}

export function formatDocument<T>({ root, shape }: DocumentKind<T>, value: T): Uint8Array {
  const content = shape.write(value);
  return writeXml(root, s3Namespace, typeof content === "object" ? content : String(content));
}

interface DocumentSettingParts<T extends object>
  extends DocumentKind<T>, Omit<SettingParts<T>, "parse" | "format" | "read" | "contentType"> {
  /** Adds what a client may leave out. */
  readonly complete?: (value: T) => T;
}

/** What is kept must be what a client could put: nothing else is acted on. */
export function defineDocumentSetting<T extends object>(
  parts: DocumentSettingParts<T>,
): BucketSetting<T> {
  const { root, shape, validate, complete, ...rest } = parts;
  const kind = { root, shape, validate };
  return defineSetting<T>({
    ...rest,
    parse(document) {
      const value = parseDocument(kind, document);
      if (isFault(value) || complete === undefined) return value;
      return complete(value as T);
    },
    format: (value) => formatDocument(kind, value),
    read({ version: _, ...json }) {
      const value = shape.check(json);
      return value === misfit || validate(value) !== undefined ? undefined : value;
    },
  });
}
