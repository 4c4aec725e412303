import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** How a call ended, as the operator counts: whose fault it was (spec §11.2). */
export type CallOutcome = "ok" | "client_error" | "server_error" | "unimplemented";

const clientCodes: ReadonlySet<Code> = new Set([
  ...[Code.Canceled, Code.InvalidArgument, Code.NotFound, Code.AlreadyExists],
  ...[Code.PermissionDenied, Code.Unauthenticated, Code.FailedPrecondition, Code.OutOfRange],
]);

function outcomeOf(reason: unknown): CallOutcome {
  const { code } = ConnectError.from(reason);
  if (code === Code.Unimplemented) return "unimplemented";
  return clientCodes.has(code) ? "client_error" : "server_error";
}

async function* ending<T>(
  messages: AsyncIterable<T>,
  ended: () => void,
  failed: (reason: unknown) => never,
): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (reason) {
    failed(reason);
  }
  ended();
}

/** Tells `onCall` of each call when it has ended; a stream ends with its last message. */
export function countCalls(
  onCall: (method: string, outcome: CallOutcome, service: string) => void,
): Interceptor {
  return (next) => async (request) => {
    const { name, parent } = request.method;
    const failed = (reason: unknown): never => {
      onCall(name, outcomeOf(reason), parent.name);
      throw reason;
    };
    const answer = await next(request).catch(failed);
    if (!answer.stream) {
      onCall(name, "ok", parent.name);
      return answer;
    }
    return {
      ...answer,
      message: ending(answer.message, () => onCall(name, "ok", parent.name), failed),
    };
  };
}
