/** The three documents that requests carry, from bytes to records. Unknown elements are refused as S3's schema does. */
import type { Checksum } from "./attributes.ts";
import type { DeleteConditions } from "./attributes.ts";
import { parseChecksumLabel, checksumSizes, parseBase64 } from "./checksum.ts";
import { parseDeleteConditions } from "./conditions.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { canonicalKey } from "./key.ts";
import { partCountMax } from "./object-calls.ts";
import { leafText, readRecord } from "./records.ts";
import { readXml, type XmlElement } from "./xml-read.ts";

/** Keys of one DeleteObjects; AWS's limit. */
const deleteCountMax = 1000;
const regionSizeMax = 64;

const malformed = (message?: string): S3Fault => s3Fault("MalformedXML", message);

/** CreateBucketConfiguration's constraint; an empty body and an empty constraint are none. */
export function parseCreateBucketBody(
  source: Uint8Array,
): { readonly locationConstraint: string | undefined } | S3Fault {
  if (source.byteLength === 0) return { locationConstraint: undefined };
  const root = readXml(source, 64);
  if (root?.name !== "CreateBucketConfiguration") return malformed();
  const record = readRecord(root, ["LocationConstraint", "Location", "Bucket", "Tags"]);
  if (record === undefined) return malformed();
  if (record.has("Location") || record.has("Bucket") || record.has("Tags")) {
    return s3Fault("NotImplemented", "Directory buckets and bucket tags are not implemented.");
  }
  const constraint = leafText(record.get("LocationConstraint"));
  if (record.has("LocationConstraint") && constraint === undefined) return malformed();
  return { locationConstraint: constraint === "" ? undefined : constraint };
}

/**
 * Whether a bucket may be created here under that constraint. Where no region is configured any
 * name that could be one is taken; `EU` is S3's old name of eu-west-1.
 */
export function checkLocation(
  constraint: string | undefined,
  region: string | undefined,
): S3Fault | undefined {
  if (constraint === undefined) return undefined;
  const wanted = constraint === "EU" ? "eu-west-1" : constraint;
  if (wanted.length > regionSizeMax || !/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(wanted)) {
    return s3Fault("InvalidLocationConstraint", undefined, [
      ["LocationConstraint", constraint.slice(0, regionSizeMax)],
    ]);
  }
  if (region === undefined || wanted === region) return undefined;
  return s3Fault(
    "IllegalLocationConstraintException",
    `The ${constraint} location constraint is incompatible for the region specific endpoint this request was sent to.`,
  );
}

/** What a VersioningConfiguration switches to. */
export function parseVersioningBody(
  source: Uint8Array,
): { readonly versioning: "enabled" | "suspended" } | S3Fault {
  const root = source.byteLength === 0 ? undefined : readXml(source, 16);
  if (root?.name !== "VersioningConfiguration") return malformed();
  const record = readRecord(root, ["Status", "MfaDelete"]);
  if (record === undefined) return malformed();
  const mfa = leafText(record.get("MfaDelete"))?.trim() ?? "Disabled";
  if (mfa === "Enabled") return s3Fault("NotImplemented", "MFA delete is not implemented.");
  if (mfa !== "Disabled") return malformed();
  if (!record.has("Status")) return s3Fault("IllegalVersioningConfigurationException");
  const status = leafText(record.get("Status"))?.trim();
  if (status === "Enabled") return { versioning: "enabled" };
  return status === "Suspended" ? { versioning: "suspended" } : malformed();
}

/** One key of a DeleteObjects. A key that is refused by itself fails alone, as in S3. */
export interface DeleteEntry {
  readonly key: Uint8Array;
  readonly versionId: string | undefined;
  readonly conditions: DeleteConditions;
}
export interface DeleteBody {
  readonly isQuiet: boolean;
  readonly entries: readonly DeleteEntry[];
}

