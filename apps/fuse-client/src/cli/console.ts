import { writeSync } from "node:fs";
import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";

/** Written whole before it returns: the program may exit right after. */
function write(descriptor: 1 | 2, text: string): void {
  try {
    writeSync(descriptor, `${text}\n`);
  } catch (reason) {
    // Whoever started a mount in the background has gone, or reads no more.
    const code = reason instanceof Error && "code" in reason ? reason.code : "";
    if (code !== "EPIPE" && code !== "EAGAIN") throw reason;
  }
}

/** Says things to whoever started the program, as text or as JSON. */
export class Console {
  readonly #name: string;
  readonly #isJson: boolean;
  /** `name`: of the program. */
  constructor(name: string, isJson: boolean) {
    this.#name = name;
    this.#isJson = isJson;
  }
  /** The result: `text`, or `value` as one line of JSON. */
  say(text: string, value: object): void {
    write(1, this.#isJson ? JSON.stringify(value) : text);
  }
  /** One line that another program reads. */
  emit(value: object): void {
    write(1, JSON.stringify(value));
  }
  /** Something beside the result. */
  note(text: string): void {
    if (!this.#isJson) write(2, `${this.#name}: ${text}`);
  }
  fail(reason: unknown): ExitCode {
    const exit = reason instanceof CommandError ? reason.exit : exitCode.general;
    const advice = reason instanceof CommandError ? reason.advice : "";
    const message = reason instanceof Error ? reason.message : String(reason);
    if (this.#isJson) {
      const code = reason instanceof CommandError ? reason.code : "failed";
      write(2, JSON.stringify({ error: { code, message, advice, exit_code: exit } }));
    } else write(2, `${this.#name}: ${message}${advice && `\n  ${advice}`}`);
    return exit;
  }
}
