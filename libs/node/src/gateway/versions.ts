import { fromHex, idText, toHex } from "@kiseki/base";
import {
  type Found,
  type FoundObject,
  lookupObject,
  readContent,
  type VersionRef,
} from "@kiseki/composition";
import { type MapReader, segmentSize } from "@kiseki/ports";
import { formatHttpDate, type KeptAnswer, type ObjectView, type S3Fault } from "@kiseki/s3";
import { type ContentRead, planPage } from "../object/read-content.ts";
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

/** What the map says of a version that is about to be read, and what others made of it. */
export interface Readable {
  readonly found: FoundObject;
  /** Of content that one read opens. */
  readonly plan: readonly ContentRead[] | undefined;
  /** Of what is under the keys that most are under. */
  readonly made: KeptAnswer & { view?: ObjectView };
}

/**
 * As `findVersion`, of an object that is about to be read; remembered until a row of it changes. Enter the readers before.
 * @throws what `findVersion` throws.
 */
export function findReadable(scope: CallScope, call: Named): Readable {
  const namespace = findBucket(scope, call.bucket).id;
  const version = parseVersion(scope, call.versionId);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const { key, versionId = "" } = call;
  const name = `${idText(namespace)}${versionId}/${toHex(key)}`;
  const known = scope.tenant.store.recall(name, (map) => {
    const found = lookupObject(map, dirKeys, { namespace, key, ...version });
    return { found, plan: planFound(map, found), made: {} };
  });
  return known.found.kind === "object"
    ? (known as Readable)
    : { ...known, found: expectObject(scope, call, known.found) };
}
function planFound(map: MapReader, found: Found): Readable["plan"] {
  if (found.kind !== "object" || found.entry.size > segmentSize) return undefined;
  const page = readContent(map, found.cold.content, { start: 0, end: found.entry.size }, piecesMax);
  return page.next === undefined ? planPage(page) : undefined;
}
/** Pieces of one segment: more than that are not worth remembering. */
const piecesMax = 16;

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

function expectObject(scope: CallScope, call: Named, found: Found): FoundObject {
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
