import type { RefusalCode } from "@kiseki/composition";

/** Numbers of Linux on x86-64 and ARM64. */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ESTALE: 116,
  EDQUOT: 122,
} as const;
export type ErrnoName = keyof typeof errno;

/** An operation's error. There is one per errno, so that failing costs nothing; compare by identity or `errno`. */
export class Failure {
  readonly kind = "failure";
  readonly name: ErrnoName;
  readonly errno: number;
  constructor(name: ErrnoName) {
    this.name = name;
    this.errno = errno[name];
  }
}
const failures = new Map<ErrnoName, Failure>();
export function fail(name: ErrnoName): Failure {
  const known = failures.get(name);
  if (known !== undefined) return known;
  const made = new Failure(name);
  failures.set(name, made);
  return made;
}
export const isFailure = (answer: unknown): answer is Failure => answer instanceof Failure;

/** Refusals that no shard gives: of the connection, the session, the store of content. */
export type ServiceRefusalCode =
  /** No node answered in time; whether the operation took place is unknown where it changes something. */
  | "unreachable"
  | "interrupted"
  /** The namespace is another tenant's, or no writes are allowed. */
  | "forbidden"
  /** The session of which the operation was has ended: see `FileServiceListener`. */
  | "session_expired"
  /** Too much is queued, or the log takes no changes now; nothing was changed. */
  | "busy"
  | "no_space"
  /** Keys are out of reach, or the node is stopping. */
  | "closed"
  /** Another node owns the range. */
  | "moved"
  /** The file is gone. */
  | "stale"
  /** Its row or content cannot be read. */
  | "damaged"
  | "no_data"
  /** Content was stored under keys of another epoch, or was named already: store it anew. */
  | "receipt_stale"
  | "unsupported"
  /** One of the two sides broke the protocol. */
  | "invalid";
export type FileRefusalCode = RefusalCode | ServiceRefusalCode;

/** Spec §7.4 and appendix C. What only S3 can meet is EIO: a mount that gets it has a bug. */
const errnoByCode: Readonly<Record<FileRefusalCode, ErrnoName>> = {
  busy: "EAGAIN",
  closed: "EIO",
  damaged: "EIO",
  forbidden: "EACCES",
  interrupted: "EINTR",
  invalid: "EIO",
  moved: "EIO",
  no_data: "ENXIO",
  no_space: "ENOSPC",
  receipt_stale: "EIO",
  session_expired: "EIO",
  stale: "ESTALE",
  unreachable: "EIO",
  unsupported: "EOPNOTSUPP",

  chunk_gone: "EIO",
  directory_closed: "ENOENT",
  invalid_key: "EINVAL",
  invalid_range: "EINVAL",
  key_too_long: "ENAMETOOLONG",
  namespace_read_only: "EROFS",
  no_such_key: "ENOENT",
  no_such_namespace: "ENOENT",
  object_locked: "EPERM",
  object_too_large: "EFBIG",
  attributes_too_large: "ENOSPC",
  quota_exceeded: "EDQUOT",
  too_many_extents: "EFBIG",

  attribute_exists: "EEXIST",
  attribute_read_only: "EPERM",
  customer_key: "EACCES",
  directory_locked: "EPERM",
  directory_loop: "EINVAL",
  directory_not_empty: "ENOTEMPTY",
  file_exists: "EEXIST",
  invalid_argument: "EINVAL",
  invalid_name: "EINVAL",
  is_a_directory: "EISDIR",
  links_not_kept: "EPERM",
  lock_conflict: "EAGAIN",
  name_reserved: "EPERM",
  name_too_long: "ENAMETOOLONG",
  no_such_attribute: "ENODATA",
  no_such_file: "ENOENT",
  no_such_session: "ESTALE",
  not_a_directory: "ENOTDIR",
  stale_file: "ESTALE",
  too_many_links: "EMLINK",
  too_many_locks: "ENOLCK",
  wrong_type: "EINVAL",

  entity_too_small: "EIO",
  invalid_hold: "EIO",
  invalid_part: "EIO",
  invalid_part_number: "EIO",
  invalid_part_order: "EIO",
  invalid_versioning: "EIO",
  is_delete_marker: "EIO",
  lock_needs_versioning: "EIO",
  lock_not_enabled: "EIO",
  namespace_exists: "EIO",
  namespace_not_empty: "EIO",
  no_such_hold: "EIO",
  no_such_source_key: "ENOENT",
  no_such_source_namespace: "ENOENT",
  no_such_source_version: "EIO",
  no_such_upload: "EIO",
  no_such_version: "EIO",
  precondition_failed: "EIO",
  retention_in_past: "EIO",
  setting_too_large: "EIO",
  source_is_small: "EIO",
  source_precondition_failed: "EIO",
  versioning_locked: "EIO",
};

export const failureOf = (code: FileRefusalCode): Failure => fail(errnoByCode[code]);

/** A code that came over a wire; one that is not known here is a broken protocol. */
export const refusalCodeOf = (text: string): FileRefusalCode =>
  Object.hasOwn(errnoByCode, text) ? (text as FileRefusalCode) : "invalid";
