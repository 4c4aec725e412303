import { type NodeAdminClient, openNodeAdminClient } from "@kiseki/rpc";
import type { Command } from "commander";
import { type ConnectionOptions, findTarget } from "./connection.ts";
import { type Console, openConsole } from "./console.ts";
import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";

/** What a command works with. */
export interface Session {
  readonly console: Console;
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Options of the command and of the program. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Connects at the first call. */
  client(): Promise<NodeAdminClient>;
}

/** The text of an option that takes one. */
export function textOption(session: Session, name: string): string | undefined {
  const value = session.options[name];
  return typeof value === "string" ? value : undefined;
}

/** A size such as `512MiB`. @throws {CommandError} */
export function sizeOption(session: Session, name: string): bigint | undefined {
  const text = textOption(session, name);
  if (text === undefined) return undefined;
  const match = /^(\d{1,15})([KMGT]?)(?:iB|B)?$/i.exec(text);
  if (!match) {
    throw new CommandError(
      exitCode.arguments,
      `Cannot use ${JSON.stringify(text)} as a size: write 512MiB or 10GiB`,
    );
  }
  const power = "KMGT".indexOf(match[2]!.toUpperCase() || "?") + 1;
  return BigInt(match[1]!) * 1024n ** BigInt(power);
}
/** A whole number. @throws {CommandError} */
export function countOption(session: Session, name: string): bigint | undefined {
  const text = textOption(session, name);
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new CommandError(exitCode.arguments, `Cannot use ${JSON.stringify(text)} as a number`);
}

/** The client with every request about `tenant`. */
const ofTenant = (client: NodeAdminClient, tenant: string): NodeAdminClient =>
  new Proxy(client, {
    get(calls, name) {
      const call: unknown = Reflect.get(calls, name);
      if (typeof call !== "function") return call;
      return (request: object, options: unknown): unknown =>
        Reflect.apply(call, calls, [{ ...request, tenant }, options]);
    },
  });

export type Work = (session: Session, ...words: string[]) => Promise<ExitCode>;

/** Gives `command` its work; `onEnd` gets the exit code, of failures too. */
export function act(command: Command, onEnd: (code: ExitCode) => void, work: Work): void {
  command.action(async (...given: unknown[]) => {
    const words = given.filter((word) => typeof word === "string" || word === undefined);
    const options = command.optsWithGlobals<Record<string, unknown>>();
    const console = openConsole(options["json"] === true);
    const stopping = new AbortController();
    const stop = (): void => stopping.abort(new Error("interrupted"));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
    const session: Session = {
      console,
      signal: stopping.signal,
      options,
      client: async () => {
        const target = await findTarget(options as ConnectionOptions, process.env);
        const { tenant } = options;
        const client = openNodeAdminClient(target);
        return typeof tenant === "string" ? ofTenant(client, tenant) : client;
      },
    };
    try {
      onEnd(await work(session, ...(words as string[])));
    } catch (reason) {
      onEnd(console.fail(reason));
    }
  });
}
