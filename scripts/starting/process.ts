import { open } from "node:fs/promises";
import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Plan, serverWords, stateFile } from "./plan.ts";

/** A node that was started from here and is alive. */
export interface Running {
  readonly pid: number;
  readonly s3Port: number;
  readonly rpcPort: number | undefined;
  readonly metricsPort: number;
}

/** What the server prints, one JSON object a line: readiness with ports, and once the recovery code. */
interface ServerLine {
  readonly ready?: boolean;
  readonly s3_port?: number;
  readonly rpc_port?: number;
  readonly metrics_port?: number;
  readonly recovery_code?: string;
}

const pollMs = 20;
/** Beyond what the server itself allows for finishing requests. */
const stopMs = 60_000;
const linesShown = 20;

/** True while process `pid` is a server on this config directory: a number alone may have been given away again. */
async function isOurs(
  pid: number,
  { configDir }: { readonly configDir: string },
): Promise<boolean> {
  try {
    const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
    const state = /\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, "utf8"))?.[1];
    return state !== "Z" && words[0]!.endsWith("kiseki-server") && words.includes(configDir);
  } catch {
    return false; // no such process
  }
}

/** The node that `server.pid` names, if it is alive. */
export async function findRunning(plan: Plan): Promise<Running | undefined> {
  try {
    const known = JSON.parse(await readFile(stateFile(plan, "server.pid"), "utf8")) as Running;
    return (await isOurs(known.pid, plan)) ? known : undefined;
  } catch {
    return undefined; // never started, or stopped
  }
}

/** Whether `/health` of the metrics listener says that the node can store. */
export async function isReady(metricsEndpoint: string): Promise<boolean> {
  const tokenFile = process.env["KISEKI_METRICS_TOKEN_FILE"];
  try {
    const headers: Record<string, string> = tokenFile
      ? { authorization: `Bearer ${(await readFile(tokenFile, "utf8")).trim()}` }
      : {};
    return (await fetch(`${metricsEndpoint}/health/ready`, { headers })).ok;
  } catch {
    return false;
  }
}

export interface Started {
  readonly running: Running;
  /** At the very first start only. */
  readonly recoveryCode: string | undefined;
  /** Resolves with the server's exit status. */
  readonly ended: Promise<number | null>;
}

/** What was written behind `offset`, its last lines. */
async function lastLines(path: string, offset: number): Promise<string> {
  const lines = (await readFile(path)).subarray(offset).toString().trimEnd().split("\n");
  return lines.slice(-linesShown).join("\n");
}

/**
 * Starts the server and resolves when it answers. Its standard output comes through a pipe and is written
 * nowhere, because the recovery code is on it.
 *
 * @throws {Error} with the server's last lines when it ends before.
 */
export async function startServer(program: string, plan: Plan): Promise<Started> {
  await mkdir(join(plan.configDir, "up"), { recursive: true, mode: 0o700 });
  const logPath = stateFile(plan, "server.log");
  await using log = await open(logPath, "a", 0o600);
  const { size: before } = await log.stat();
  const child = spawn(program, serverWords(plan), {
    cwd: "/",
    detached: !plan.isForeground,
    stdio: ["ignore", "pipe", plan.isForeground ? "inherit" : log.fd],
  });
  const ended = new Promise<number | null>((settle, fail) => {
    child.once("exit", (code) => settle(code));
    child.once("error", fail);
  });
  let recoveryCode: string | undefined;
  const ready = new Promise<ServerLine>((settle) => {
    createInterface({ input: child.stdout! }).on("line", (text) => {
      const line = JSON.parse(text) as ServerLine;
      recoveryCode ??= line.recovery_code;
      if (line.ready) settle(line);
    });
  });
  const first = await Promise.race([ready, ended]);
  if (first === null || typeof first === "number") {
    if (recoveryCode) {
      console.log(
        `Recovery code: ${recoveryCode}\nWrite it down: it is of the keys that were made.`,
      );
    }
    const words = plan.isForeground ? "" : `:\n${await lastLines(logPath, before)}`;
    throw new Error(`The node did not start (exit status ${first})${words}`);
  }
  const running: Running = {
    pid: child.pid!,
    s3Port: first.s3_port!,
    rpcPort: first.rpc_port,
    metricsPort: first.metrics_port!,
  };
  await writeFile(stateFile(plan, "server.pid"), `${JSON.stringify(running)}\n`);
  if (plan.isForeground) {
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => child.kill(signal));
  } else child.unref();
  return { running, recoveryCode, ended };
}

/** SIGTERM; resolves when the process is gone. @throws {Error} when it does not go. */
export async function stopServer(plan: Plan, { pid }: Running): Promise<void> {
  process.kill(pid, "SIGTERM");
  const end = performance.now() + stopMs;
  while (await isOurs(pid, plan)) {
    if (performance.now() > end)
      throw new Error(`The node (pid ${pid}) does not stop; see server.log`);
    await Bun.sleep(pollMs);
  }
  await rm(stateFile(plan, "server.pid"), { force: true });
}
