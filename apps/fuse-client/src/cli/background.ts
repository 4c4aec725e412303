/** Work in the background: another process does it; this one waits until it is ready, and says what went wrong if not. */
import { spawn } from "node:child_process";
import { type ExitCode, exitCode } from "@kiseki/cli";

const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** This very program; a compiled one is started by its own name alone. */
export function ownCommand(): readonly string[] {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

/** What the process in the background says, a JSON object a line. */
export type Said = Readonly<Record<string, unknown>>;
export type Started =
  /** `said`: the line that says that it is ready. */
  | { readonly kind: "ready"; readonly pid: number; readonly said: Said }
  | { readonly kind: "failed"; readonly code: number };

/**
 * Starts the program anew with `words`, away from this terminal. What it says before it is ready comes through: text as it is,
 * lines to `onSaid`. Its standard input ends when this process does.
 */
export async function startInBackground(
  words: readonly string[],
  onSaid: (said: Said) => void = () => undefined,
): Promise<Started> {
  const [program = "", ...rest] = ownCommand();
  const child = spawn(program, [...rest, ...words], {
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => undefined);
  child.stderr.pipe(process.stderr);
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of endingSignals) process.on(signal, pass);
  let text = "";
  const ready = new Promise<Started>((resolve) => {
    child.stdout.on("data", (piece: Buffer) => {
      const lines = `${text}${piece.toString()}`.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const said = JSON.parse(line) as Said;
        if (said["ready"] === true) resolve({ kind: "ready", pid: child.pid!, said });
        else onSaid(said);
      }
    });
  });
  const failed = new Promise<Started>((resolve) => {
    child.on("exit", (code) => resolve({ kind: "failed", code: code ?? 1 }));
    child.on("error", () => resolve({ kind: "failed", code: 1 }));
  });
  const started = await Promise.race([ready, failed]);
  for (const signal of endingSignals) process.off(signal, pass);
  if (started.kind === "ready") {
    child.unref();
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
  }
  return started;
}

/** How the process in the background failed, as this one ends. */
export function exitOfFailure({ code }: Extract<Started, { kind: "failed" }>): ExitCode {
  const known = Object.values(exitCode).find((each) => each === code);
  return known === undefined || known === exitCode.ok ? exitCode.general : known;
}
