/** One version from MinIO to the node, and the proof that it arrived. */
import { createHash, type Hash } from "node:crypto";
import { Readable, Transform } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { MiB } from "@kiseki/base";
import type { Side, Version } from "./s3.ts";

export interface Sides {
  readonly from: Side;
  readonly to: Side;
}
export interface CopyOptions {
  /** Whether a key that is there already may get another content. */
  readonly isOverwriting: boolean;
  /** Whether every copy is read back whole. */
  readonly isReadBack: boolean;
}

/** Bodies up to this size are held whole, so that the SDK can send them again. */
const wholeSizeMax = 8 * MiB;

/** What arrived is not what was sent, or cannot be known to be. */
export class CopyError extends Error {
  override readonly name = "CopyError";
}

const quoted = (etag: string): string => `"${etag}"`;
const bare = (etag: string | undefined): string => (etag ?? "").replaceAll('"', "");
/** Number of parts, which S3 puts behind the hash of a multipart object; 0 for others. */
const partCountOf = (etag: string): number =>
  Number(/^[0-9a-f]{32}-(\d{1,5})$/.exec(etag)?.[1] ?? 0);

/** Of what was read of an original. */
class Hashes {
  readonly sha256: Hash = createHash("sha256");
  /** One for each part. */
  readonly #parts: Hash[] = [];
  begin(): (bytes: Uint8Array) => void {
    const md5 = createHash("md5");
    this.#parts.push(md5);
    return (bytes) => {
      md5.update(bytes);
      this.sha256.update(bytes);
    };
  }
  /** As S3 makes it of a body, or of parts. */
  etag(hasParts: boolean): string {
    const digests = this.#parts.map((part) => part.digest());
    if (!hasParts) return digests[0]?.toString("hex") ?? "";
    return `${createHash("md5").update(Buffer.concat(digests)).digest("hex")}-${digests.length}`;
  }
}

/** Headers of the original that its copy gets. */
async function attributesOf({ from }: Sides, place: Place, head: HeadObjectCommandOutput) {
  const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = head;
  const isRetained = mode !== undefined && until !== undefined && until.getTime() > Date.now();
  let tagging = "";
  if ((head.TagCount ?? 0) > 0) {
    const { TagSet = [] } = await from.client.send(
      new GetObjectTaggingCommand(place),
      from.options,
    );
    const pairs = TagSet.map(({ Key = "", Value = "" }): [string, string] => [Key, Value]);
    tagging = new URLSearchParams(pairs).toString();
  }
  return {
    ContentType: head.ContentType,
    CacheControl: head.CacheControl,
    ContentDisposition: head.ContentDisposition,
    ContentEncoding: head.ContentEncoding,
    ContentLanguage: head.ContentLanguage,
    WebsiteRedirectLocation: head.WebsiteRedirectLocation,
    Metadata: head.Metadata,
    ...(head.ExpiresString === undefined ? {} : { Expires: new Date(head.ExpiresString) }),
    ...(tagging === "" ? {} : { Tagging: tagging }),
    ...(isRetained ? { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } : {}),
    ...(head.ObjectLockLegalHoldStatus === "ON"
      ? { ObjectLockLegalHoldStatus: "ON" as const }
      : {}),
  };
}

interface Place {
  readonly Bucket: string;
  readonly Key: string;
  readonly VersionId?: string;
}
const placeOf = (bucket: string, { key, id }: Version): Place => ({
  Bucket: bucket,
  Key: key,
  ...(id === undefined ? {} : { VersionId: id }),
});

/** A body with its length, hashed as it passes. */
async function bodyOf(answer: GetObjectCommandOutput, hashes: Hashes) {
  const size = answer.ContentLength ?? 0;
  const note = hashes.begin();
  if (!(answer.Body instanceof Readable)) throw new CopyError("the answer has no body");
  if (size <= wholeSizeMax) {
    const bytes = await answer.Body.transformToByteArray();
    if (bytes.byteLength !== size) throw new CopyError("the original was cut short");
    note(bytes);
    return { Body: bytes, ContentLength: size };
  }
  const passing = new Transform({
    transform(part: Uint8Array, _encoding, done) {
      note(part);
      done(null, part);
    },
  });
  answer.Body.on("error", (reason: Error) => passing.destroy(reason));
  return { Body: answer.Body.pipe(passing), ContentLength: size };
}

