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

/** All that such a read sends, in few bytes: tens of thousands are kept. */
export interface PlainObject {
  readonly kind: "plain";
  readonly headers: HeaderBlock;
  readonly size: number;
  readonly plan: readonly ContentRead[];
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
  if (versioning !== "off" || hasExpirationRules(scope, call.bucket)) return undefined;
  const { tenant } = scope;
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const { key } = call;
  let found: Found | undefined;
  const name = `${idText(namespace)}/${toHex(key)}`;
  const plain = tenant.store.recall(name, (map) => {
    found = lookupObject(map, dirKeys, { namespace, key });
    return toPlain(map, found);
  });
  return plain ?? found;
}

function toPlain(map: MapReader, found: Found): PlainObject | undefined {
  if (found.kind !== "object" || found.entry.size > segmentSize || !found.entry.isNull)
    return undefined;
  const { attributes, content } = found.cold;
  const { encryption, tags = [], retention, legalHold } = attributes;
  const { size } = found.entry;
  if ((encryption ?? retention ?? legalHold) !== undefined || tags.length > 0) return undefined;
  const page = readContent(map, content, { start: 0, end: size }, piecesMax);
  if (page.next !== undefined || page.isGone === true) return undefined;
  const view = toObjectView(found);
  if (view.content.websiteRedirectLocation !== undefined) return undefined;
  return { kind: "plain", headers: plainReadHeaders(view), size, plan: planPage(page) };
}
