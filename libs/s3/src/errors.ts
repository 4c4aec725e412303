/** The closed set of S3 error codes, each with its status and the sentence sent when no better one is given. */
interface ErrorRow {
  readonly status: number;
  readonly message: string;
}

/** One row per code; names and statuses from "Error responses" of the Amazon S3 API Reference. */
export const s3Errors = {
  AccessControlListNotSupported: { status: 400, message: "The bucket does not allow ACLs." },
  AccessDenied: { status: 403, message: "Access Denied" },
  AccessForbidden: { status: 403, message: "Access Forbidden" },
  AuthorizationHeaderMalformed: {
    status: 400,
    message: "The authorization header is malformed.",
  },
  AuthorizationQueryParametersError: {
    status: 400,
    message: "The authorization query parameters are not valid.",
  },
  BadDigest: {
    status: 400,
    message: "The digest that you specified did not match what was received.",
  },
  BadRequest: { status: 400, message: "Bad Request" },
  BucketAlreadyExists: {
    status: 409,
    message: "The requested bucket name is not available: another account has it.",
  },
  BucketAlreadyOwnedByYou: { status: 409, message: "You already own the bucket of that name." },
  BucketNotEmpty: { status: 409, message: "The bucket you tried to delete is not empty." },
  ConditionalRequestConflict: {
    status: 409,
    message: "A conflicting operation ran during this conditional request; try again.",
  },
  EntityTooLarge: { status: 400, message: "The upload is larger than the largest object allowed." },
  EntityTooSmall: {
    status: 400,
    message: "A part other than the last is smaller than the smallest part allowed.",
  },
  ExpiredToken: { status: 400, message: "The provided token has expired." },
  IllegalLocationConstraintException: {
    status: 400,
    message: "The location constraint does not fit the region this request was sent to.",
  },
  IllegalVersioningConfigurationException: {
    status: 400,
    message: "The versioning configuration specified in the request is not valid.",
  },
  IncorrectNumberOfFilesInPostRequest: {
    status: 400,
    message: "POST requires exactly one file upload per request.",
  },
  IncompleteBody: {
    status: 400,
    message: "The body has fewer bytes than the Content-Length header says.",
  },
  InsufficientStorage: { status: 507, message: "There is no room left for this write." },
  InternalError: { status: 500, message: "An internal error occurred. Please try again." },
  InvalidAccessKeyId: {
    status: 403,
    message: "The access key id that you provided does not exist in our records.",
  },
  InvalidArgument: { status: 400, message: "Invalid Argument" },
  InvalidBucketAclWithObjectOwnership: {
    status: 400,
    message: "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting.",
  },
  InvalidBucketState: {
    status: 409,
    message: "The request is not valid with the current state of the bucket.",
  },
  InvalidBucketName: { status: 400, message: "The specified bucket name is not valid." },
  InvalidChunkSizeError: {
    status: 403,
    message: "Only the last chunk is allowed to have a size less than 8192 bytes",
  },
  InvalidDigest: { status: 400, message: "The Content-MD5 that you specified is not valid." },
  InvalidEncryptionAlgorithmError: {
    status: 400,
    message: "The encryption request you specified is not valid. Supported value: AES256.",
  },
  InvalidLocationConstraint: {
    status: 400,
    message: "The specified location constraint is not valid.",
  },
  InvalidPart: {
    status: 400,
    message: "A specified part could not be found, or its ETag does not fit the one uploaded.",
  },
  InvalidPartNumber: {
    status: 416,
    message: "The requested part number cannot be satisfied.",
  },
  InvalidPartOrder: {
    status: 400,
    message: "The list of parts was not in ascending order of part number.",
  },
  InvalidPolicyDocument: {
    status: 400,
    message:
      "The content of the form does not meet the conditions specified in the policy document.",
  },
  InvalidRange: { status: 416, message: "The requested range cannot be satisfied." },
  InvalidRequest: { status: 400, message: "Invalid Request" },
  InvalidRetentionPeriod: { status: 400, message: "The retention period is not valid." },
  InvalidStorageClass: {
    status: 400,
    message: "The storage class that you specified is not valid.",
  },
  InvalidTag: { status: 400, message: "The tag provided was not a valid tag." },
  InvalidTargetBucketForLogging: {
    status: 400,
    message: "The target bucket for logging either does not exist or is not owned by you.",
  },
  InvalidToken: { status: 400, message: "The provided token is malformed or not valid." },
  InvalidURI: { status: 400, message: "The specified URI could not be parsed." },
  KeyTooLongError: { status: 400, message: "Your key is too long." },
  MalformedPOSTRequest: {
    status: 400,
    message: "The body of your POST request is not well-formed multipart/form-data.",
  },
  MalformedACLError: {
    status: 400,
    message: "The ACL that you provided was not well formed or did not fit our published schema.",
  },
  MalformedPolicy: { status: 400, message: "The policy is not valid." },
  MalformedTrailerError: {
    status: 400,
    message: "The request contained trailing data that was not well-formed.",
  },
  "KMS.NotFoundException": { status: 400, message: "The specified key does not exist." },
  MalformedXML: {
    status: 400,
    message: "The XML that you provided was not well-formed or did not fit our schema.",
  },
  MaxPostPreDataLengthExceeded: {
    status: 400,
    message: "Your POST request fields preceding the upload file were too large.",
  },
  MaxMessageLengthExceeded: { status: 400, message: "Your request was too large." },
  MetadataTooLarge: {
    status: 400,
    message: "Your metadata headers exceed the maximum allowed metadata size.",
  },
  MethodNotAllowed: {
    status: 405,
    message: "The specified method is not allowed against this resource.",
  },
  MissingContentLength: {
    status: 411,
    message: "You must provide the Content-Length HTTP header.",
  },
  MissingRequestBodyError: { status: 400, message: "Request body is empty." },
  MissingSecurityHeader: { status: 400, message: "Your request is missing a required header." },
  NoSuchBucket: { status: 404, message: "The specified bucket does not exist." },
  NoSuchBucketPolicy: { status: 404, message: "The bucket policy does not exist." },
  NoSuchCORSConfiguration: { status: 404, message: "The CORS configuration does not exist." },
  NoSuchConfiguration: { status: 404, message: "The specified configuration does not exist." },
  NoSuchKey: { status: 404, message: "The specified key does not exist." },
  NoSuchLifecycleConfiguration: {
    status: 404,
    message: "The lifecycle configuration does not exist.",
  },
  NoSuchObjectLockConfiguration: {
    status: 404,
    message: "The specified object does not have a ObjectLock configuration",
  },
  NoSuchPublicAccessBlockConfiguration: {
    status: 404,
    message: "The public access block configuration was not found.",
  },
  NoSuchTagSet: { status: 404, message: "The TagSet does not exist." },
  NoSuchUpload: {
    status: 404,
    message: "The specified upload does not exist: it may have been aborted or completed.",
  },
  NoSuchVersion: { status: 404, message: "The specified version does not exist." },
  NoSuchWebsiteConfiguration: {
    status: 404,
    message: "The specified bucket does not have a website configuration.",
  },
  NotImplemented: {
    status: 501,
    message: "A header or parameter you provided implies functionality that is not implemented.",
  },
  ObjectLockConfigurationNotFoundError: {
    status: 404,
    message: "Object Lock configuration does not exist for this bucket.",
  },
  OperationAborted: {
    status: 409,
    message: "A conflicting conditional operation is in progress on this resource. Try again.",
  },
  OwnershipControlsNotFoundError: {
    status: 404,
    message: "The bucket ownership controls were not found.",
  },
  PermanentRedirect: {
    status: 301,
    message: "The bucket must be addressed by the specified endpoint.",
  },
  PreconditionFailed: {
    status: 412,
    message: "At least one of the preconditions that you specified did not hold.",
  },
  /** Of no AWS service; Ceph's code and status, which its clients' tools know. */
  QuotaExceeded: {
    status: 403,
    message: "The write would exceed a quota of the bucket or tenant.",
  },
  ReplicationConfigurationNotFoundError: {
    status: 404,
    message: "The replication configuration was not found.",
  },
  RequestHeaderSectionTooLarge: {
    status: 400,
    message: "The request header section exceeds the largest size allowed.",
  },
  RequestTimeTooSkewed: {
    status: 403,
    message: "The difference between the request time and the server's time is too large.",
  },
  RequestTimeout: {
    status: 400,
    message: "Your socket connection was not read from or written to within the timeout.",
  },
  ServiceUnavailable: { status: 503, message: "Service is unable to handle the request." },
  SignatureDoesNotMatch: {
    status: 403,
    message: "The request signature we calculated does not match the one you provided.",
  },
  SlowDown: { status: 503, message: "Please reduce your request rate." },
  TooManyBuckets: {
    status: 400,
    message: "You have attempted to create more buckets than are allowed.",
  },
  UnexpectedContent: { status: 400, message: "This request does not support content." },
  UnresolvableGrantByEmailAddress: {
    status: 400,
    message: "The email address you provided does not match any account on record.",
  },
  UserKeyMustBeSpecified: {
    status: 400,
    message: "The request must contain the specified field name.",
  },
  XAmzContentChecksumMismatch: {
    status: 400,
    message: "The provided checksum does not match what was computed.",
  },
  XAmzContentSHA256Mismatch: {
    status: 400,
    message: "The provided x-amz-content-sha256 does not match what was computed.",
  },
} as const satisfies Record<string, ErrorRow>;

