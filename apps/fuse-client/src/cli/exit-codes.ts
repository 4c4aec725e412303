import type { FileRefusalCode } from "@kiseki/vfs";

/** As those of `kiseki` (spec §8.8). */
export const exitCode = {
  ok: 0,
  /** What was asked for did not happen, or a mount ended otherwise than by an unmount. */
  general: 1,
  /** The words on the command line, or a file named there. */
  arguments: 2,
  /** No node answers, or it is not the one that was meant. */
  connection: 3,
  /** The node does not let this client in. */
  authentication: 4,
} as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** Of mount(8): what `mount` shows of its helper. */
export const mountExitCode = { ok: 0, usage: 1, failure: 32 } as const;

/** Ends the program with a message, what to do next, and an exit code. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exit: ExitCode;
  readonly advice: string;
  constructor(exit: ExitCode, message: string, advice = "") {
    super(message);
    this.exit = exit;
    this.advice = advice;
  }
}

/** How a refusal of the node ends the program. */
export function exitOf(code: FileRefusalCode): ExitCode {
  if (code === "unreachable") return exitCode.connection;
  return code === "forbidden" ? exitCode.authentication : exitCode.general;
}
