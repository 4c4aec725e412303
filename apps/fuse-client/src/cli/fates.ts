import { type ExitCode, exitCode } from "@kiseki/cli";
import type { FileRefusalCode } from "@kiseki/vfs";

/** Of mount(8): what `mount` shows of its helper. */
export const mountExitCode = { ok: 0, usage: 1, failure: 32 } as const;

/** How a refusal of the node ends the program. */
export function exitOf(code: FileRefusalCode): ExitCode {
  if (code === "unreachable") return exitCode.connection;
  return code === "forbidden" ? exitCode.authentication : exitCode.general;
}
