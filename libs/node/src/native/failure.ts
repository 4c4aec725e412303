import { AssertionError } from "@kiseki/base";
import { ChunkStoreError } from "@kiseki/chunk-store";
import type { RefusalCode } from "@kiseki/composition";
import { TenantKeysError } from "@kiseki/kms";
import type { Outcome } from "../shard/shard-owner.ts";

/** Refusals of the session, the connection and the store; the rest of the set is the shard's. */
type ServiceCode =
  | "session_expired"
  | "invalid"
  | "forbidden"
  | "busy"
  | "no_space"
  | "closed"
  | "damaged"
  | "no_data"
  | "receipt_stale"
  | "unsupported";
export type FileCode = RefusalCode | Extract<Outcome, { kind: "refused" }>["code"] | ServiceCode;

/** `Failure` of `file_types.proto`. */
export interface FileFailure {
  readonly code: string;
  readonly isRetriable: boolean;
  readonly retryAfterMs: number;
}

/** The same again may succeed, after so many milliseconds. */
const retryAfter: Partial<Record<FileCode, number>> = {
  busy: 20,
  closed: 500,
  no_space: 1000,
  directory_closed: 1,
};

export function failureFor(code: FileCode): FileFailure {
  const wait = retryAfter[code];
  return { code, isRetriable: wait !== undefined, retryAfterMs: wait ?? 0 };
}

/** What the caller is told instead of an answer. */
export class NativeRefusal extends Error {
  override readonly name = "NativeRefusal";
  readonly code: FileCode;
  constructor(code: FileCode) {
    super(`Refused: ${code}`);
    this.code = code;
  }
}

/** Destroyed, as we know or as the key manager itself said: nothing will open again. */
export function isKeyGone({ code, cause }: TenantKeysError): boolean {
  const said = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "shredded" || said === "kek_destroyed" || said === "key_not_found";
}

/** What lower libs throw, as a client may know it; `undefined`: a bug, or the caller has gone. */
export function codeOf(reason: unknown): FileCode | undefined {
  if (reason instanceof AssertionError) return undefined;
  if (reason instanceof NativeRefusal) return reason.code;
  if (reason instanceof TenantKeysError) return isKeyGone(reason) ? "forbidden" : "closed";
  if (reason instanceof Error && reason.name === "RowError") return "damaged";
  if (reason instanceof ChunkStoreError) {
    if (reason.code === "no_space") return "no_space";
    return reason.code === "lost" ? "damaged" : "closed";
  }
  return undefined;
}
