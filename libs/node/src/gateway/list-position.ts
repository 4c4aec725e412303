import { keyset } from "@kiseki/base";
import { isFault, type ListScope, openListToken, sealListToken } from "@kiseki/s3";
import { GatewayFailure } from "./failure.ts";
import type { CallScope } from "./scope.ts";

/** The token under which a listing goes on above `after`. */
export function sealPosition(scope: CallScope, place: ListScope, after: Uint8Array): string {
  const { crypto } = scope.ports;
  const keys = scope.tenant.keys("read");
  const key = keys.writing.listTokenKey(scope.tenant.shard);
  const token = sealListToken(crypto, { keyset: keys.current, key }, place, {
    kind: "after_key",
    key: after,
  });
  crypto.wipe(key);
  return token;
}

/** Where a token says to go on; `undefined`: at the start. @throws {GatewayFailure} when it is forged. */
export function openPosition(
  scope: CallScope,
  place: ListScope,
  token: string | undefined,
): Uint8Array | undefined {
  if (token === undefined) return undefined;
  const { crypto } = scope.ports;
  const keys = scope.tenant.keys("read");
  const findKey = (number: number): Uint8Array | undefined =>
    number >= 1 ? keys.keyset(keyset(number))?.listTokenKey(scope.tenant.shard) : undefined;
  const position = openListToken(crypto, findKey, place, token);
  if (isFault(position)) throw new GatewayFailure(position);
  if (position.kind === "start") return undefined;
  return position.kind === "after_key" ? position.key : position.prefix;
}
