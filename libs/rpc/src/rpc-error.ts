import { Code, ConnectError } from "@connectrpc/connect";
import { advisoryConnectError, AdvisoryError } from "./advisory-error.ts";

/** Why a call did not end well. A closed set: each has a Connect code and a fate for the command line. */
export type RpcErrorCode =
  | "invalid"
  | "not_found"
  | "exists"
  | "not_empty"
  | "unauthenticated"
  | "forbidden"
  | "no_space"
  | "unavailable"
  | "data_loss"
  | "canceled"
  | "timeout"
  | "not_supported"
  | "unreachable"
  | "untrusted"
  | "internal";

const connectCode = {
  invalid: Code.InvalidArgument,
  not_found: Code.NotFound,
  exists: Code.AlreadyExists,
  not_empty: Code.FailedPrecondition,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  no_space: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  canceled: Code.Canceled,
  timeout: Code.DeadlineExceeded,
  not_supported: Code.Unimplemented,
  // The last three arise on the caller's side only.
  unreachable: Code.Unavailable,
  untrusted: Code.Unauthenticated,
  internal: Code.Internal,
} as const satisfies Record<RpcErrorCode, Code>;

const rpcCode: ReadonlyMap<Code, RpcErrorCode> = new Map(
  (Object.entries(connectCode) as [RpcErrorCode, Code][])
    .filter(([name]) => name !== "unreachable" && name !== "untrusted")
    .map(([name, code]) => [code, name]),
);

/** Says in a sentence what was refused; the message goes over the wire, `cause` does not. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: RpcErrorCode;
  constructor(code: RpcErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What the caller is told. Anything but an `RpcError` is a bug or a fault whose text may hold secrets: "Internal error". */
export function toConnectError(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  if (reason instanceof AdvisoryError) return advisoryConnectError(reason);
  if (reason instanceof RpcError) {
    return new ConnectError(reason.message, connectCode[reason.code], undefined, undefined, reason);
  }
  if (reason instanceof DOMException && reason.name === "AbortError") {
    return new ConnectError("The call was given up", Code.Canceled);
  }
  return new ConnectError("Internal error", Code.Internal, undefined, undefined, reason);
}

const unreachableCodes: ReadonlySet<string> = new Set([
  "ConnectionClosed",
  "ConnectionRefused",
  "FailedToOpenSocket",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "EPROTO",
  "ETIMEDOUT",
]);
/** The commonest of them in words; the system's own follow. */
const unreachableText: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens there",
  ENOENT: "There is no such socket",
  ENOTFOUND: "There is no such host",
};
/** What was said in TLS came damaged: of a network, not of a node. */
const damagedCode = /BAD_RECORD_MAC|DECRYPTION_FAILED/;
/** The node's word on the certificate that the caller showed, or did not show. */
const refusedCode = /ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|ACCESS_DENIED)/;
const untrustedCode = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME|SSL|TLS/;

function systemCode(reason: unknown): string {
  for (let error: unknown = reason; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string") return error.code;
  }
  return "";
}

/** What a call of the client threw, as one of ours. Never throws. */
export function toRpcError(reason: unknown): RpcError {
  for (let error: unknown = reason; error instanceof Error; error = error.cause) {
    if (error instanceof RpcError) return error;
  }
  const code = systemCode(reason);
  const { rawMessage, code: answered } = ConnectError.from(reason);
  if (code === "EACCES") return new RpcError("forbidden", rawMessage, { cause: reason });
  if (unreachableCodes.has(code)) {
    const why = unreachableText[code];
    const message = why === undefined ? rawMessage : `${why} (${rawMessage})`;
    return new RpcError("unreachable", message, { cause: reason });
  }
  if (code.endsWith("WRONG_VERSION_NUMBER")) {
    const message = "What listens there does not speak TLS: it is not the administration listener";
    return new RpcError("unreachable", message, { cause: reason });
  }
  if (damagedCode.test(code)) {
    return new RpcError("unreachable", rawMessage, { cause: reason });
  }
  if (refusedCode.test(code)) {
    const message = "The node asks for a certificate of an authority that it knows";
    return new RpcError("unauthenticated", message, { cause: reason });
  }
  if (untrustedCode.test(code)) return new RpcError("untrusted", rawMessage, { cause: reason });
  return new RpcError(rpcCode.get(answered) ?? "internal", rawMessage, { cause: reason });
}
