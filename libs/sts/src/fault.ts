/** STS's error codes with their statuses ("Common Errors" and each action's, AWS STS API Reference). */
export const stsFaultStatus = {
  AccessDenied: 403,
  ExpiredToken: 403,
  ExpiredTokenException: 400,
  IDPCommunicationError: 400,
  IDPRejectedClaim: 403,
  IncompleteSignature: 400,
  InternalFailure: 500,
  InvalidAction: 400,
  InvalidClientTokenId: 403,
  InvalidIdentityToken: 400,
  InvalidParameterValue: 400,
  MalformedPolicyDocument: 400,
  MissingAction: 400,
  MissingAuthenticationToken: 403,
  PackedPolicyTooLarge: 400,
  RequestEntityTooLarge: 413,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  Throttling: 400,
  ValidationError: 400,
} as const satisfies Record<string, number>;

export type StsFaultCode = keyof typeof stsFaultStatus;

export interface StsFault {
  readonly kind: "fault";
  readonly code: StsFaultCode;
  /** For the client: holds no secret. */
  readonly message: string;
}

export function stsFault(code: StsFaultCode, message: string): StsFault {
  return { kind: "fault", code, message };
}

export function isStsFault(result: unknown): result is StsFault {
  return (
    typeof result === "object" && result !== null && "kind" in result && result.kind === "fault"
  );
}
