import { unreachable } from "@kiseki/base";
import type { NativeClient } from "@kiseki/rpc";
import type { FileOperation, NewNode, PlacedContent } from "@kiseki/vfs";
import { writtenParts } from "../content/written.ts";
import { refMessage } from "./attributes.ts";

type ApplyInit = Parameters<NativeClient["files"]["apply"]>[0];
export type OperationInit = NonNullable<NonNullable<ApplyInit["operations"]>[number]>;
export type OperationKind = NonNullable<OperationInit["kind"]>;
type CreateInit = Extract<OperationKind, { readonly case: "create" }>["value"];

/** Of one operation. */
const rangesMax = 1024;
/** What goes over the wire for it; `undefined`: more ranges than one operation takes. */
export function operationKind(operation: FileOperation): OperationKind | undefined {
  switch (operation.kind) {
    case "create":
      return { case: "create", value: createMessage(operation) };
    case "link": {
      const { file, parent, name } = operation;
      return { case: "link", value: { file: refMessage(file), parent, name } };
    }
    case "unlink":
      return { case: "unlink", value: { parent: operation.parent, name: operation.name } };
    case "remove_directory":
      return { case: "removeDirectory", value: { parent: operation.parent, name: operation.name } };
    case "rename":
      return { case: "rename", value: renameMessage(operation) };
    case "set_attributes":
      return { case: "setAttributes", value: attributesMessage(operation) };
    case "set_xattr": {
      const { file, name, value, mode } = operation;
      const how = { isCreate: mode === "create", isReplace: mode === "replace" };
      return { case: "setXattr", value: { file: refMessage(file), name, value, ...how } };
    }
    case "remove_xattr":
      return {
        case: "removeXattr",
        value: { file: refMessage(operation.file), name: operation.name },
      };
    case "write": {
      const content = contentMessage(operation.pieces);
      return content && { case: "write", value: { file: refMessage(operation.file), content } };
    }
    case "append": {
      const content = contentMessage([{ offset: 0, content: operation.content }]);
      return content && { case: "append", value: { file: refMessage(operation.file), content } };
    }
    default:
      return restKind(operation);
  }
}

type Rest = Extract<
  FileOperation,
  { readonly kind: "truncate" | "allocate" | "copy_range" | "open" | "release" }
>;
function restKind(operation: Rest): OperationKind {
  switch (operation.kind) {
    case "truncate": {
      const size = BigInt(operation.size);
      return { case: "truncate", value: { file: refMessage(operation.file), size } };
    }
    case "allocate": {
      const { file, offset, length, mode, isSizeKept } = operation;
      const range = { offset: BigInt(offset), length: BigInt(length), isSizeKept };
      const value = { file: refMessage(file), ...range, mode };
      return { case: "allocate", value };
    }
    case "copy_range": {
      const { source, sourceOffset, target, targetOffset, length } = operation;
      const value = {
        source: refMessage(source),
        sourceOffset: BigInt(sourceOffset),
        target: refMessage(target),
        targetOffset: BigInt(targetOffset),
        length: BigInt(length),
      };
      return { case: "copyRange", value };
    }
    case "open":
      return { case: "open", value: { file: refMessage(operation.file) } };
    case "release":
      return { case: "release", value: { file: refMessage(operation.file) } };
    default:
      return unreachable(operation);
  }
}

type Create = Extract<FileOperation, { readonly kind: "create" }>;
function createMessage({ parent, name, node, mode, uid, gid, isExclusive }: Create): CreateInit {
  return {
    parent,
    name,
    type: node.kind,
    mode,
    owner: { uid, gid },
    isExclusive,
    ...nodeFields(node),
  };
}
function nodeFields(node: NewNode): { readonly target?: Uint8Array; readonly device?: number } {
  if (node.kind === "symlink") return { target: node.target };
  return "device" in node ? { device: node.device } : {};
}

type Rename = Extract<FileOperation, { readonly kind: "rename" }>;
const renameMessage = ({ source, target, mode }: Rename) => ({
  parent: source.parent,
  name: source.name,
  targetParent: target.parent,
  targetName: target.name,
  isNoReplace: mode === "no_replace",
  isExchange: mode === "exchange",
});

type SetAttributes = Extract<FileOperation, { readonly kind: "set_attributes" }>;
function attributesMessage({ file, changes }: SetAttributes) {
  const { mode, uid, gid, accessed, modified } = changes;
  return {
    file: refMessage(file),
    ...(mode === undefined ? {} : { mode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(accessed === undefined ? {} : { accessed: timeMessage(accessed) }),
    ...(modified === undefined ? {} : { modified: timeMessage(modified) }),
  };
}
const timeMessage = (time: bigint | "now") => (time === "now" ? {} : { time });

/** Each chunk once, and where its bytes belong. */
function contentMessage(pieces: readonly PlacedContent[]) {
  const receipts: Uint8Array[] = [];
  const numbers = new Map<Uint8Array, number>();
  const ranges = pieces.flatMap((piece) =>
    rangesOf(piece).map(({ receipt, ...range }) => {
      const number = numbers.get(receipt) ?? receipts.push(receipt) - 1;
      numbers.set(receipt, number);
      return { ...range, receipt: number };
    }),
  );
  return ranges.length > rangesMax ? undefined : { receipts, ranges };
}
/** Which bytes of which chunks a piece is made of. */
function rangesOf({ offset, content, start = 0, length = content.length }: PlacedContent) {
  let partStart = 0;
  return writtenParts(content).flatMap((part) => {
    const from = Math.max(start, partStart);
    const to = Math.min(start + length, partStart + part.length);
    const chunkOffset = from - partStart;
    partStart += part.length;
    if (from >= to) return [];
    const at = { offset: BigInt(offset + from - start), length: BigInt(to - from) };
    return [{ receipt: part.receipt, chunkOffset, ...at }];
  });
}
