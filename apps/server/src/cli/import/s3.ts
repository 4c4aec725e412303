/** The S3 calls of an import, on either side. */
import {
  CreateBucketCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { CommandError, exitCode } from "@kiseki/cli";
import { messageOf } from "./export-files.ts";
import type { SettingName } from "./plan-buckets.ts";

export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
}
/** One version of a key, or the key's only one. */
export interface Version {
  readonly key: string;
  /** Undefined in a bucket that never kept versions. */
  readonly id: string | undefined;
  readonly isDeleteMarker: boolean;
  /** Without quotes. */
  readonly etag: string;
  readonly size: number;
}
/** Where the next page begins. */
export interface Marker {
  readonly key: string;
  readonly version: string;
}
export interface Page {
  readonly versions: readonly Version[];
  /** Undefined on the last page. */
  readonly next: Marker | undefined;
}
export type Versioning = "never" | "Enabled" | "Suspended";

const quiet = (): void => undefined;
const pageSize = 1000;
const listingSizeMax = 64 * 1024 * 1024;
const bare = (etag: string | undefined): string => (etag ?? "").replaceAll('"', "");
/** Keys come percent-encoded, so that XML can carry them. */
const decodeKey = (text: string): string => decodeURIComponent(text.replaceAll("+", "%20"));

/** `NoSuchKey` and the like of a refusal; empty for anything else. */
export const codeOf = (reason: unknown): string =>
  reason instanceof S3ServiceException ? reason.name : "";
/** Status of a refusal; 0 for anything else. */
export const statusOf = (reason: unknown): number =>
  reason instanceof S3ServiceException ? (reason.$metadata.httpStatusCode ?? 0) : 0;

/** What either side answered, or did not, as the command tells of it; anything else stays as it is. */
export function sideError(reason: unknown): unknown {
  const status = statusOf(reason);
  const message = messageOf(reason);
  if (status === 401 || status === 403) {
    const advice = "Look at the keys, and at what they may do.";
    return new CommandError(exitCode.authentication, `${codeOf(reason)}: ${message}`, advice);
  }
  if (status > 0) return new CommandError(exitCode.general, `${codeOf(reason)}: ${message}`);
  const isSocket =
    reason instanceof Error && "code" in reason && /^(E[A-Z]+|Conn)/.test(String(reason.code));
  if (!isSocket) return reason;
  return new CommandError(
    exitCode.connection,
    `No S3 answers: ${message}`,
    "Look at --from and --to.",
  );
}

type Body = AsyncIterable<Uint8Array> | Uint8Array;

/** Ids and keys of a listing of versions in its order; the body is put back whole. */
async function noteOrder(response: { body: Body }): Promise<readonly string[]> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const { body } = response;
  for await (const part of body instanceof Uint8Array ? [body] : body) {
    size += part.byteLength;
    if (size > listingSizeMax) throw new Error("a listing is larger than listings are");
    parts.push(part);
  }
  response.body = new Uint8Array(Buffer.concat(parts));
  const text = Buffer.concat(parts).toString("utf8");
  return [...text.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)].map(([, , entry = ""]) => {
    const key = /<Key>([^<]*)<\/Key>/.exec(entry)?.[1] ?? "";
    const id = /<VersionId>([^<]*)<\/VersionId>/.exec(entry)?.[1] ?? "";
    return `${id} ${decodeKey(key)}`;
  });
}

