import { type Prng, toHex } from "@kiseki/base";
import type { CachePolicy, KeyAnswer } from "@kiseki/cache";
import type { Clock, Crypto, Datapath } from "@kiseki/ports";
import type { ContentStore, FileRef, FileRefusalCode, FileService } from "@kiseki/vfs";
import { askCachePolicy, askKeyHealth } from "./cache/ask-policy.ts";
import { ByteGate } from "./content/byte-gate.ts";
import { KeyLeases } from "./content/key-leases.ts";
import { NativeContentStore } from "./content/native-content-store.ts";
import { RequestIds } from "./content/request-ids.ts";
import { SmallReads } from "./content/small-reads.ts";
import { Cluster } from "./discovery/cluster.ts";
import type { Identity } from "./discovery/node-link.ts";
import { resolveHost } from "./discovery/resolve.ts";
import { type HostPort, parseSeeds } from "./discovery/seeds.ts";
import { Asking } from "./service/asking.ts";
import { RpcFileService } from "./service/rpc-file-service.ts";
import { Sessions } from "./service/sessions.ts";
import { ClientWorkflows } from "./service/workflows.ts";
import { watchChanges } from "./service/watcher.ts";

export interface ClientPorts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: Crypto;
  /** Without devices: it seals and opens. Its arena bounds what is under way. */
  readonly datapath: Datapath;
  /** Where something that listens there is reached; the system's resolver when left out. */
  readonly resolve?: (at: HostPort) => Promise<readonly HostPort[]>;
}

export interface ClientOptions {
  /** `host:port,…` of any nodes. */
  readonly seeds: string;
  /** Name or id; empty: the certificate's, or with a token the default one. */
  readonly tenant: string;
  readonly namespace: string;
  readonly identity: Identity;
  /** For the node's logs. */
  readonly hostName: string;
  /** How long an operation is tried before it fails. */
  readonly deadlineMs?: number;
  /** To which workflow calls belong, in hex. */
  readonly workflow?: string | undefined;
}

/** One namespace as a client reads and writes it. */
export interface Client {
  readonly files: FileService;
  readonly content: ContentStore;
  /** Reads many small chunks at once. */
  readonly smallReads: Pick<SmallReads, "takes" | "read">;
  /** Plans of many files at once, each from its beginning on; of the first of `files`, at least of one. */
  planFiles(files: readonly FileRef[]): ReturnType<RpcFileService["planFiles"]>;
  /** Ids in hex. */
  readonly tenant: string;
  readonly namespace: string;
  readonly isReadOnly: boolean;
  readonly workflows: ClientWorkflows;
  /** What may be kept of the content on this machine; `undefined`: the node does not say. */
  cachePolicy(): Promise<CachePolicy | undefined>;
  /** Asks once after the tenant's key. */
  keyHealth(timeoutMs: number): Promise<KeyAnswer>;
  /** Gives session and keys back. Nothing else is called after it. */
  close(): Promise<void>;
}

/** Why no client came to be. */
export interface ClientFault {
  readonly kind: "refused";
  readonly code: FileRefusalCode;
  /** For the operator. */
  readonly message: string;
}

const deadlineMsUsual = 30_000;
/** Of the arena: the rest is for alignment. */
const gateShare = 0.75;

/** @throws {RangeError} when the seeds are none. */
export async function openClient(
  ports: ClientPorts,
  options: ClientOptions,
): Promise<({ readonly kind: "opened" } & Client) | ClientFault> {
  const { clock, prng, crypto, datapath, resolve = resolveHost } = ports;
  const { tenant, hostName, namespace, deadlineMs = deadlineMsUsual } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const { identity } = options;
  const workflow = (): string | undefined => workflows.current;
  const network = { clock, prng, crypto, resolve, workflow };
  const cluster = new Cluster(network, identity, parseSeeds(options.seeds));
  const workflows = new ClientWorkflows(
    { cluster, prng, identity },
    { tenant, workflow: options.workflow },
  );
  const sessions = new Sessions({ clock, prng, cluster }, { tenant, hostName }, signal);
  const asking = new Asking({ clock, prng, sessions, deadlineMs, signal });
  const leases = new KeyLeases({ clock, crypto, asking });
  const close = async (): Promise<void> => {
    if (signal.aborted) return;
    closing.abort();
    await leases.close();
    await sessions.close();
    cluster[Symbol.dispose]();
  };

  const found = await asking.ask((client, { id }, calling) =>
    client.files.getNamespace({ session: id, name: namespace }, calling),
  );
  const tenantId = sessions.tenant;
  if (
    found.kind === "refused" ||
    tenantId === undefined ||
    found.value.namespace.byteLength !== 16
  ) {
    await close();
    const code = found.kind === "refused" ? found.code : "invalid";
    return { kind: "refused", code, message: faultText(code, cluster.fault, namespace) };
  }
  const id = Uint8Array.from(found.value.namespace);
  const files = new RpcFileService({ asking, sessions, prng }, { id, root: found.value.root });
  sessions.onEnded = () => {
    for (const listener of files.listeners) listener.sessionEnded();
  };
  void watchChanges({ clock, prng, sessions, signal }, id, files.listeners);
  const transfers = openTransfers({ clock, crypto, datapath, asking, leases });
  const { isReadOnly } = found.value;
  const ids = { tenant: tenantId, namespace: toHex(id) };
  return {
    kind: "opened",
    files,
    ...transfers,
    planFiles: (wanted) => files.planFiles(wanted),
    ...ids,
    workflows,
    isReadOnly,
    cachePolicy: () => askCachePolicy(asking),
    keyHealth: (timeoutMs) => askKeyHealth(asking, timeoutMs),
    close,
  };
}

/** What moves content, within the room of the arena. */
function openTransfers(
  ports: Pick<ClientPorts, "clock" | "crypto" | "datapath"> & {
    readonly asking: Asking;
    readonly leases: KeyLeases;
  },
): Pick<Client, "content" | "smallReads"> {
  const gate = new ByteGate(Math.floor(ports.datapath.arena.sizeTotal * gateShare));
  const shared = { ...ports, gate, requestIds: new RequestIds() };
  return { content: new NativeContentStore(shared), smallReads: new SmallReads(shared) };
}

function faultText(code: FileRefusalCode, fault: string | undefined, namespace: string): string {
  if (code === "no_such_namespace") return `There is no namespace ${namespace}`;
  const why = fault === undefined ? "" : ` (${fault})`;
  if (code === "unreachable") return `No seeds reachable${why}`;
  if (code === "forbidden") return `Not let in to namespace ${namespace}${why}`;
  return `Cannot open namespace ${namespace}: ${code}${why}`;
}
