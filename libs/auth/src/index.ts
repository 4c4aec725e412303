/**
 * AWS Signature Version 4 for S3, always enforced, from parsed heads to a verdict. Pure; the Crypto
 * port and a synchronous look-up of access keys come in. Two machines: `SignatureVerifier` (head →
 * key and payload mode, or a fault with S3's code) and `AwsChunkedDecoder` (aws-chunked body →
 * slices, chunk and trailer signatures checked).
 * `ChunkTickets` grants and checks native clients' rights to chunks, `tenantOfCertificate` says whose a certificate is;
 * `SessionTokens` seals temporary credentials; `parsePostPolicy` and `checkPostPolicy` hold browser forms to what was signed.
 * Invariants: signatures are compared in constant time, and an unknown key costs what a wrong
 * secret does; the path is signed as decoded and escaped again, never normalised; decoded slices
 * are views of what was fed; derived keys are kept in a bounded cache, never logged.
 * Refuses: any `x-amz-*` header or `X-Amz-*` parameter that arrived unsigned, a host unsigned, both
 * forms of signature at once, clocks 15 minutes apart, presigned queries over 7 days or expired.
 */
export { AwsChunkedDecoder } from "./aws-chunked.ts";
export { ChunkTickets } from "./chunk-tickets.ts";
export type { AuthFault } from "./fault.ts";
export type { PayloadMode, StreamedPayload } from "./payload-mode.ts";
export { anonymousPayload } from "./payload-mode.ts";
export type { PostPolicy } from "./post-policy.ts";
export { checkPostPolicy, parsePostPolicy } from "./post-policy.ts";
export type { TemporaryCredentials } from "./session-tokens.ts";
export { SessionTokens } from "./session-tokens.ts";
export { tenantOfCertificate } from "./tenant-identity.ts";
export type { TokenRefusal } from "./verify-request.ts";
export { SignatureVerifier } from "./verify-request.ts";
