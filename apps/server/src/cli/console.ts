import { writeSync } from "node:fs";
import { toRpcError } from "@kiseki/rpc";
import { SingleBar } from "cli-progress";
import { CommandError, type ExitCode } from "@kiseki/cli";
import { rpcFate } from "./fates.ts";
import { toPlain } from "./format.ts";

/** Where a command writes; tests give their own. */
export interface Console {
  /** One JSON object a line instead of text. */
  readonly isJson: boolean;
  /** Text for people; dropped with `isJson`. */
  say(text: string): void;
  /** A result as one line of JSON; dropped without `isJson`. */
  emit(value: unknown): void;
  /** Text for people beside the result, on standard error; dropped with `isJson`. */
  note(text: string): void;
  /** Shows how far something is, once it takes more than a second. */
  progress(what: string): Progress;
  fail(reason: unknown): ExitCode;
}
export interface Progress extends Disposable {
  /** `total` 0: not known. */
  update(done: number, total: number, what?: string): void;
}

const quietMs = 1000;
const lineMs = 5000;
const nothing: Progress = { update: () => undefined, [Symbol.dispose]: () => undefined };

/** Written whole before it returns: the program may exit right after. */
function write(descriptor: 1 | 2, text: string): void {
  const source = Buffer.from(`${text}\n`);
  let offset = 0;
  while (offset < source.byteLength) {
    try {
      offset += writeSync(descriptor, source, offset);
    } catch (reason) {
      const code = reason instanceof Error && "code" in reason ? reason.code : "";
      if (code === "EPIPE") return; // whoever read it has gone
      if (code !== "EAGAIN") throw reason;
    }
  }
}

function barOf(what: string): Progress {
  const bar = new SingleBar({
    format: "{what} [{bar}] {percentage}% | {value}/{total}",
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 30,
  });
  const started = performance.now();
  let isShown = false;
  return {
    update(done, total, now = what) {
      if (performance.now() - started < quietMs || total === 0) return;
      if (!isShown) bar.start(total, done, { what: now });
      isShown = true;
      bar.setTotal(total);
      bar.update(done, { what: now });
    },
    [Symbol.dispose]() {
      if (isShown) bar.stop();
    },
  };
}

function linesOf(what: string): Progress {
  let next = performance.now() + quietMs;
  return {
    update(done, total, now = what) {
      if (performance.now() < next) return;
      next = performance.now() + lineMs;
      write(2, `${now}: ${done}${total > 0 ? ` of ${total}` : ""}`);
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** The terminal of this process. */
export function openConsole(isJson: boolean): Console {
  return {
    isJson,
    say: (text) => void (isJson || write(1, text)),
    emit: (value) => void (isJson && write(1, JSON.stringify(toPlain(value)))),
    note: (text) => void (isJson || write(2, text)),
    progress: (what) => (isJson ? nothing : process.stderr.isTTY ? barOf(what) : linesOf(what)),
    fail(reason) {
      const { message, advice, exit, code } = explain(reason);
      if (isJson) write(2, JSON.stringify({ error: { code, message, advice, exit_code: exit } }));
      else write(2, `kiseki: ${message}${advice === "" ? "" : `\n        ${advice}`}`);
      return exit;
    },
  };
}

/** What is said of a failure, and how the program ends. */
export function explain(reason: unknown): {
  readonly message: string;
  readonly advice: string;
  readonly exit: ExitCode;
  readonly code: string;
} {
  if (reason instanceof CommandError) {
    const { message, advice, exit, code } = reason;
    return { message, advice, exit, code };
  }
  const error = toRpcError(reason);
  return { message: error.message, ...rpcFate[error.code], code: error.code };
}
