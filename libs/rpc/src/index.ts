/**
 * Administration and native clients over Connect: the only importer of @connectrpc, and the words in which both ends speak.
 *
 * `serveNodeAdmin` answers `NodeAdminService`, and for native clients discovery, files and data, over a backend each, on a local socket (whoever may open the
 * file may do everything) and over TLS (a bearer token, or a certificate of a given authority).
 * `openNodeAdminClient` and `openNativeClient` are the callers' ends. Invariants: no request is worked on before its door has let
 * it in; tokens are compared in constant time; what a caller is told comes from `RpcError` messages
 * alone, all else is "Internal error"; a call whose caller has gone is aborted. Refused: request
 * messages over 64 KiB (of files: 4 MiB), TCP without TLS, sockets on which a living node listens, a tenant's
 * certificate that would administer.
 */
export { advisoryCodeOf, AdvisoryError } from "./advisory-error.ts";
export type { AdvisoryBackend, NativeBackend, NativeCall, NodeAdminBackend } from "./backend.ts";
export { fromRulesMessage, toRulesMessage } from "./cache-rules.ts";
export type {
  AdvisoryClient,
  NativeClient,
  NodeAdminClient,
  NodeAdminTarget,
} from "./open-node-admin-client.ts";
export {
  openAdvisoryClient,
  openNativeClient,
  openNodeAdminClient,
} from "./open-node-admin-client.ts";
export type { DiscoverResponse } from "./gen/kiseki/v1/discovery_pb.ts";
export type { FileResult } from "./gen/kiseki/v1/file_operation_pb.ts";
export type { OpenSessionResponse, PlanReadResponse } from "./gen/kiseki/v1/file_pb.ts";
export type {
  Attributes as AttributesMessage,
  Failure as FailureMessage,
  Lock as LockMessage,
} from "./gen/kiseki/v1/file_types_pb.ts";
export type { WriteKey } from "./gen/kiseki/v1/data_pb.ts";
export type { Peer } from "./peer.ts";
export { peerOfCertificate } from "./peer.ts";
export type { RpcErrorCode } from "./rpc-error.ts";
export { RpcError, toRpcError } from "./rpc-error.ts";
export type { RpcListener, RpcServer, TlsListener } from "./serve-node-admin.ts";
export { serveAdvisory } from "./serve-advisory.ts";
export { answers, serveNodeAdmin } from "./serve-node-admin.ts";
