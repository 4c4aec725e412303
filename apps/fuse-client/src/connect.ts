import { hostname } from "node:os";
import { MiB } from "@kiseki/base";
import { CommandError } from "@kiseki/cli";
import { type Client, openClient } from "@kiseki/client";
import { openDatapath } from "@kiseki/datapath";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { Connection } from "./cli/connection.ts";
import { exitOf } from "./cli/fates.ts";
import { readIdentity } from "./cli/identity.ts";

/** Bounds what is being sealed, sent, fetched and opened. */
const arenaSize = 128 * MiB;
const computeThreads = 2;

/** A namespace on its nodes. */
export interface Connected extends AsyncDisposable {
  readonly client: Client;
  readonly crypto: ReturnType<typeof openCrypto>;
}

/**
 * Opens the client of every program. `timeoutMs`: how long an operation waits for nodes before it fails.
 *
 * @throws {CommandError} in words for whoever started it.
 */
export async function connect(
  connection: Connection & { readonly timeoutMs?: number; readonly workflow?: string },
  nativeDirectory: string,
): Promise<Connected> {
  const { seeds, tenant, namespace, timeoutMs, workflow } = connection;
  const identity = await readIdentity(connection.identity);
  await using building = new AsyncDisposableStack();
  const crypto = openCrypto(nativeDirectory);
  const datapath = building.use(
    openDatapath({ directory: nativeDirectory, arenaSize, computeThreads, deviceThreads: 1 }),
  );
  const deadline = timeoutMs === undefined ? {} : { deadlineMs: timeoutMs };
  const client = await openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath },
    { seeds, tenant, namespace, identity, hostName: hostname(), workflow, ...deadline },
  );
  if (client.kind === "refused") throw new CommandError(exitOf(client.code), client.message);
  building.defer(() => client.close());
  const parts = building.move();
  return { client, crypto, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