/** Copies one version and checks it. @throws {CopyError} and what the SDK throws. */
export async function copyVersion(
  sides: Sides,
  bucket: string,
  version: Version,
  options: CopyOptions,
): Promise<void> {
  const { from, to } = sides;
  if (version.isDeleteMarker) {
    const place = { Bucket: bucket, Key: version.key };
    await to.client.send(new DeleteObjectCommand(place), to.options);
    return;
  }
  const place = placeOf(bucket, version);
  const head = await from.client.send(new HeadObjectCommand(place), from.options);
  if (bare(head.ETag) !== version.etag) throw new CopyError("it was changed while it was copied");
  const attributes = await attributesOf(sides, place, head);
  const isNew = options.isOverwriting || version.id !== undefined ? {} : { IfNoneMatch: "*" };
  const hashes = new Hashes();
  const request = { Bucket: bucket, Key: version.key, ...attributes };
  const copy = { sides, place, version, hashes };
  const arrived =
    partCountOf(version.etag) > 0
      ? await copyParts(copy, request, isNew)
      : await copyWhole(copy, { ...request, ...isNew });
  const isSealed = head.ServerSideEncryption === "aws:kms"; // its ETag is no hash of the content
  if (!isSealed && hashes.etag(partCountOf(version.etag) > 0) !== version.etag) {
    throw new CopyError("what was read of it is not what its ETag says");
  }
  await check(sides, request, version, {
    id: arrived.id,
    sha256: hashes.sha256.digest("hex"),
    isReadBack: options.isReadBack,
  });
}

interface Copy {
  readonly sides: Sides;
  readonly place: Place;
  readonly version: Version;
  readonly hashes: Hashes;
}
interface Arrived {
  readonly id: string | undefined;
}
type Request = { readonly Bucket: string; readonly Key: string };

async function copyWhole(copy: Copy, request: Request): Promise<Arrived> {
  const { from, to } = copy.sides;
  const source = { ...copy.place, IfMatch: quoted(copy.version.etag) };
  const answer = await from.client.send(new GetObjectCommand(source), from.options);
  const body = await bodyOf(answer, copy.hashes);
  const put = await to.client.send(new PutObjectCommand({ ...request, ...body }), to.options);
  return { id: put.VersionId };
}

/** Part by part as the original was made, so that its ETag comes out the same. */
async function copyParts(copy: Copy, request: Request, isNew: object): Promise<Arrived> {
  const { from, to } = copy.sides;
  const { Bucket, Key } = request;
  const begun = await to.client.send(new CreateMultipartUploadCommand(request), to.options);
  const upload = { Bucket, Key, UploadId: begun.UploadId };
  try {
    const Parts = [];
    for (let PartNumber = 1; PartNumber <= partCountOf(copy.version.etag); PartNumber += 1) {
      const source = { ...copy.place, PartNumber, IfMatch: quoted(copy.version.etag) };
      const answer = await from.client.send(new GetObjectCommand(source), from.options);
      const body = await bodyOf(answer, copy.hashes);
      const part = { ...upload, PartNumber, ...body };
      const { ETag } = await to.client.send(new UploadPartCommand(part), to.options);
      Parts.push({ ETag, PartNumber });
    }
    const whole = { ...upload, MultipartUpload: { Parts }, ...isNew };
    const done = await to.client.send(new CompleteMultipartUploadCommand(whole), to.options);
    return { id: done.VersionId };
  } catch (reason) {
    await to.client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined); // the reason matters more
    throw reason;
  }
}

/** Asks the node for what it has now: size and ETag, and the content where those say too little. */
async function check(
  { to }: Sides,
  { Bucket, Key }: Request,
  version: Version,
  wanted: Arrived & { readonly sha256: string; readonly isReadBack: boolean },
): Promise<void> {
  const place = { Bucket, Key, ...(wanted.id === undefined ? {} : { VersionId: wanted.id }) };
  const head = await to.client.send(new HeadObjectCommand(place), to.options);
  if (head.ContentLength !== version.size) {
    throw new CopyError(`the copy has ${head.ContentLength} bytes, not ${version.size}`);
  }
  if (bare(head.ETag) === version.etag && !wanted.isReadBack) return;
  if ((await hashOf(to, place)) !== wanted.sha256)
    throw new CopyError("the copy's content differs");
}

async function hashOf(side: Side, place: Place): Promise<string> {
  const answer = await side.client.send(new GetObjectCommand(place), side.options);
  if (!(answer.Body instanceof Readable)) throw new CopyError("the answer has no body");
  const hash = createHash("sha256");
  for await (const part of answer.Body) hash.update(part as Uint8Array);
  return hash.digest("hex");
}

/** Whether two versions of a size and of different ETags are the same: where a KMS has sealed one of them they may be. */
export async function isSameContent(
  { from, to }: Sides,
  bucket: string,
  version: Version,
  there: Version,
): Promise<boolean> {
  const places = [placeOf(bucket, version), placeOf(bucket, there)] as const;
  const heads = await Promise.all([
    from.client.send(new HeadObjectCommand(places[0]), from.options),
    to.client.send(new HeadObjectCommand(places[1]), to.options),
  ]);
  if (heads.every((head) => head.ServerSideEncryption !== "aws:kms")) return false;
  const hashes = await Promise.all([hashOf(from, places[0]), hashOf(to, places[1])]);
  return hashes[0] === hashes[1];
}
