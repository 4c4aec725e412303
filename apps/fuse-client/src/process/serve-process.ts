/** A private client process: serves one program's files, caches and staging on a Unix socket, and ends with it. */
import { appendFileSync } from "node:fs";
import type { Console } from "../cli/console.ts";
import type { MountPlan } from "../cli/mount-plan.ts";
import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";
import { fromHex } from "@kiseki/base";
import { nativeDirectory } from "../native-directory.ts";
import { openNamespace } from "../open-namespace.ts";
import { type Call, CallError, tokenSize } from "./connection.ts";
import { FileCalls } from "./file-calls.ts";
import { type VerbName, verbs } from "./frame.ts";
import { listenUnix } from "./listen.ts";
import { stagingCalls } from "./staging-calls.ts";
import { workflowCalls } from "./workflow-calls.ts";
import { cacheCalls } from "./cache-calls.ts";

const tokenWaitMs = 10_000;
const notConnected = 107;

/** Standard input: the token in hex, a line, and then nothing until whoever started us ends. */
class Parent {
  readonly token: Promise<Uint8Array>;
  readonly gone: Promise<void>;
  constructor() {
    const token = Promise.withResolvers<Uint8Array>();
    const gone = Promise.withResolvers<void>();
    this.token = token.promise;
    this.gone = gone.promise;
    const refuse = (): void => {
      const words = `Cannot start: standard input brings ${tokenSize * 2} hex digits and stays open`;
      token.reject(new CommandError(exitCode.arguments, words));
    };
    let text = "";
    const late = setTimeout(refuse, tokenWaitMs);
    process.stdin.on("data", (piece: Buffer) => {
      if (text.length > tokenSize * 2) return;
      text += piece.toString("latin1");
      const match = /^([0-9a-f]{64})\r?\n/.exec(text);
      if (match) token.resolve(fromHex(match[1]!));
      else if (text.length > tokenSize * 2) refuse();
    });
    const end = (): void => {
      refuse();
      gone.resolve();
    };
    process.stdin.on("end", end).on("error", end);
    void this.token.catch(() => undefined).then(() => clearTimeout(late));
  }
}

/** Serves until standard input ends, a signal comes or somebody says close. What was written is stored before it ends. */
export async function serveProcess(
  plan: MountPlan,
  socketPath: string,
  console: Console,
): Promise<ExitCode> {
  const parent = new Parent();
  const token = await parent.token;
  // Standard error is the program's own: there is a log where one was asked for.
  const log = (event: string, detail: object): void => {
    const line = `${JSON.stringify({ time: new Date().toISOString(), event, ...detail })}\n`;
    if (plan.logFile !== undefined) appendFileSync(plan.logFile, line, { mode: 0o600 });
  };
  const kernel = {
    invalidateNode() {},
    invalidateEntry() {},
    vouchOpens() {},
    withdrawOpens() {},
  };
  await using namespace = await openNamespace(
    { ...plan, isStaging: true },
    kernel,
    nativeDirectory,
    log,
  );
  const files = new FileCalls(namespace.fileSystem, namespace.isReadOnly, namespace.counters);
  const ending = Promise.withResolvers<void>();
  let finished: Promise<boolean> | undefined;
  /** Stores what is open and written. False: not all of it could be. */
  const finish = (): Promise<boolean> =>
    (finished ??= (async () => {
      await Promise.all(server.handles().map((handles) => files.closeAll(handles)));
      const failure = await namespace.fileSystem.close();
      await namespace.wipe();
      return failure === undefined;
    })());
  const close: Call = async (fields) => {
    fields.end();
    const isStored = await finish();
    setTimeout(() => ending.resolve(), 1000); // the answer goes out; usually the parent's end comes first
    if (!isStored) throw new CallError(5, "What was written last could not be stored");
    return undefined;
  };
  const open =
    (call: Call): Call =>
    (fields, context) => {
      if (finished !== undefined) throw new CallError(notConnected, "The client is closed");
      return call(fields, context);
    };
  const named: Readonly<Partial<Record<VerbName, Call>>> = {
    ...Object.fromEntries(
      Object.entries(files.calls).map(([name, call]): [string, Call] => [
        name,
        (fields, context) => call(fields, context.handles),
      ]),
    ),
    ...cacheCalls(namespace),
    ...stagingCalls(namespace.staging),
    ...workflowCalls(namespace.workflows, log),
  };
  const table = new Map<number, Call>([[verbs.close, close]]);
  for (const [name, call] of Object.entries(named)) table.set(verbs[name as VerbName], open(call));
  const server = listenUnix(socketPath, token, table, (handles) => files.closeAll(handles));
  process.on("SIGINT", () => undefined); // Ctrl-C is for the parent, with which this ends
  process.on("SIGTERM", () => ending.resolve());
  console.emit({ ready: true, socket: socketPath, notes: [...plan.notes, ...namespace.notes] });
  await Promise.race([ending.promise, parent.gone]);
  const isStored = await finish();
  await server.close();
  return isStored ? exitCode.ok : exitCode.general;
}
