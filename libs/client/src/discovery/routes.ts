import type { DiscoverResponse } from "@kiseki/rpc";
import { type HostPort, parseHostPort } from "./seeds.ts";

const ttlMinMs = 1_000;
const ttlMaxMs = 3_600_000;
const routesMax = 10_000;

/** Who owns what, as one node saw it. */
export interface Routes {
  /** Where the shard's owner speaks RPC; one for every shard of a node that is alone. */
  readonly owners: readonly HostPort[];
  readonly ttlMs: number;
  readonly clusterId: Uint8Array;
  /** Empty: there is none. */
  readonly advisoryEndpoint: string;
}

function hostPortOf(endpoint: string): HostPort | undefined {
  const text = endpoint.startsWith("https://") ? endpoint.slice("https://".length) : endpoint;
  return parseHostPort(text.replace(/\/+$/, ""));
}

/** `undefined`: an answer that is not to be believed. `asked` stands in for an owner that does not say where it is. */
export function readRoutes(answer: DiscoverResponse, asked: HostPort): Routes | undefined {
  if (answer.clusterId.byteLength !== 16 || answer.protocol < 1) return undefined;
  if (answer.shards.length > routesMax) return undefined;
  const owners: HostPort[] = [];
  // A row without an id speaks for every shard that has none of its own, so it comes first.
  const rows = answer.shards.toSorted((a, b) => a.shardId.byteLength - b.shardId.byteLength);
  for (const { endpoint } of rows) {
    const owner = endpoint === "" ? asked : hostPortOf(endpoint);
    if (owner === undefined) return undefined;
    owners.push(owner);
  }
  const ttlMs = Math.min(ttlMaxMs, Math.max(ttlMinMs, answer.ttlMs));
  const { clusterId, advisoryEndpoint } = answer;
  return { owners: owners.length === 0 ? [asked] : owners, ttlMs, clusterId, advisoryEndpoint };
}
