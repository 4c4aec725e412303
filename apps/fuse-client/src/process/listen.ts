import { chmodSync, existsSync, lstatSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { CommandError, exitCode } from "@kiseki/cli";
import { ByteBudget, type CallTable, ClientConnection } from "./connection.ts";
import type { ClientHandles } from "./file-calls.ts";

/** A longer path is opened by its folder, where a `sockaddr_un` has room for the name alone. */
const nameSizeMax = 80;
const connectionsMax = 256;
const memoryMax = 128 * 1024 * 1024;

/** @throws {CommandError} unless the folder of `path` is for its owner, us, alone, and nothing is at `path`. */
function checkPlace(path: string): void {
  const refuse = (why: string): never => {
    throw new CommandError(exitCode.arguments, `Cannot listen on ${path}: ${why}`);
  };
  if (Buffer.byteLength(basename(path)) > nameSizeMax)
    refuse(`a socket's name has up to ${nameSizeMax} bytes`);
  const folder = lstatSync(dirname(path), { throwIfNoEntry: false });
  if (folder?.isDirectory() !== true) return refuse("there is no such folder");
  if (folder.uid !== process.getuid?.() || (folder.mode & 0o077) !== 0)
    refuse("its folder is for others too; it has mode 0700");
  if (existsSync(path)) refuse("it is there already");
}

export interface SocketServer {
  /** What is open on each connection. */
  handles(): readonly ClientHandles[];
  /** Ends every connection; resolves when no call is at work. */
  close(): Promise<void>;
}

/** Serves `calls` on a socket of mode 0600 to whoever says `token` first. */
export function listenUnix(
  path: string,
  token: Uint8Array,
  calls: CallTable,
  onClosed: (handles: ClientHandles) => Promise<void>,
): SocketServer {
  checkPlace(path);
  const budget = new ByteBudget(memoryMax);
  const open = new Map<object, ClientConnection>();
  const ending = new Set<Promise<void>>();
  const umask = process.umask(0o177);
  const listener = Bun.listen<undefined>({
    unix: path,
    socket: {
      open(socket) {
        if (open.size >= connectionsMax) {
          socket.terminate();
          return;
        }
        const wire = {
          write: (bytes: Uint8Array) => socket.write(bytes),
          pause: () => socket.pause(),
          resume: () => socket.resume(),
          end: () => socket.end(),
        };
        open.set(socket, new ClientConnection(wire, calls, budget, token));
      },
      data(socket, bytes) {
        open.get(socket)?.received(bytes);
      },
      drain(socket) {
        open.get(socket)?.drained();
      },
      close(socket) {
        const connection = open.get(socket);
        open.delete(socket);
        if (connection === undefined) return;
        const ended = connection
          .closed()
          .then(() => onClosed(connection.handles))
          .finally(() => ending.delete(ended));
        ending.add(ended);
      },
      error() {
        // The close that follows says all there is to say.
      },
    },
  });
  process.umask(umask);
  chmodSync(path, 0o600);
  return {
    handles: () => [...open.values()].map(({ handles }) => handles),
    async close() {
      listener.stop(true);
      rmSync(path, { force: true });
      while (ending.size > 0) await Promise.all(ending);
    },
  };
}
