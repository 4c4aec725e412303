import { type ExitCode, exitCode } from "@kiseki/cli";
import type { RpcErrorCode } from "@kiseki/rpc";

/** How each refusal ends the program, and what its user may do next. */
export const rpcFate = {
  invalid: { exit: exitCode.arguments, advice: "" },
  not_found: { exit: exitCode.general, advice: "" },
  exists: { exit: exitCode.general, advice: "" },
  not_empty: { exit: exitCode.general, advice: "" },
  no_space: { exit: exitCode.general, advice: '"kiseki status" shows the space that is left.' },
  data_loss: { exit: exitCode.general, advice: '"kiseki verify" names what is damaged.' },
  unavailable: { exit: exitCode.general, advice: 'Try again; "kiseki doctor" may say why.' },
  canceled: { exit: exitCode.general, advice: "" },
  timeout: {
    exit: exitCode.general,
    advice: 'Try again; "kiseki status" shows whether the node is busy.',
  },
  not_supported: {
    exit: exitCode.general,
    advice: '"kiseki version" shows whether node and command are of the same version.',
  },
  internal: { exit: exitCode.general, advice: "The node's log has the details." },
  unreachable: {
    exit: exitCode.connection,
    advice: "Is the node running? Say where with --config-dir, --socket or --endpoint.",
  },
  untrusted: {
    exit: exitCode.connection,
    advice:
      "Give the certificate to trust with --ca (the node keeps its own as rpc-cert.pem in its config directory).",
  },
  unauthenticated: {
    exit: exitCode.authentication,
    advice:
      "Give the token's file with --token-file (rpc-token in the node's config directory), or --cert and --key.",
  },
  forbidden: {
    exit: exitCode.authentication,
    advice: "Run it as the user that the node runs as.",
  },
} as const satisfies Record<RpcErrorCode, { readonly exit: ExitCode; readonly advice: string }>;
