import type { Content, Extent, ObjectAttributes, ObjectEntry } from "@kiseki/format";
import { takeReference } from "./chunks.ts";
import { unmetCondition } from "./conditions.ts";
import { isUnderCustomerKey } from "./encryption.ts";
import { contentOf, holdManifest, makeLeafManifest } from "./content.ts";
import { refuseLock } from "./lock.ts";
import { lookupObject } from "./lookup.ts";
import { openUpload, storePart } from "./multipart.ts";
import { attributesFit, copiedAttributes } from "./extras.ts";
import { openForWrite, placeObject } from "./objects.ts";
import type { Answer, Operation, Refusal, RefusalCode } from "./operation.ts";
import { isRefusal, refuse } from "./operation.ts";
import { visitExtents } from "./read-content.ts";
import type { Step } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;
type SourceOf = Pick<Of<"copy_object">, "source" | "sourceConditions">;

const sourceCode: Partial<Record<RefusalCode, RefusalCode>> = {
  no_such_namespace: "no_such_source_namespace",
  no_such_key: "no_such_source_key",
  no_such_version: "no_such_source_version",
  precondition_failed: "source_precondition_failed",
};
interface Source {
  readonly entry: ObjectEntry;
  readonly content: Content;
  readonly attributes: ObjectAttributes;
  /** Under a customer's key, so for one object alone. */
  readonly isSealed: boolean;
}
function openSource(step: Step, { source, sourceConditions }: SourceOf): Source | Refusal {
  const found = lookupObject(step.map, step.context.dirKeys, source);
  if (found.kind === "refused") return refuse(sourceCode[found.code] ?? found.code);
  if (found.kind === "delete_marker") {
    return refuse(source.version === undefined ? "no_such_source_key" : "is_delete_marker");
  }
  const unmet = unmetCondition(found.entry, sourceConditions);
  if (unmet !== undefined) return refuse(sourceCode[unmet] ?? unmet);
  const { content, attributes } = found.cold;
  return { entry: found.entry, content, attributes, isSealed: isUnderCustomerKey(attributes) };
}

/** The extents counted once more. A small chunk has one owner, so its bytes must be read and put instead. */
function shareExtents(step: Step, extents: readonly Extent[]): Refusal | undefined {
  if (extents.length > step.context.limits.extentsMax) return refuse("too_many_extents");
  for (const extent of extents) {
    if (extent.kind === "small") return refuse("source_is_small");
    const refusal = takeReference(step, extent, undefined, undefined);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

export function copyObject(step: Step, operation: Of<"copy_object">): Answer | Refusal {
  const source = openSource(step, operation);
  if (isRefusal(source)) return source;
  const attributes = operation.attributes ?? copiedAttributes(source.attributes);
  if (!attributesFit(attributes, step.context.limits)) return refuse("attributes_too_large");
  const target = openForWrite(step, operation);
  if (isRefusal(target)) return target;
  const unlockable = refuseLock(step, target.namespace, attributes);
  if (unlockable !== undefined) return unlockable;
  const { size, etag } = source.entry;
  let { content } = source;
  if (source.isSealed && content.kind !== "empty") return refuse("source_is_small");
  if (content.kind === "manifest") holdManifest(step, content.manifest);
  else if (content.kind === "extents") {
    const refusal = shareExtents(step, content.extents);
    if (refusal !== undefined) return refusal;
    content = contentOf(step, content.extents, size);
  }
  return placeObject(step, target, { content, size, etag, attributes });
}

export function copyPart(step: Step, operation: Of<"copy_part">): Answer | Refusal {
  const upload = openUpload(step, operation);
  if (isRefusal(upload)) return upload;
  const source = openSource(step, operation);
  if (isRefusal(source)) return source;
  const { start, end } = operation;
  if (start < 0 || start > end || end > source.entry.size) return refuse("invalid_range");
  if (source.isSealed && start < end) return refuse("source_is_small");
  const extents: Extent[] = [];
  const { extentsMax } = step.context.limits;
  visitExtents(step.map, source.content, { start, end }, (extent) => {
    extents.push({ ...extent, offset: extent.offset - start });
    return extents.length <= extentsMax;
  });
  const refusal = shareExtents(step, extents);
  if (refusal !== undefined) return refusal;
  const size = end - start;
  const manifest = makeLeafManifest(step, extents, size);
  return storePart(step, upload, operation, { manifest, size });
}