/** One side: MinIO, or the node. */
export class Side implements Disposable {
  readonly client: S3Client;
  readonly #signal: AbortSignal;
  constructor(endpoint: string, credentials: Credentials, signal: AbortSignal) {
    this.#signal = signal;
    this.client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet }, // what goes wrong is thrown too
      credentials: {
        accessKeyId: credentials.accessKey,
        secretAccessKey: credentials.secretKey,
      },
    });
  }
  get options(): { readonly abortSignal: AbortSignal } {
    return { abortSignal: this.#signal };
  }

  async buckets(): Promise<readonly string[]> {
    const { Buckets = [] } = await this.client.send(new ListBucketsCommand({}), this.options);
    return Buckets.map(({ Name = "" }) => Name);
  }
  async hasBucket(bucket: string): Promise<boolean> {
    try {
      await this.client.send(new HeadBucketCommand({ Bucket: bucket }), this.options);
      return true;
    } catch (reason) {
      if (statusOf(reason) === 404) return false;
      throw reason;
    }
  }
  async createBucket(bucket: string, isLockable: boolean): Promise<void> {
    const lock = isLockable ? { ObjectLockEnabledForBucket: true } : {};
    await this.client.send(new CreateBucketCommand({ Bucket: bucket, ...lock }), this.options);
  }
  async versioning(bucket: string): Promise<Versioning> {
    const command = new GetBucketVersioningCommand({ Bucket: bucket });
    return (await this.client.send(command, this.options)).Status ?? "never";
  }
  async isLockable(bucket: string): Promise<boolean> {
    try {
      const command = new GetObjectLockConfigurationCommand({ Bucket: bucket });
      const { ObjectLockConfiguration: lock } = await this.client.send(command, this.options);
      return lock?.ObjectLockEnabled === "Enabled";
    } catch (reason) {
      if (codeOf(reason) === "ObjectLockConfigurationNotFoundError") return false;
      throw reason;
    }
  }

  /** Puts a bucket's setting as its document stands: of all calls PutBucketPolicy alone sends a body as it is. */
  async putSetting(bucket: string, name: SettingName, body: string): Promise<void> {
    const command = new PutBucketPolicyCommand({ Bucket: bucket, Policy: body });
    command.middlewareStack.add(
      (next) => (call) => {
        const request = call.request as { query: Record<string, string> };
        request.query = { [name]: "" };
        return next(call);
      },
      { step: "build", priority: "high", name: "subresource" },
    );
    await this.client.send(command, this.options);
  }

  /** A page of current objects, or of all versions newest first. */
  async list(
    bucket: string,
    isVersioned: boolean,
    from: Marker | undefined,
    prefix = "",
  ): Promise<Page> {
    const place = {
      Bucket: bucket,
      EncodingType: "url",
      MaxKeys: pageSize,
      Prefix: prefix,
    } as const;
    if (!isVersioned) {
      const after = from === undefined ? {} : { StartAfter: from.key };
      const command = new ListObjectsV2Command({ ...place, ...after });
      const { Contents = [], IsTruncated } = await this.client.send(command, this.options);
      const versions = Contents.map(({ Key = "", ETag, Size = 0 }): Version => {
        return {
          key: decodeKey(Key),
          id: undefined,
          isDeleteMarker: false,
          etag: bare(ETag),
          size: Size,
        };
      });
      const last = versions.at(-1);
      const hasMore = IsTruncated === true && last !== undefined;
      return { versions, next: hasMore ? { key: last.key, version: "" } : undefined };
    }
    return this.#listVersions(place, from);
  }

  async #listVersions(
    place: { readonly Bucket: string; readonly EncodingType: "url"; readonly MaxKeys: number },
    from: Marker | undefined,
  ): Promise<Page> {
    const version =
      from === undefined || from.version === "" ? {} : { VersionIdMarker: from.version };
    const after = from === undefined ? {} : { KeyMarker: from.key, ...version };
    const order: string[] = [];
    const versions: Version[] = [];
    const command = new ListObjectVersionsCommand({ ...place, ...after });
    // The SDK gives versions and markers apart; what stands where is in the document's order alone.
    command.middlewareStack.add(
      (go) => async (call) => {
        const result = await go(call);
        order.push(...(await noteOrder(result.response as { body: Body })));
        return result;
      },
      { step: "deserialize", priority: "low", name: "order" },
    );
    const answer = await this.client.send(command, this.options);
    for (const { Key = "", VersionId, ETag, Size = 0 } of answer.Versions ?? []) {
      const key = decodeKey(Key);
      versions.push({ key, id: VersionId, isDeleteMarker: false, etag: bare(ETag), size: Size });
    }
    for (const { Key = "", VersionId } of answer.DeleteMarkers ?? []) {
      versions.push({
        key: decodeKey(Key),
        id: VersionId,
        isDeleteMarker: true,
        etag: "",
        size: 0,
      });
    }
    const places = new Map(order.map((name, at) => [name, at]));
    const placeOf = ({ key, id = "" }: Version): number => places.get(`${id} ${key}`) ?? 0;
    versions.sort((a, b) => placeOf(a) - placeOf(b));
    const next =
      answer.IsTruncated === true
        ? { key: decodeKey(answer.NextKeyMarker ?? ""), version: answer.NextVersionIdMarker ?? "" }
        : undefined;
    return { versions, next };
  }

  [Symbol.dispose](): void {
    this.client.destroy();
  }
}
