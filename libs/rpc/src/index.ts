/**
 * Administration over Connect: the only importer of @connectrpc, and the words in which both ends speak.
 *
 * `serveNodeAdmin` answers `NodeAdminService` over a backend, on a local socket (whoever may open the
 * file may do everything) and over TLS (a bearer token, or a certificate of a given authority).
 * `openNodeAdminClient` is the caller's end. Invariants: no request is worked on before its door has let
 * it in; tokens are compared in constant time; what a caller is told comes from `RpcError` messages
 * alone, all else is "Internal error"; a call whose caller has gone is aborted. Refused: request
 * messages over 64 KiB, TCP without TLS, sockets on which a living node listens.
 */
export type { NodeAdminBackend } from "./backend.ts";
export type { NodeAdminClient, NodeAdminTarget } from "./open-node-admin-client.ts";
export { openNodeAdminClient } from "./open-node-admin-client.ts";
export type { RpcErrorCode } from "./rpc-error.ts";
export { RpcError, toRpcError } from "./rpc-error.ts";
export type { RpcListener, RpcServer } from "./serve-node-admin.ts";
export { answers, serveNodeAdmin } from "./serve-node-admin.ts";