/** The Delete document: 1 to 1000 objects. */
export function parseDeleteBody(source: Uint8Array): DeleteBody | S3Fault {
  if (source.byteLength === 0) return s3Fault("MissingRequestBodyError");
  const root = readXml(source, deleteCountMax * 12 + 64);
  if (root?.name !== "Delete" || root.text.trim() !== "") return malformed();
  let isQuiet = false;
  const entries: DeleteEntry[] = [];
  for (const child of root.children) {
    if (child.name === "Quiet") {
      const text = leafText(child)?.trim();
      if (text !== "true" && text !== "false") return malformed();
      isQuiet = text === "true";
    } else if (child.name === "Object" && entries.length < deleteCountMax) {
      const entry = parseDeleteEntry(child);
      if (isFault(entry)) return entry;
      entries.push(entry);
    } else {
      return malformed();
    }
  }
  return entries.length === 0 ? malformed() : { isQuiet, entries };
}

function parseDeleteEntry(element: XmlElement): DeleteEntry | S3Fault {
  const record = readRecord(element, ["Key", "VersionId", "ETag", "LastModifiedTime", "Size"]);
  const text = leafText(record?.get("Key"));
  if (record === undefined || text === undefined) return malformed();
  const key = canonicalKey(text);
  if (isFault(key)) return text === "" ? malformed() : key;
  const version = leafText(record.get("VersionId"));
  const etag = leafText(record.get("ETag"));
  const conditions = parseDeleteConditions({
    etag,
    size: leafText(record.get("Size"))?.trim(),
    modified: leafText(record.get("LastModifiedTime")),
  });
  if (isFault(conditions)) return malformed();
  return { key, versionId: version === "" ? undefined : version, conditions };
}

/** One part that CompleteMultipartUpload names. */
export interface CompletePart {
  /** In `[1, 10000]`, ascending. */
  readonly partNumber: number;
  /** Without quotes. */
  readonly etag: string;
  readonly checksum: Checksum | undefined;
}

const partFields = [
  "PartNumber",
  "ETag",
  "ChecksumCRC32",
  "ChecksumCRC32C",
  "ChecksumCRC64NVME",
  "ChecksumSHA1",
  "ChecksumSHA256",
] as const;

/** The CompleteMultipartUpload document: 1 to 10,000 parts in ascending order, gaps allowed. */
export function parseCompleteBody(source: Uint8Array): readonly CompletePart[] | S3Fault {
  const root = readXml(source, partCountMax * 2 * (partFields.length + 1) + 64);
  if (root === undefined || root.text.trim() !== "" || root.children.length > partCountMax) {
    return malformed();
  }
  if (root.name !== "CompleteMultipartUpload" && root.name !== "CompletedMultipartUpload") {
    return malformed();
  }
  const parts: CompletePart[] = [];
  for (const child of root.children) {
    const part = child.name === "Part" ? parsePart(child) : malformed();
    if (isFault(part)) return part;
    const before = parts.at(-1);
    if (before !== undefined && part.partNumber <= before.partNumber) {
      return s3Fault("InvalidPartOrder");
    }
    parts.push(part);
  }
  return parts.length === 0 ? malformed() : parts;
}

function parsePart(element: XmlElement): CompletePart | S3Fault {
  const record = readRecord(element, partFields);
  const number = leafText(record?.get("PartNumber"))?.trim();
  const etag = leafText(record?.get("ETag"))?.trim();
  if (record === undefined || number === undefined || etag === undefined) return malformed();
  if (!/^[0-9]{1,9}$/.test(number)) return malformed();
  const partNumber = Number(number);
  if (partNumber < 1 || partNumber > partCountMax) {
    const why = "PartNumber must be an integer between 1 and 10000, inclusive";
    return invalidArgument("PartNumber", number, why);
  }
  const isQuoted = etag.length >= 2 && etag.startsWith('"') && etag.endsWith('"');
  const bare = isQuoted ? etag.slice(1, -1) : etag;
  const checksum = parsePartChecksum(record);
  if (isFault(checksum)) return checksum;
  return { partNumber, etag: bare, checksum };
}

function parsePartChecksum(
  record: ReadonlyMap<string, XmlElement>,
): Checksum | undefined | S3Fault {
  let found: Checksum | undefined;
  for (const [name, element] of record) {
    if (!name.startsWith("Checksum")) continue;
    const algorithm = parseChecksumLabel(name.slice("Checksum".length));
    const text = leafText(element)?.trim();
    if (algorithm === undefined || text === undefined || found !== undefined) return malformed();
    const value = parseBase64(text, checksumSizes[algorithm]);
    if (value === undefined) return s3Fault("InvalidPart");
    found = { algorithm, value };
  }
  return found;
}
