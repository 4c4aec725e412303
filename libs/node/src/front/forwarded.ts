import { BlockList, isIP } from "node:net";
import { headerValues, type HttpHeader, type RequestHead } from "@kiseki/http";

/** Which peers may say for whom they speak, and by which header they do. */
export interface ProxyTrust {
  readonly isTrusted: (address: string) => boolean;
  /** The one family that is believed: a proxy passes on what a client wrote into the other. */
  readonly header: "x-forwarded" | "forwarded";
}

/** Who sent a request, and how, as far as it can be believed. */
export interface Seen {
  readonly address: string;
  readonly isTls: boolean;
  /** With the Host that the client wrote, which is the one that it signed. */
  readonly head: RequestHead;
}

/** Elements of `X-Forwarded-For` or `Forwarded` that are looked at, from the nearest on. */
const hopsMax = 32;
/** A longer `Forwarded` says nothing: its patterns take time in the square of its size. */
const forwardedSizeMax = 4096;

/** `10.0.0.0/8`, `fd00::/8`, or one address; `undefined` for anything else. */
export function parseNetworks(list: readonly string[]): BlockList | undefined {
  const networks = new BlockList();
  for (const text of list) {
    const [address = "", prefix, ...rest] = text.split("/");
    const version = isIP(address);
    const bits = prefix === undefined ? (version === 4 ? 32 : 128) : Number(prefix);
    const isPrefix = prefix === undefined || /^\d{1,3}$/.test(prefix);
    if (version === 0 || rest.length > 0 || !isPrefix || bits > (version === 4 ? 32 : 128)) {
      return undefined;
    }
    networks.addSubnet(address, bits, version === 4 ? "ipv4" : "ipv6");
  }
  return networks;
}

/** `undefined` when no peer is trusted. */
export function proxyTrust(
  networks: readonly string[],
  header: ProxyTrust["header"],
): ProxyTrust | undefined {
  const list = parseNetworks(networks);
  if (networks.length === 0 || list === undefined) return undefined;
  return {
    isTrusted: (address) => list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4"),
    header,
  };
}

/** IPv4 of a socket that listens on both as plain IPv4. */
export const plainAddress = (address: string): string =>
  /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address;

/** An address, maybe with a port: `1.2.3.4:80`, `[::1]:80`. */
function hopAddress(text: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(text);
  const address = bracketed?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(text)?.[1] ?? text;
  return isIP(address) === 0 ? undefined : plainAddress(address.toLowerCase());
}

/** Of a client that a proxy does not name, or names so that it cannot be read: in no network that anybody allows. */
const unknownAddress = "0.0.0.0";

const readAddress = (text: string): string => hopAddress(text) ?? unknownAddress;

interface Hop {
  /** `undefined`: the proxy says nothing of it. */
  readonly address: string | undefined;
  readonly proto: string | undefined;
  readonly host: string | undefined;
}

const listed = (headers: readonly HttpHeader[], name: string): readonly string[] =>
  headerValues(headers, name)
    .flatMap((value) => value.split(","))
    .map((value) => value.trim())
    .filter((value) => value !== "");

/** Farthest first. */
function xForwardedHops(headers: readonly HttpHeader[]): readonly Hop[] {
  const proto = listed(headers, "x-forwarded-proto");
  const [host] = listed(headers, "x-forwarded-host");
  // Where several hops are named, all of them must have been TLS.
  const all = proto.every((each) => each.toLowerCase() === "https") ? "https" : "http";
  const said = proto.length === 0 ? undefined : all;
  const addresses = listed(headers, "x-forwarded-for");
  if (addresses.length === 0) return [{ address: undefined, proto: said, host }];
  return addresses.map((text) => ({ address: readAddress(text), proto: said, host }));
}

const nothing: Hop = { address: undefined, proto: undefined, host: undefined };

/** RFC 7239 §4: elements between commas, pairs between semicolons, values maybe quoted. */
const forwardedPair = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*))\s*$/;
function forwardedHops(headers: readonly HttpHeader[]): readonly Hop[] {
  const text = headerValues(headers, "forwarded").join(",");
  if (text.length > forwardedSizeMax) return [{ ...nothing, address: unknownAddress }];
  const elements = text.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? [];
  return elements.map((element) => {
    const pairs = new Map<string, string>();
    for (const part of element.match(/(?:"(?:[^"\\]|\\.)*"|[^;"])+/g) ?? []) {
      const pair = forwardedPair.exec(part);
      const name = pair?.[1]?.toLowerCase();
      // A client's open quote may have swallowed what the proxy wrote.
      if (name === undefined || pairs.has(name)) return { ...nothing, address: unknownAddress };
      pairs.set(name, (pair![2]?.replace(/\\(.)/g, "$1") ?? pair![3])!);
    }
    const address = pairs.get("for");
    return {
      address: address === undefined ? undefined : readAddress(address),
      proto: pairs.get("proto")?.toLowerCase(),
      host: pairs.get("host"),
    };
  });
}

/** A host as a request may have it; anything else stays unsaid. */
const hostForm = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9a-fA-F:.]{2,45}\])(?::\d{1,5})?$/;

function withHost(head: RequestHead, host: string | undefined): RequestHead {
  if (host === undefined || host === head.host || !hostForm.test(host)) return head;
  const headers = head.headers.map((each) =>
    each.name === "host" ? { name: "host", value: host } : each,
  );
  return { ...head, headers, host };
}

/** The other end of the connection. */
export interface Peer {
  readonly address: string;
  readonly isTls: boolean;
}

/**
 * Walks from the peer towards the client as long as each one is trusted. The first who is not ends it: what stands
 * beyond is the client's own word. Who cannot be read is nobody's neighbour (`0.0.0.0`), never taken for a proxy.
 */
export function seenThrough(trust: ProxyTrust | undefined, peer: Peer, head: RequestHead): Seen {
  const direct = plainAddress(peer.address);
  if (trust === undefined || !trust.isTrusted(direct)) {
    return { address: direct, isTls: peer.isTls, head };
  }
  const hops =
    trust.header === "forwarded" ? forwardedHops(head.headers) : xForwardedHops(head.headers);
  let address = direct;
  let { isTls } = peer;
  let host: string | undefined;
  for (const hop of hops.slice(-hopsMax).reverse()) {
    if (hop.proto !== undefined) isTls = hop.proto === "https";
    host = hop.host ?? host;
    if (hop.address === undefined) break;
    address = hop.address;
    if (!trust.isTrusted(address)) break;
  }
  return { address, isTls, head: withHost(head, host) };
}
