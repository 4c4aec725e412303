import { expect, test } from "bun:test";
import { type RpcErrorCode, toRpcError } from "./rpc-error.ts";

test("toRpcError() tells a damaged connection from a node that is not trusted", () => {
  const cases: readonly (readonly [string, RpcErrorCode])[] = [
    ["EPROTO", "unreachable"],
    ["ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "unreachable"],
    ["ECONNRESET", "unreachable"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "unreachable"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "untrusted"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "unauthenticated"],
    ["WHAT_EVER", "internal"],
  ];
  for (const [code, wanted] of cases) {
    const reason = Object.assign(new Error("fetch failed"), { code });
    expect([code, toRpcError(reason).code]).toEqual([code, wanted]);
  }
});
