/** How every program of Kiseki ends (spec §8.8). */
export const exitCode = {
  ok: 0,
  /** What was asked for did not happen, a check found damage, or a mount ended otherwise than by an unmount. */
  general: 1,
  /** The words on the command line, or a file named there. */
  arguments: 2,
  /** No node answers, or it is not the one that was meant. */
  connection: 3,
  /** The node does not let this caller in. */
  authentication: 4,
} as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** Ends a command with a message, what to do next, and an exit code. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exit: ExitCode;
  readonly advice: string;
  constructor(exit: ExitCode, message: string, advice = "") {
    super(message);
    this.exit = exit;
    this.advice = advice;
  }
  /** What JSON says of it. */
  get code(): "invalid" | "forbidden" | "failed" {
    if (this.exit === exitCode.arguments) return "invalid";
    return this.exit === exitCode.authentication ? "forbidden" : "failed";
  }
}
