/** Reads of whole small objects of which there is nothing special to say: what is made of their rows is kept. */
import { idText, toHex } from "@kiseki/base";
import { type Found, lookupObject, readContent } from "@kiseki/composition";
import type { HeaderBlock } from "@kiseki/http";
import { type MapReader, segmentSize } from "@kiseki/ports";
import { isPlainRead, plainReadHeaders, type ReadObjectCall } from "@kiseki/s3";
import { type ContentRead, planPage } from "../object/read-content.ts";
import { toObjectView } from "./convert.ts";
import { hasExpirationRules } from "./expiration.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { shownVersion } from "./versions.ts";

/** All that such a read sends, in few bytes: tens of thousands are kept. */
export interface PlainObject {
  readonly kind: "plain";
  readonly headers: HeaderBlock;
  readonly size: number;
  readonly plan: readonly ContentRead[];
  /** Undefined in a bucket that never had versions. */
  readonly versionId: string | undefined;
}

/** Pieces of one object: more are not worth keeping. */
const piecesMax = 4;

/**
 * The object; what was found where it is not plain; `undefined` where the call or its bucket asks for more and nothing was
 * looked up. Enter the readers before.
 */
export function findPlain(scope: CallScope, call: ReadObjectCall): PlainObject | Found | undefined {
  if (!isPlainRead(call)) return undefined;
  const { id: namespace, versioning } = findBucket(scope, call.bucket);
  if (hasExpirationRules(scope, call.bucket)) return undefined;
  const { tenant } = scope;
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const { key } = call;
  let found: Found | undefined;
  // The same object says its version id or not.
  const shown = versioning === "off" ? "plain" : "version";
  const name = `${shown} ${idText(namespace)}/${toHex(key)}`;
  const plain = tenant.store.recall(name, (map) => {
    found = lookupObject(map, dirKeys, { namespace, key });
    return toPlain(scope, call, map, found);
  });
  return plain ?? found;
}

function toPlain(
  scope: CallScope,
  { bucket }: ReadObjectCall,
  map: MapReader,
  found: Found,
): PlainObject | undefined {
  if (found.kind !== "object" || found.entry.size > segmentSize) return undefined;
  const { attributes, content } = found.cold;
  const { encryption, tags = [], retention, legalHold } = attributes;
  const { size } = found.entry;
  if ((encryption ?? retention ?? legalHold) !== undefined || tags.length > 0) return undefined;
  const page = readContent(map, content, { start: 0, end: size }, piecesMax);
  if (page.next !== undefined || page.isGone === true) return undefined;
  const view = toObjectView(found);
  if (view.content.websiteRedirectLocation !== undefined) return undefined;
  const versionId = shownVersion(scope, bucket, found.entry);
  return { kind: "plain", headers: plainReadHeaders(view), size, plan: planPage(page), versionId };
}
