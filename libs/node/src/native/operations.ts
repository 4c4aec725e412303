import type { NamespaceId, OperationId } from "@kiseki/base";
import type { NewTime, PosixOperation } from "@kiseki/composition";
import { NativeRefusal } from "./failure.ts";
import { type FileOperationMessage, fromInode, fromLock, fromRef, fromType } from "./messages.ts";

type Kind = FileOperationMessage["kind"];
type Value<Case extends Kind["case"]> = Extract<Kind, { case: Case }>["value"];

/** Who sends operations, and where to. */
export interface OperationPlace {
  readonly namespace: NamespaceId;
  readonly clientId: Uint8Array;
}

const newTime = (change: Value<"setAttributes">["accessed"]): NewTime | undefined =>
  change === undefined ? undefined : (change.time ?? "now");

function makeNode(base: Base, place: OperationPlace, value: Value<"create">): PosixOperation {
  const { parent, name, mode, owner, device, target } = value;
  const type = fromType(value.type);
  return {
    ...base,
    kind: "make_node",
    directory: fromInode(parent),
    name,
    type,
    mode,
    uid: owner?.uid ?? 0,
    gid: owner?.gid ?? 0,
    isExclusive: value.isExclusive,
    ...(device === 0 ? {} : { rdev: device }),
    ...(type === "symlink" ? { target } : {}),
    ...(value.isOpened ? { client: place.clientId } : {}),
  };
}
function rename(base: Base, value: Value<"rename">): PosixOperation {
  if (value.isNoReplace && value.isExchange) throw new NativeRefusal("invalid");
  return {
    ...base,
    kind: "rename",
    from: { directory: fromInode(value.parent), name: value.name },
    to: { directory: fromInode(value.targetParent), name: value.targetName },
    ...(value.isNoReplace ? { flag: "noreplace" } : {}),
    ...(value.isExchange ? { flag: "exchange" } : {}),
  };
}
function setAttributes(
  base: Base,
  { namespace }: OperationPlace,
  value: Value<"setAttributes">,
): PosixOperation {
  const [atime, mtime] = [newTime(value.accessed), newTime(value.modified)];
  return {
    ...base,
    kind: "set_attributes",
    file: fromRef(namespace, value.file),
    ...(value.mode === undefined ? {} : { mode: value.mode }),
    ...(value.uid === undefined ? {} : { uid: value.uid }),
    ...(value.gid === undefined ? {} : { gid: value.gid }),
    ...(atime === undefined ? {} : { atime }),
    ...(mtime === undefined ? {} : { mtime }),
    isDroppingSetId: value.isDroppingSetId,
  };
}
function setXattr(
  base: Base,
  { namespace }: OperationPlace,
  value: Value<"setXattr">,
): PosixOperation {
  if (value.isCreate && value.isReplace) throw new NativeRefusal("invalid");
  return {
    ...base,
    kind: "set_xattr",
    file: fromRef(namespace, value.file),
    attribute: value.name,
    value: value.value,
    ...(value.isCreate ? { flag: "create" } : {}),
    ...(value.isReplace ? { flag: "replace" } : {}),
  };
}

interface Base {
  readonly namespace: NamespaceId;
  readonly once: OperationId;
}

/** The shard's operation for one on names, attributes, opens or locks; `undefined` for one on content. @throws {NativeRefusal} */
export function toNameOperation(
  place: OperationPlace,
  once: OperationId,
  { kind }: FileOperationMessage,
): PosixOperation | undefined {
  const { namespace, clientId: client } = place;
  const base = { namespace, once };
  const named = ({ parent, name }: { readonly parent: bigint; readonly name: Uint8Array }) => ({
    ...base,
    directory: fromInode(parent),
    name,
  });
  switch (kind.case) {
    case "create":
      return makeNode(base, place, kind.value);
    case "link":
      return { ...named(kind.value), kind: "link", file: fromRef(namespace, kind.value.file) };
    case "unlink":
      return { ...named(kind.value), kind: "unlink" };
    case "removeDirectory":
      return { ...named(kind.value), kind: "rmdir" };
    case "rename":
      return rename(base, kind.value);
    case "setAttributes":
      return setAttributes(base, place, kind.value);
    case "setXattr":
      return setXattr(base, place, kind.value);
    case "removeXattr": {
      const { file, name: attribute } = kind.value;
      return { ...base, kind: "remove_xattr", file: fromRef(namespace, file), attribute };
    }
    case "open":
      return { ...base, kind: "open_file", file: fromRef(namespace, kind.value.file), client };
    case "release":
      return { ...base, kind: "close_file", file: fromRef(namespace, kind.value.file), client };
    case "takeLock": {
      const lock = fromLock(kind.value.lock);
      return { ...base, kind: "lock", file: fromRef(namespace, kind.value.file), client, lock };
    }
    case "dropLock": {
      const lock = fromLock(kind.value.lock);
      return { ...base, kind: "unlock", file: fromRef(namespace, kind.value.file), client, lock };
    }
    case undefined:
      throw new NativeRefusal("invalid");
    default:
      return undefined;
  }
}
