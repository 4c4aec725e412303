import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WorkflowAdvisoryService } from "./gen/kiseki/v1/advisory_pb.ts";
import { DataService } from "./gen/kiseki/v1/data_pb.ts";
import { DiscoveryService } from "./gen/kiseki/v1/discovery_pb.ts";
import { FileService } from "./gen/kiseki/v1/file_pb.ts";
import { NodeAdminService } from "./gen/kiseki/v1/node_admin_pb.ts";
import { hostKey, type Peer, peerKey } from "./peer.ts";
import { RpcError, toConnectError } from "./rpc-error.ts";

type Handler<Method, Context> =
  Method extends DescMethodServerStreaming<infer Input, infer Output>
    ? (request: MessageShape<Input>, context: Context) => AsyncIterable<MessageInitShape<Output>>
    : Method extends DescMethodUnary<infer Input, infer Output>
      ? (request: MessageShape<Input>, context: Context) => Promise<MessageInitShape<Output>>
      : never;
type Handlers<Service extends DescService, Context> = {
  readonly [Name in keyof Service["method"]]: Handler<Service["method"][Name], Context>;
};

/**
 * Does the work behind the service. `signal` aborts when the caller has gone or its deadline is over.
 * Throws `RpcError` for what the caller is to be told; anything else is answered "Internal error".
 */
export type NodeAdminBackend = Handlers<typeof NodeAdminService, AbortSignal>;

/** Who calls a native service, and until when he waits. */
export interface NativeCall {
  readonly signal: AbortSignal;
  readonly peer: Peer;
  /** By which name or address the caller reached this node; empty when it did not say. */
  readonly host: string;
}
/** As `NodeAdminBackend`, behind the services of native clients. */
export interface NativeBackend {
  readonly discovery: Handlers<typeof DiscoveryService, NativeCall>;
  readonly files: Handlers<typeof FileService, NativeCall>;
  readonly data: Handlers<typeof DataService, NativeCall>;
}

/** As `NodeAdminBackend`, behind the advisory service; throws `AdvisoryError` too. */
export type AdvisoryBackend = Handlers<typeof WorkflowAdvisoryService, NativeCall>;

export interface RouteOptions {
  /** Whether the request may come in; asked before any work, when at most its message was read. */
  readonly isAllowed: (header: Headers) => boolean;
  /** Told of everything that was answered "Internal error". */
  readonly onInternal: (method: string, reason: unknown) => void;
}

/** Operations with receipts, and values of xattrs. */
const nativeRequestSizeMax = 4 * 1024 * 1024;

function refuseStrangers({ isAllowed }: RouteOptions, header: Headers): void {
  if (isAllowed(header)) return;
  throw toConnectError(new RpcError("unauthenticated", "The token is missing or wrong"));
}

/** Each method behind the door: what it throws is said as the caller may know it. */
function implement<Service extends DescService, Context>(
  service: Service,
  backend: Handlers<Service, Context>,
  options: RouteOptions,
  contextOf: (context: HandlerContext) => Context,
): Partial<ServiceImpl<Service>> {
  const implementation: Record<string, unknown> = {};
  for (const { localName, methodKind } of service.methods) {
    const work = backend[localName as keyof Service["method"]] as (
      request: unknown,
      context: Context,
    ) => unknown;
    const failure = (reason: unknown, signal: AbortSignal): unknown => {
      const error = toConnectError(signal.aborted ? signal.reason : reason);
      if (error.rawMessage === "Internal error" && !signal.aborted) {
        options.onInternal(localName, reason);
      }
      return error;
    };
    implementation[localName] =
      methodKind === "server_streaming"
        ? async function* (request: unknown, context: HandlerContext) {
            const { signal, requestHeader } = context;
            refuseStrangers(options, requestHeader);
            try {
              yield* work(request, contextOf(context)) as AsyncIterable<unknown>;
              signal.throwIfAborted(); // work cut short is no end of the stream
            } catch (reason) {
              throw failure(reason, signal);
            }
          }
        : async (request: unknown, context: HandlerContext) => {
            const { signal, requestHeader } = context;
            refuseStrangers(options, requestHeader);
            try {
              return await (work(request, contextOf(context)) as Promise<unknown>);
            } catch (reason) {
              throw failure(reason, signal);
            }
          };
  }
  return implementation as Partial<ServiceImpl<Service>>;
}

/** A certificate of a tenant opens its files, not the node. */
function refuseTenants(context: HandlerContext): AbortSignal {
  const peer = context.values.get(peerKey);
  if (peer.kind === "certificate" && peer.isTenant) {
    throw new RpcError("forbidden", "A tenant's certificate does not administer the node");
  }
  return context.signal;
}

/** The routes of administration over `backend`, behind one door. */
export function nodeAdminRoutes(
  backend: NodeAdminBackend,
  options: RouteOptions,
): (router: ConnectRouter) => void {
  const implementation = implement(NodeAdminService, backend, options, refuseTenants);
  return (router) => {
    router.service(NodeAdminService, implementation);
  };
}

const callOf = ({ signal, values }: HandlerContext): NativeCall => ({
  signal,
  peer: values.get(peerKey),
  host: values.get(hostKey),
});

export function advisoryRoutes(
  backend: AdvisoryBackend,
  options: RouteOptions,
): (router: ConnectRouter) => void {
  const implementation = implement(WorkflowAdvisoryService, backend, options, callOf);
  return (router) => {
    router.service(WorkflowAdvisoryService, implementation);
  };
}

/** The routes of native clients; discovery has no door but TLS. */
export function nativeRoutes(
  backend: NativeBackend,
  options: RouteOptions,
): (router: ConnectRouter) => void {
  const open = { ...options, isAllowed: () => true };
  const limits = { readMaxBytes: nativeRequestSizeMax };
  return (router) => {
    router
      .service(DiscoveryService, implement(DiscoveryService, backend.discovery, open, callOf))
      .service(FileService, implement(FileService, backend.files, options, callOf), limits)
      .service(DataService, implement(DataService, backend.data, options, callOf));
  };
}
