import { fromHex, toHex } from "@kiseki/base";
import { type Found, type FoundObject, lookupObject, type VersionRef } from "@kiseki/composition";
import { formatHttpDate, type S3Fault } from "@kiseki/s3";
import { fail, refusalFailure } from "./failure.ts";
import { type CallScope, findBucket } from "./scope.ts";

/** A version as the map has it. */
interface Numbered {
  readonly version: bigint;
  readonly isNull: boolean;
}
/** What a call names. */
interface Named {
  readonly bucket: string;
  readonly key: Uint8Array;
  readonly versionId: string | undefined;
}

/** Its id as clients see it. */
export function versionIdText(scope: CallScope, { version, isNull }: Numbered): string {
  return isNull ? "null" : toHex(scope.tenant.keys("read").versionId(version));
}

/** What an answer about this version says; nothing of a bucket that never had versions. */
export function shownVersion(
  scope: CallScope,
  bucket: string,
  entry: Numbered,
): string | undefined {
  const { versioning } = findBucket(scope, bucket);
  return entry.isNull && versioning === "off" ? undefined : versionIdText(scope, entry);
}
/** What the answer to a write says: nothing of a version called `null`. */
export function madeVersion(scope: CallScope, answer: Numbered): string | undefined {
  return answer.isNull ? undefined : versionIdText(scope, answer);
}

/** The version that an id names; `undefined`: no version has such an id. */
export function openVersionId(
  scope: Pick<CallScope, "tenant">,
  text: string,
): VersionRef | undefined {
  if (text === "null") return "null";
  if (!/^[0-9a-f]{32}$/.test(text)) return undefined;
  return scope.tenant.keys("read").versionOf(fromHex(text));
}
/** As `openVersionId`; none where the client named none. @throws {GatewayFailure} `InvalidArgument`. */
export function parseVersion(
  scope: CallScope,
  text: string | undefined,
  argument = "versionId",
): { readonly version?: VersionRef } {
  if (text === undefined) return {};
  const version = openVersionId(scope, text);
  if (version !== undefined) return { version };
  throw fail("InvalidArgument", "Invalid version id specified", [
    ["ArgumentName", argument],
    ["ArgumentValue", text.slice(0, 256)],
  ]);
}

/** What the map says of the version, or of the key. Enter the readers before, if content will be read. */
export function lookUpVersion(scope: CallScope, call: Named): Found {
  const namespace = findBucket(scope, call.bucket).id;
  const version = parseVersion(scope, call.versionId);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  return scope.tenant.store.view((map) =>
    lookupObject(map, dirKeys, { namespace, key: call.key, ...version }),
  );
}

const noSuchVersion = ({ key, versionId = "" }: Named): S3Fault["details"] => [
  ["Key", Buffer.from(key).toString("utf8")],
  ["VersionId", versionId],
];

/**
 * The object that a call on an object is about.
 * @throws {GatewayFailure} `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` (a delete marker asked for by its id).
 */
export function findVersion(scope: CallScope, call: Named): FoundObject {
  return expectObject(scope, call, lookUpVersion(scope, call));
}

/** @throws what `findVersion` throws. */
export function expectObject(scope: CallScope, call: Named, found: Found): FoundObject {
  if (found.kind === "object") return found;
  if (found.kind === "refused") {
    if (found.code === "no_such_version") {
      throw fail("NoSuchVersion", undefined, noSuchVersion(call));
    }
    throw refusalFailure(found.code === "invalid_key" ? "no_such_key" : found.code);
  }
  const headers = [
    ["x-amz-delete-marker", "true"],
    ["x-amz-version-id", versionIdText(scope, found.entry)],
  ] as const;
  if (call.versionId === undefined) throw fail("NoSuchKey", undefined, [], headers);
  throw fail(
    "MethodNotAllowed",
    undefined,
    [
      ["Method", scope.request.head.method],
      ["ResourceType", "DeleteMarker"],
    ],
    [...headers, ["Allow", "DELETE"], ["Last-Modified", formatHttpDate(found.entry.modified)]],
  );
}

/** The object that a copy reads. @throws {GatewayFailure} `NoSuchKey`, `NoSuchVersion`, `InvalidRequest`. */
export function findSource(scope: CallScope, source: Named): FoundObject {
  const found = lookUpVersion(scope, source);
  if (found.kind === "object") return found;
  if (found.kind === "refused" && found.code === "no_such_version") {
    throw fail("NoSuchVersion", undefined, noSuchVersion(source));
  }
  if (found.kind === "delete_marker" && source.versionId !== undefined) {
    throw fail(
      "InvalidRequest",
      "The source of a copy request may not specifically refer to a delete marker by version id.",
    );
  }
  throw fail("NoSuchKey", undefined, [["Key", Buffer.from(source.key).toString("utf8")]]);
}
