import { Code, ConnectError } from "@connectrpc/connect";

/** Codes of spec §9.2 with what they are in gRPC. */
const connectCodes: Readonly<Record<string, Code>> = {
  advisory_unavailable: Code.Unavailable,
  budget_exceeded: Code.ResourceExhausted,
  declare_rate_exceeded: Code.ResourceExhausted,
  forbidden_target_field: Code.FailedPrecondition,
  hint_too_large: Code.FailedPrecondition,
  phase_not_monotonic: Code.FailedPrecondition,
  profile_not_allowed: Code.FailedPrecondition,
  scope_not_found: Code.NotFound,
};

/** Why the advisory service did not do what it was asked. The caller is told the code, and nothing that hangs on the call. */
export class AdvisoryError extends Error {
  override readonly name = "AdvisoryError";
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export function advisoryConnectError({ code }: AdvisoryError): ConnectError {
  return new ConnectError(code, connectCodes[code] ?? Code.Unavailable);
}
/** The code that an error of a call carries; `advisory_unavailable` where none came. */
export function advisoryCodeOf(reason: unknown): string {
  const { rawMessage } = ConnectError.from(reason);
  return Object.hasOwn(connectCodes, rawMessage) ? rawMessage : "advisory_unavailable";
}
