import { assert, unreachable } from "@kiseki/base";
import { nameSizeMax } from "./limits.ts";
import { Writer } from "./writer.ts";

/**
 * What the kernel is told unasked. Written by a thread that answers nothing: the kernel waits for locks that a request
 * under way may hold until it is answered.
 */
export type Notification =
  /** Attributes are forgotten, and cached content `[offset, offset + size)`; size 0: to the end; offset -1: attributes alone. */
  | {
      readonly kind: "inode";
      readonly node: number;
      readonly offset: number;
      readonly size: number;
    }
  /** What a name leads to is forgotten; with `isExpiry` its present users keep it. */
  | {
      readonly kind: "entry";
      readonly parent: number;
      readonly name: Uint8Array;
      readonly isExpiry: boolean;
    }
  /** A name is gone: those who watch it are told, too. */
  | {
      readonly kind: "removed";
      readonly parent: number;
      readonly node: number;
      readonly name: Uint8Array;
    };

const codes = { inode: 2, entry: 3, removed: 6 } as const;
const expiryFlag = 1;
export const notificationSizeMax = 16 + 24 + nameSizeMax + 1;

/** In memory of its own. */
export function encodeNotification(notification: Notification): Uint8Array {
  const writer = new Writer(new Uint8Array(new ArrayBuffer(notificationSizeMax)));
  writer.u32(0).u32(codes[notification.kind]).u64(0n);
  switch (notification.kind) {
    case "inode":
      writer.number(notification.node);
      writer.u64(BigInt.asUintN(64, BigInt(notification.offset))).number(notification.size);
      break;
    case "entry":
      writer.number(notification.parent).u32(notification.name.byteLength);
      writer.u32(notification.isExpiry ? expiryFlag : 0);
      break;
    case "removed":
      writer.number(notification.parent).number(notification.node);
      writer.u32(notification.name.byteLength).u32(0);
      break;
    default:
      unreachable(notification);
  }
  if (notification.kind !== "inode") {
    assert(notification.name.byteLength <= nameSizeMax, "a name has its size");
    writer.bytes(notification.name).zeros(1);
  }
  writer.patchU32(0, writer.size);
  return writer.done();
}
