/**
 * S3, from requests to typed calls and from typed results to answers.
 *
 * Pure: knows no socket, no device, no clock. `parseCall` reads a head, the `parse…Body` functions
 * read the three documents that requests carry, `toResponse` and `toFaultResponse` write answers.
 * Invariants: a request is one call of a closed union or a fault of a closed set; keys have one
 * canonical form wherever they arrive; every outside size is bounded before it is used.
 * Refuses: what S3 has and this server lacks (501), bad UTF-8, DOCTYPE, forged list tokens.
 * AWS's documented behaviour decides; where it is silent, the choice is said beside the code.
 */
export type {
  BodyExpectation,
  ContentHeaders,
  DeleteConditions,
  ObjectAttributes,
  ObjectChecksum,
  WriteConditions,
} from "./attributes.ts";
export { type AclRequest, parseAclDocument } from "./acl.ts";
export { isBucketName } from "./bucket-name.ts";
export type {
  AbortUploadCall,
  BucketAclCall,
  BucketCall,
  BucketSettingCall,
  CompleteUploadCall,
  CopyObjectCall,
  CopySource,
  CreateBucketCall,
  CreateUploadCall,
  DeleteObjectCall,
  DeleteObjectsCall,
  GetObjectAttributesCall,
  ListBucketsCall,
  ListObjectsCall,
  ListPartsCall,
  ListUploadsCall,
  ListVersionsCall,
  LockConfigurationCall,
  ObjectLockCall,
  ObjectSettingCall,
  OwnershipCall,
  PolicyCall,
  PutBucketAclCall,
  PutObjectAclCall,
  PutOwnershipCall,
  PutPolicyCall,
  PostObjectCall,
  ObjectTaggingCall,
  PutBucketSettingCall,
  PutLegalHoldCall,
  PutLockConfigurationCall,
  PutObjectCall,
  PutRetentionCall,
  PutVersioningCall,
  PutObjectTaggingCall,
  ReadObjectCall,
  S3Addressing,
  S3Call,
  S3Request,
  UploadPartCall,
  UploadPartCopyCall,
} from "./call.ts";
export { checkComplete, checkCompletePart } from "./check-complete.ts";
export { evaluateRead, evaluateWrite } from "./conditions.ts";
export { formatHttpDate } from "./date.ts";
export type {
  CustomerKeyHeaders,
  RequestedEncryption,
  ShownEncryption,
} from "./encryption-headers.ts";
export { mismatchedKeyMessage } from "./encryption-headers.ts";
export type { S3ErrorCode, S3Fault } from "./errors.ts";
export { type Fields, parseFields } from "./fields.ts";
export { describeFault, isFault, s3Fault } from "./errors.ts";
export type { ListScope } from "./list-token.ts";
export { openListToken, sealListToken } from "./list-token.ts";
export { compositeChecksum, fullObjectChecksum } from "./multipart.ts";
export { isServiceHost, parseCall } from "./parse-call.ts";
export {
  formatLegalHold,
  formatLockConfiguration,
  formatRetention,
  parseLegalHoldBody,
  parseLockConfiguration,
  parseRetentionBody,
} from "./object-lock.ts";
export { parseWebsiteRead } from "./object-calls.ts";
export type { FormRequest } from "./post-object.ts";
export { parseFormRequest, parsePostObject, resolveFormFields } from "./post-object.ts";
export type { Preflight } from "./preflight.ts";
export { answerPreflight, bucketOfRequest, grantRequest, parsePreflight } from "./preflight.ts";
export { resolveRange } from "./range.ts";
export type { CompletePart, DeleteEntry } from "./request-documents.ts";
export {
  checkLocation,
  parseCompleteBody,
  parseCreateBucketBody,
  parseDeleteBody,
  parseVersioningBody,
} from "./request-documents.ts";
export { encryptionSetting } from "./settings/encryption.ts";
export { accessLine, accessLogKey, accessOperation } from "./access-record.ts";
export type { LoggingConfig } from "./settings/logging.ts";
export { loggingSetting } from "./settings/logging.ts";
export type { NotificationConfig } from "./settings/notification.ts";
export {
  matchNotification,
  notificationEventName,
  notificationSetting,
  notificationTarget,
} from "./settings/notification.ts";
export type { BucketSetting } from "./settings/bucket-setting.ts";
export { SettingError } from "./settings/bucket-setting.ts";
export type { CorsConfiguration } from "./settings/cors.ts";
export { corsHeaders, corsSetting, corsVary } from "./settings/cors.ts";
export { parseDocument } from "./settings/document.ts";
export type { LifecycleConfiguration } from "./settings/lifecycle.ts";
export { classesOf, lifecycleSetting, noSuchClass } from "./settings/lifecycle.ts";
export type {
  ActiveRules,
  Due,
  LifecycleDay,
  VersionState,
} from "./settings/lifecycle-evaluate.ts";
export {
  abortionOf,
  activeRules,
  calendarDay,
  decideVersion,
  expirationOf,
  needsTags,
  transitionOf,
} from "./settings/lifecycle-evaluate.ts";
export { requestPaymentSetting } from "./settings/request-payment.ts";
export type { Tag } from "./settings/tags.ts";
export { formatTaggingHeader, objectTagging, sortTags, taggingSetting } from "./settings/tags.ts";
export {
  encodeNoOwnership,
  encodeOwnership,
  type ObjectOwnership,
  ownershipSetting,
} from "./settings/ownership.ts";
export { bucketSettings } from "./settings/registry.ts";
export { publicAccessBlockSetting } from "./settings/public-access-block.ts";
export { policyStatusDocument } from "./setting-documents.ts";
export type { WebsiteConfiguration, WebsiteOrigin } from "./settings/website.ts";
export {
  routeWebsite,
  routeWebsiteError,
  websiteErrorPage,
  websiteSetting,
} from "./settings/website.ts";
export { isPlainRead, plainReadHeaders, toFaultResponse, toResponse } from "./respond.ts";
export type { ListedObject, ObjectView, Owner, ResponseContext, S3Result } from "./result.ts";
export type { XmlNode } from "./xml-write.ts";
export { writeXml } from "./xml-write.ts";
