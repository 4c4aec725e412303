/** Names of the header that says to which workflow a request belongs (spec §9.1). */
export const workflowHeader = "x-kiseki-workflow-ref";
/** Of RPC: 16 bytes in base64. */
export const workflowBinaryHeader = "x-kiseki-workflow-ref-bin";

const hex = /^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$/;
const base64 = /^[A-Za-z0-9+/]{21}[AQgw](?:==)?$/;

/** The id in 32 hex digits, of a UUID, of hex digits or, where it is `isBinary`, of base64. `undefined`: it is none. */
export function readWorkflowRef(text: string, isBinary: boolean): string | undefined {
  if (!isBinary) return hex.test(text) ? text.replaceAll("-", "").toLowerCase() : undefined;
  return base64.test(text) ? Uint8Array.fromBase64(text).toHex() : undefined;
}
