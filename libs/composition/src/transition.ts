import { assert, sameBytes } from "@kiseki/base";
import type { Content, Extent, ManifestChild, ObjectEntry } from "@kiseki/format";
import {
  decodeManifestNode,
  encodeCold,
  encodeEntry,
  encodeManifestNode,
  entryKey,
  keyAfterPrefix,
  manifestNodePrefix,
  oldKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import {
  admitExtents,
  contentOf,
  getManifestHead,
  holdManifest,
  makeInnerManifest,
  makeLeafManifest,
  releaseContent,
  releaseManifest,
} from "./content.ts";
import { isUnderCustomerKey } from "./encryption.ts";
import { hasTags, withClass } from "./objects.ts";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { isRefusal, refuse } from "./operation.ts";
import type { Step } from "./step.ts";
import type { Target } from "./target.ts";
import {
  getCold,
  getCurrent,
  getOld,
  openTarget,
  putCold,
  settleTarget,
  targetDirKey,
} from "./target.ts";

type MoveContent = Extract<Operation, { kind: "move_content" }>;

const bytesOf = (content: Content): Uint8Array =>
  encodeCold({ content, attributes: { headers: [], userMetadata: [], checksums: [] } });

/** False for a file that POSIX has touched, whose content changes in place, and for content under a customer's key. */
export const isMovable = (entry: ObjectEntry): boolean =>
  entry.kind === "object" && entry.home === undefined && entry.node === undefined;

/**
 * The same bytes under the same version, stored elsewhere. Whatever else a client sees of the version stays: ETag, times,
 * metadata, locks, which therefore do not hold it back.
 */
export function moveContent(step: Step, operation: MoveContent): Answer | Refusal {
  const target = openTarget(step.map, step.context, operation);
  if (isRefusal(target)) return target;
  if (target.namespace.isReadOnly) return refuse("namespace_read_only");
  const current = getCurrent(step.map, step.context, target);
  const isCurrent = current?.version === operation.version;
  const entry = isCurrent ? current : getOld(step.map, target, operation.version);
  if (entry === undefined) return refuse("no_such_version");
  const cold = getCold(step.map, step.context, target, entry);
  const isSeen = sameBytes(bytesOf(cold.content), bytesOf(operation.before));
  if (!isSeen || !isMovable(entry) || isUnderCustomerKey(cold.attributes)) {
    return refuse("precondition_failed");
  }
  if (!hasTags(step, target, entry, operation.ifTags)) return refuse("precondition_failed");
  if (operation.content !== undefined) {
    const content = replaceContent(step, entry, operation, operation.content);
    if (isRefusal(content)) return content;
    putCold(step, target, entry, { ...cold, content });
  }
  if (operation.storageClass !== undefined) {
    putEntry(step, target, withClass(entry, operation.storageClass), isCurrent);
  }
  const exceeded = settleTarget(step, target);
  assert(exceeded === undefined, "content that moves counts as before");
  return { kind: "version", version: entry.version, isNull: entry.isNull };
}

function putEntry(step: Step, target: Target, entry: ObjectEntry, isCurrent: boolean): void {
  const dirKey = targetDirKey(target);
  const { name } = target.path;
  const key = isCurrent ? entryKey(dirKey, name) : oldKey(dirKey, name, entry.version);
  step.map.put(key, encodeEntry(entry));
}

function replaceContent(
  step: Step,
  entry: ObjectEntry,
  { before, part }: MoveContent,
  fresh: NonNullable<MoveContent["content"]>,
): Content | Refusal {
  if (part === undefined) {
    const extents = admitExtents(step, fresh, entry.size);
    if (isRefusal(extents)) return extents;
    const content = contentOf(step, extents, entry.size);
    releaseContent(step, before);
    return content;
  }
  if (before.kind !== "manifest") return refuse("invalid_part");
  const children = childrenOf(step.map, before.manifest);
  const child = children?.[part];
  if (children === undefined || child === undefined) return refuse("invalid_part");
  const extents = admitExtents(step, fresh, child.size);
  if (isRefusal(extents)) return extents;
  const manifest = ownManifest(step, before.manifest, children);
  replaceChild(step, manifest, part, extents);
  return { kind: "manifest", manifest };
}

/** Parts of an upload in their order; `undefined` for a manifest that was not completed from any. */
function childrenOf(map: MapReader, manifest: bigint): readonly ManifestChild[] | undefined {
  const children: ManifestChild[] = [];
  let isOfParts = true;
  const start = manifestNodePrefix(manifest);
  map.scan({ start, end: keyAfterPrefix(start) }, (_, value) => {
    const node = decodeManifestNode(value);
    if (node.kind === "inner") children.push(...node.children);
    else isOfParts = false;
    return isOfParts;
  });
  return isOfParts ? children : undefined;
}

/** The manifest itself, or, where others hold it too, one of its own over the same parts: theirs stays as it is. */
function ownManifest(step: Step, manifest: bigint, children: readonly ManifestChild[]): bigint {
  if (getManifestHead(step.map, manifest).count === 1) return manifest;
  for (const child of children) holdManifest(step, child.manifest);
  const own = makeInnerManifest(step, children);
  releaseManifest(step, manifest);
  return own;
}

function replaceChild(
  step: Step,
  manifest: bigint,
  part: number,
  extents: readonly Extent[],
): void {
  const start = manifestNodePrefix(manifest);
  let before = 0;
  let found: { readonly key: Uint8Array; readonly children: readonly ManifestChild[] } | undefined;
  step.map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    const node = decodeManifestNode(value);
    assert(node.kind === "inner", "a manifest of parts has inner nodes alone");
    if (part < before + node.children.length) found = { key, children: node.children };
    else before += node.children.length;
    return found === undefined;
  });
  assert(found !== undefined, "a part that is there is in a node");
  const { key, children } = found;
  const at = part - before;
  const old = children[at]!;
  const child = { ...old, manifest: makeLeafManifest(step, extents, old.size) };
  step.map.put(key, encodeManifestNode({ kind: "inner", children: children.with(at, child) }));
  releaseManifest(step, old.manifest);
}
