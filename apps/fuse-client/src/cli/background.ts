/** A mount in the background: another process serves it; this one waits until it works, and says what went wrong if not. */
import { spawn } from "node:child_process";

/** What the serving process says, a line, once the mount works. */
export interface ReadyLine {
  readonly ready: true;
  readonly target: string;
}

/** This very program; a compiled one is started by its own name alone. */
function ownCommand(): readonly string[] {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

export type Started =
  | { readonly kind: "ready"; readonly pid: number; readonly target: string }
  | { readonly kind: "failed"; readonly code: number };

/** Starts the program anew with `words`, away from this terminal. What it says before it works comes through. */
export async function startInBackground(words: readonly string[]): Promise<Started> {
  const [program = "", ...rest] = ownCommand();
  const child = spawn(program, [...rest, ...words], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stderr.pipe(process.stderr);
  let text = "";
  const ready = new Promise<Started>((resolve) => {
    child.stdout.on("data", (piece: Buffer) => {
      text += piece.toString();
      const [line, ...more] = text.split("\n");
      if (more.length === 0) return;
      const { target } = JSON.parse(line!) as ReadyLine;
      resolve({ kind: "ready", pid: child.pid!, target });
    });
  });
  const failed = new Promise<Started>((resolve) => {
    child.on("exit", (code) => resolve({ kind: "failed", code: code ?? 1 }));
    child.on("error", () => resolve({ kind: "failed", code: 1 }));
  });
  const started = await Promise.race([ready, failed]);
  if (started.kind === "ready") {
    child.unref();
    child.stdout.destroy();
    child.stderr.destroy();
  }
  return started;
}
