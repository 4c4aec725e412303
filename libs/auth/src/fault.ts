/** The S3 error codes with which a signature is refused, and their statuses. */
export const authFaultStatus = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  ExpiredToken: 400,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidPolicyDocument: 400,
  InvalidRequest: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  RequestTimeTooSkewed: 403,
  SignatureDoesNotMatch: 403,
  // of a streamed body
  IncompleteBody: 400,
  InvalidChunkSizeError: 403,
  MalformedTrailerError: 400,
  MissingContentLength: 411,
  XAmzContentSHA256Mismatch: 400,
} as const satisfies Record<string, number>;

export type AuthFaultCode = keyof typeof authFaultStatus;

export interface AuthFault {
  readonly kind: "fault";
  readonly code: AuthFaultCode;
  /** For the client: no secret, nothing but what it sent. */
  readonly message: string;
  /** Further elements of S3's error document, e.g. `StringToSign`. */
  readonly details: Readonly<Record<string, string>>;
}

export function authFault(
  code: AuthFaultCode,
  message: string,
  details: Readonly<Record<string, string>> = {},
): AuthFault {
  return { kind: "fault", code, message, details };
}
