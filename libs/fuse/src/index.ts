/**
 * The kernel's FUSE protocol, 7.31 to 7.45: `decodeRequest` reads what one read of the device brought, `encodeReply` and
 * `encodeNotification` write what goes back, `negotiate` settles INIT by one table of flags, `openReplyFlags` says what
 * the kernel may cache of an open file.
 *
 * Promises: decoding is bounded and throws nothing; names and data alias the request; ids are safe integers of our own
 * making; offsets beyond safe integers become the largest one. Refused: what is not negotiated (DAX, ioctl, poll, ACLs,
 * passthrough), with ENOSYS where the kernel asks anyway. Nothing here knows a device, a path or a file system.
 */
export type { Notification } from "./encode-notification.ts";
export { encodeNotification } from "./encode-notification.ts";
export type { DirectoryRow } from "./encode-reply.ts";
export { addRow, addRowPlus, encodeReply, noEntry, replySizeMax } from "./encode-reply.ts";
export { decodeRequest } from "./decode-request.ts";
export type { Negotiated } from "./init.ts";
export { hasFlag, negotiate } from "./init.ts";
export { payloadSizeMax, requestSizeMax } from "./limits.ts";
export { directoryReplyFlags, openModes, openReplyFlags, passThrough } from "./open-policy.ts";
export type { FileSystemUsage, FuseReply, NodeAttributes, NodeEntry } from "./reply.ts";
export type {
  AttributeChange,
  FuseRequest,
  LockRange,
  RequestFault,
  RequestKind,
  RequestOf,
} from "./request.ts";
export { Writer } from "./writer.ts";
