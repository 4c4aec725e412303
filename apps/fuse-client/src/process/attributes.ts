import type { NodeAttributes } from "@kiseki/vfs";
import { typeOf } from "../serve/convert.ts";
import type { FieldWriter } from "./frame.ts";

export const attributesSize = 64;

/** What stat(2) shows, in 64 bytes. */
export function putAttributes(target: FieldWriter, attributes: NodeAttributes): FieldWriter {
  const { inode, kind, mode, uid, gid, links, size, blocks } = attributes;
  return target
    .u64(inode)
    .u32(typeOf(kind) | mode)
    .u32(uid)
    .u32(gid)
    .u32(links)
    .u64(size)
    .u64(blocks)
    .i64(attributes.accessed)
    .i64(attributes.modified)
    .i64(attributes.changed);
}
