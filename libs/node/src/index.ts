/**
 * The storage node at work: shard owners, the way of a request from socket to devices and back,
 * housekeeping, configuration; and the node's side of native clients (`openNative`), which seal for themselves.
 *
 * `openNode` opens storage (keys, mirrors, catalog, devices), counts the start, and answers S3 through
 * `gateway.handle`; `serveFront` brings requests to it. Invariants: content is synced before its delta is
 * committed, and committed before it is answered; one writer per shard, one batch in flight; a
 * condemned seal goes only when every reader begun before has left. Refused: an older member list, an
 * old copy of a shard file, listeners beyond loopback without TLS unless a flag says so.
 */
export { openAdminBackend } from "./admin/admin-backend.ts";
export { advisoryBackend } from "./advisory/advisory-backend.ts";
export { ConfigError, describeSettings, parseSettings } from "./config/parse-settings.ts";
export { foreignVariables, ignoredVariables, serverSettings } from "./config/server-settings.ts";
export { checkServerSettings } from "./config/check-settings.ts";
export { proxyTrust } from "./front/forwarded.ts";
export { serveFront } from "./front/serve-front.ts";
export type { Front, FrontOptions } from "./front/types.ts";
export type { NativeService } from "./native/open-native.ts";
export { openNative } from "./native/open-native.ts";
export { ConfigDirectory, keyFiles, readPem } from "./node/config-directory.ts";
export type { StorageNode } from "./node/open-node.ts";
export { openNode } from "./node/open-node.ts";
export type { ServerSettings } from "./node/open-storage.ts";
