import { fromUtf8 } from "@kiseki/base";
import { RowError } from "./codec.ts";

/** Fields of a setting that is a JSON object of version 1, without `version`. `what` names it in faults. @throws {RowError} */
export function readJsonSetting(source: Uint8Array, what: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(fromUtf8(source) ?? "");
  } catch (reason) {
    if (!(reason instanceof SyntaxError)) throw reason;
  }
  if (typeof json !== "object" || json === null) throw new RowError("bad_field", what);
  const { version, ...fields } = json as Record<string, unknown>;
  if (version !== 1) throw new RowError("unknown_version", what);
  return fields;
}
