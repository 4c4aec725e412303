import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";
import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type ConnectRouter, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { NodeAdminService } from "./gen/kiseki/v1/node_admin_pb.ts";
import { RpcError, toConnectError } from "./rpc-error.ts";

type Methods = typeof NodeAdminService.method;
type Handler<Method> =
  Method extends DescMethodServerStreaming<infer Input, infer Output>
    ? (request: MessageShape<Input>, signal: AbortSignal) => AsyncIterable<MessageInitShape<Output>>
    : Method extends DescMethodUnary<infer Input, infer Output>
      ? (request: MessageShape<Input>, signal: AbortSignal) => Promise<MessageInitShape<Output>>
      : never;

/**
 * Does the work behind the service. `signal` aborts when the caller has gone or its deadline is over.
 * Throws `RpcError` for what the caller is to be told; anything else is answered "Internal error".
 */
export type NodeAdminBackend = {
  readonly [Name in keyof Methods]: Handler<Methods[Name]>;
};

export interface RouteOptions {
  /** Whether the request may come in; asked before any work, when at most 64 KiB of it were read. */
  readonly isAllowed: (header: Headers) => boolean;
  /** Told of everything that was answered "Internal error". */
  readonly onInternal: (method: string, reason: unknown) => void;
}

function refuseStrangers({ isAllowed }: RouteOptions, header: Headers): void {
  if (isAllowed(header)) return;
  throw toConnectError(new RpcError("unauthenticated", "The token is missing or wrong"));
}

/** The routes of the service over `backend`, behind one door. */
export function nodeAdminRoutes(
  backend: NodeAdminBackend,
  options: RouteOptions,
): (router: ConnectRouter) => void {
  const implementation: Record<string, unknown> = {};
  for (const { localName, methodKind } of NodeAdminService.methods) {
    const work = backend[localName as keyof Methods] as (
      request: unknown,
      signal: AbortSignal,
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
        ? async function* (request: unknown, { signal, requestHeader }: HandlerContext) {
            refuseStrangers(options, requestHeader);
            try {
              yield* work(request, signal) as AsyncIterable<unknown>;
              signal.throwIfAborted(); // work cut short is no end of the stream
            } catch (reason) {
              throw failure(reason, signal);
            }
          }
        : async (request: unknown, { signal, requestHeader }: HandlerContext) => {
            refuseStrangers(options, requestHeader);
            try {
              return await (work(request, signal) as Promise<unknown>);
            } catch (reason) {
              throw failure(reason, signal);
            }
          };
  }
  return (router) => {
    router.service(
      NodeAdminService,
      implementation as Partial<ServiceImpl<typeof NodeAdminService>>,
    );
  };
}
