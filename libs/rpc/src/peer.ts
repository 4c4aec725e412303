import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { createContextKey, createContextValues, type ContextValues } from "@connectrpc/connect";

/** Who is at the other end of a call, as far as the listener's door has found out. */
export type Peer =
  /** Whoever may open the node's socket. */
  | { readonly kind: "local" }
  /** Holds the node's token, if it holds any: the door asks at each call. */
  | { readonly kind: "token" }
  | {
      readonly kind: "certificate";
      /** Units (OU) of the subject. */
      readonly units: readonly string[];
      /** URI alternative names. */
      readonly uris: readonly string[];
      /** It says of itself to be a tenant's. */
      readonly isTenant: boolean;
    };

/** By which name the caller reached this node, without the port; empty when it did not say. */
export const hostKey = createContextKey("", { description: "the host that the caller asked" });
function hostOf({ headers }: IncomingMessage | Http2ServerRequest): string {
  const authority = headers[":authority"] ?? headers.host ?? "";
  return String(authority).replace(/:\d+$/, "");
}

export const peerKey = createContextKey<Peer>(
  { kind: "token" },
  { description: "who is at the other end" },
);

const isTenantUnit = (unit: string): boolean => unit.startsWith("tenant-");
/** `spiffe://domain/tenant/…`, and `org` as older certificates have it. */
const tenantUri = /^spiffe:\/\/[^/]+\/(?:tenant|org)\//;

/** URIs of what OpenSSL prints of the alternative names. Quoted ones hold what no id of ours may hold. */
function urisOf(names: string | undefined): readonly string[] {
  return (names ?? "")
    .split(", ")
    .filter((name) => name.startsWith("URI:") && !name.includes('"'))
    .map((name) => name.slice("URI:".length));
}

/** The certificate was checked in the handshake: what it says is its authority's word. */
export function peerOfCertificate(certificate: Partial<PeerCertificate> | undefined): Peer {
  const unit: unknown = certificate?.subject?.OU;
  const units = (Array.isArray(unit) ? unit : [unit]).filter((one) => typeof one === "string");
  const uris = urisOf(certificate?.subjectaltname);
  const isTenant = units.some(isTenantUnit) || uris.some((uri) => tenantUri.test(uri));
  return { kind: "certificate", units, uris, isTenant };
}

/** Tells the handlers of a listener who calls. */
export function peerValues(
  kind: Peer["kind"],
): (request: IncomingMessage | Http2ServerRequest) => ContextValues {
  return (request) => {
    const socket = request.socket as Partial<TLSSocket> | undefined;
    const peer: Peer =
      kind === "certificate" ? peerOfCertificate(socket?.getPeerCertificate?.()) : { kind };
    return createContextValues().set(peerKey, peer).set(hostKey, hostOf(request));
  };
}
