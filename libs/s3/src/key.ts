/** The one way a key comes in, whether from a URL, a copy source or a document. */
import { toUtf8 } from "@kiseki/base";
import { percentDecode } from "@kiseki/http";
import type { CopySource } from "./call.ts";
import { isBucketName } from "./bucket-name.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";

/** Bytes of UTF-8; AWS's limit. */
export const keySizeMax = 1024;

/**
 * A key in its canonical form: the UTF-8 bytes of `text`, nothing normalised, `//`, `.` and NUL
 * kept. Refuses the empty key and more than 1024 bytes. `text` is well-formed (no lone surrogate).
 */
export function canonicalKey(text: string): Uint8Array | S3Fault {
  if (text.length === 0) return s3Fault("UserKeyMustBeSpecified", "The key must not be empty.");
  // A character is at most three bytes per UTF-16 unit and at least one: no need to encode more.
  const key = text.length > keySizeMax ? undefined : toUtf8(text);
  if (key === undefined || key.byteLength > keySizeMax) {
    const size = key?.byteLength ?? toUtf8(text).byteLength;
    return s3Fault("KeyTooLongError", undefined, [
      ["Size", String(size)],
      ["MaxSizeAllowed", String(keySizeMax)],
    ]);
  }
  return key;
}

/** A key as the path of a URL spells it: percent escapes undone, `+` a plus. */
export function keyFromPath(raw: string): Uint8Array | S3Fault {
  const text = percentDecode(raw);
  return text === undefined ? uriFault() : canonicalKey(text);
}

/** S3's words for a path that is not escaped UTF-8; s3-tests looks at the sentence. */
export function uriFault(): S3Fault {
  return s3Fault("InvalidURI", "Couldn't parse the specified URI.");
}

/**
 * `x-amz-copy-source`: `[/]bucket/key[?versionId=id]`, percent-escaped. The cut between key and
 * version is made before unescaping, so `%3F` belongs to the key.
 */
export function parseCopySource(
  header: string,
): Pick<CopySource, "bucket" | "key" | "versionId"> | S3Fault {
  const refuse = (why: string) => invalidArgument("x-amz-copy-source", header.slice(0, 256), why);
  if (header.startsWith("arn:") || header.startsWith("/arn:")) {
    return s3Fault("NotImplemented", "Copying by access point is not implemented.");
  }
  const mark = header.lastIndexOf("?versionId=");
  const version = mark < 0 ? undefined : header.slice(mark + "?versionId=".length);
  const versionId = version === undefined ? undefined : percentDecode(version);
  if (version !== undefined && (versionId ?? "") === "") {
    return refuse("Version id cannot be the empty string");
  }
  const path = percentDecode(mark < 0 ? header : header.slice(0, mark));
  if (path === undefined) return refuse("Copy Source must be escaped UTF-8");
  const relative = path.startsWith("/") ? path.slice(1) : path;
  const slash = relative.indexOf("/");
  if (slash <= 0 || slash === relative.length - 1) {
    return refuse("Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
  }
  const bucket = relative.slice(0, slash);
  if (!isBucketName(bucket))
    return s3Fault("InvalidBucketName", undefined, [["BucketName", bucket]]);
  const key = canonicalKey(relative.slice(slash + 1));
  if (isFault(key)) return key;
  return { bucket, key, versionId };
}
