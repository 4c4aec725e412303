import { sameBytes } from "@kiseki/base";
import { toRpcError } from "@kiseki/rpc";
import { rpcVerdict, type Verdict } from "../retry/fates.ts";
import { type Identity, type NetworkPorts, NodeLink } from "./node-link.ts";
import { readRoutes, type Routes } from "./routes.ts";
import { type HostPort, hostPortText } from "./seeds.ts";

const discoverTimeoutMs = 5_000;

/** Who owns what, asked of any seed, kept for as long as the answer says. Needs no control plane. */
export class Cluster implements Disposable {
  readonly #ports: NetworkPorts;
  readonly #identity: Identity;
  readonly #seeds: readonly HostPort[];
  readonly #links = new Map<string, NodeLink>();
  /** Those that said that they own nothing of what they were asked for. */
  readonly #denied = new Set<NodeLink>();
  #routes: (Routes & { readonly until: number }) | undefined;
  #clusterId: Uint8Array | undefined;
  #asking: Promise<void> | undefined;
  #seedNext = 0;
  #fault: string | undefined;
  #verdict: Verdict = rpcVerdict.unreachable;
  #isClosed = false;

  constructor(ports: NetworkPorts, identity: Identity, seeds: readonly HostPort[]) {
    this.#ports = ports;
    this.#identity = identity;
    this.#seeds = seeds;
  }

  /** What the last node that was asked in vain said; for messages. */
  get fault(): string | undefined {
    return this.#fault;
  }
  /** What is to be done when there is no owner: where each seed refused, and none has ever answered, waiting is in vain. */
  get verdict(): Verdict {
    return this.#clusterId === undefined ? this.#verdict : rpcVerdict.unreachable;
  }
  /** A call to a node came to nothing. */
  failed(link: NodeLink, reason: unknown): Verdict {
    const { code, message } = toRpcError(reason);
    this.#fault = `${hostPortText(link.at)}: ${message} (${code})`;
    if (rpcVerdict[code].fate === "elsewhere") link.failed();
    return rpcVerdict[code];
  }

  /** The node that owns the tenant's shard. `undefined`: no seed is reachable, or none that knows. */
  async owner(): Promise<NodeLink | undefined> {
    const asked = this.#refresh();
    if (this.#routes === undefined) await asked;
    const owners = (this.#routes?.owners ?? []).map((at) => this.#link(at));
    const undenied = owners.filter((link) => !this.#denied.has(link));
    if (undenied.length === 0) this.#denied.clear();
    const links = undenied.length === 0 ? owners : undenied;
    const well = links.find(({ mayTry }) => mayTry);
    if (well === undefined) void this.#discover(); // another node may own it by now
    return well ?? links[0];
  }

  /** Where the advisory service is, as discovery says; empty: nowhere. */
  async advisoryEndpoint(): Promise<string> {
    await this.owner();
    return this.#routes?.advisoryEndpoint ?? "";
  }

  /** Whether the routes, asked for again once they are old, name others and not this node. */
  isElsewhere(link: NodeLink): boolean {
    void this.#refresh();
    const owners = this.#routes?.owners.map((at) => this.#link(at));
    return owners !== undefined && !owners.includes(link);
  }

  /** A node said that it does not own what it was asked for: the next question goes to a seed, to another one where there is one. */
  moved(link: NodeLink): void {
    this.#denied.add(link);
    this.#routes = undefined;
    this.#seedNext += 1;
  }

  #link(at: HostPort): NodeLink {
    const key = hostPortText(at);
    const known = this.#links.get(key);
    if (known) return known;
    const link = new NodeLink(this.#ports, this.#identity, at);
    this.#links.set(key, link);
    return link;
  }

  async #refresh(): Promise<void> {
    const isFresh = this.#routes && this.#ports.clock.monotonic() < this.#routes.until;
    if (!isFresh) await this.#discover();
  }
  #discover(): Promise<void> {
    this.#asking ??= this.#askSeeds().finally(() => (this.#asking = undefined));
    return this.#asking;
  }
  async #askSeeds(): Promise<void> {
    const verdicts: Verdict[] = [];
    for (let left = this.#seeds.length; left > 0 && !this.#isClosed; left--) {
      const seed = this.#seeds[this.#seedNext % this.#seeds.length]!;
      const verdict = await this.#ask(seed);
      if (verdict === undefined) return;
      verdicts.push(verdict);
      this.#seedNext += 1;
    }
    const hopeful = verdicts.find(({ fate }) => fate !== "give_up");
    this.#verdict = hopeful ?? verdicts[0] ?? rpcVerdict.unreachable;
  }
  /** `undefined`: it answered. */
  async #ask(seed: HostPort): Promise<Verdict | undefined> {
    const link = this.#link(seed);
    const client = await link.client();
    if (client === undefined) {
      this.#fault = `${hostPortText(seed)} has no address`;
      return rpcVerdict.unreachable;
    }
    const asked = this.#ports.clock.monotonic();
    try {
      const answer = await client.discovery.discover({}, { timeoutMs: discoverTimeoutMs });
      link.answered();
      const routes = readRoutes(answer, seed);
      const isKnown = routes && sameBytes(this.#clusterId ?? routes.clusterId, routes.clusterId);
      if (!isKnown) {
        this.#fault = `${hostPortText(seed)} is of another cluster, or speaks another protocol`;
        return rpcVerdict.unreachable;
      }
      this.#clusterId ??= routes.clusterId;
      this.#routes = { ...routes, until: asked + routes.ttlMs };
      return undefined;
    } catch (reason) {
      const verdict = this.failed(link, reason);
      if (verdict.fate !== "elsewhere") link.failed();
      return verdict;
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const link of this.#links.values()) link[Symbol.dispose]();
  }
}