/** Every code this server may send, and no other. */
export type S3ErrorCode = keyof typeof s3Errors;

/** A refusal in S3's terms, before it becomes bytes. */
export interface S3Fault {
  readonly kind: "fault";
  readonly code: S3ErrorCode;
  /** Replaces the default sentence; never holds a secret. */
  readonly message: string | undefined;
  /** Further elements of the error document, in order, for instance `["ArgumentName", "max-keys"]`. */
  readonly details: readonly (readonly [name: string, value: string])[];
  /** Headers of the answer, such as `x-amz-delete-marker`. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** Makes a refusal; `details` become elements of the error document. */
export function s3Fault(
  code: S3ErrorCode,
  message?: string,
  details: readonly (readonly [string, string])[] = [],
): S3Fault {
  return { kind: "fault", code, message, details };
}

/** Status and sentence of a refusal. */
export function describeFault({ code, message }: S3Fault): ErrorRow {
  return { ...s3Errors[code], ...(message === undefined ? {} : { message }) };
}

/** `InvalidArgument` as S3 sends it, with the argument's name and value. */
export function invalidArgument(name: string, value: string, message: string): S3Fault {
  return s3Fault("InvalidArgument", message, [
    ["ArgumentName", name],
    ["ArgumentValue", value],
  ]);
}

/** Whether a parse was refused. */
export function isFault(result: unknown): result is S3Fault {
  return (
    typeof result === "object" && result !== null && "kind" in result && result.kind === "fault"
  );
}
