import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { workflowHeader } from "@kiseki/advisory";
import { RpcError } from "./rpc-error.ts";
import { answerSizeMax, type TlsTarget } from "./tls-transport.ts";

/** Connections to one node, with a call on each. */
const callsMax = 16;
/** An error has a code and a sentence. */
const errorSizeMax = 64 * 1024;

/** What of `fetch` the types do not know: `proxy` as the environment has it is for the web, not for a node. */
type FetchOptions = RequestInit & { readonly tls: object; readonly proxy: false };

function tlsOptions(target: TlsTarget): object {
  const { serverName, authority, certificate, certificateKey } = target;
  const isNode = (_host: string, shown: PeerCertificate) => checkServerIdentity(serverName!, shown);
  return {
    rejectUnauthorized: true,
    ...(serverName === undefined ? {} : { checkServerIdentity: isNode }),
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(certificateKey === undefined ? {} : { key: certificateKey }),
  };
}

/** Lets so many in; the others wait their turn. */
class Turns {
  #left = callsMax;
  readonly #waiting = new Set<() => void>();
  /** Rejects with `signal.reason` when aborted before its turn. */
  async take(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#left > 0) {
      this.#left -= 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      this.#waiting.delete(resolve);
      reject(signal?.reason);
    };
    this.#waiting.add(resolve);
    signal?.addEventListener("abort", leave, { once: true });
    await promise.finally(() => signal?.removeEventListener("abort", leave));
  }
  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#left += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/** All of a body, unless it is larger than `sizeMax`. */
async function readBody(answer: Response, sizeMax: number): Promise<Uint8Array> {
  const announced = answer.headers.get("content-length");
  const isTooLarge = (size: number): boolean => size > sizeMax;
  const refuse = () =>
    new ConnectError(`An answer has up to ${sizeMax} bytes`, Code.ResourceExhausted);
  if (announced !== null) {
    if (isTooLarge(Number(announced))) throw refuse();
    return new Uint8Array(await answer.arrayBuffer());
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  const body: AsyncIterable<Uint8Array> | undefined = answer.body ?? undefined;
  for await (const part of body ?? []) {
    size += part.byteLength;
    if (isTooLarge(size)) throw refuse();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/**
 * Unary calls by the runtime's own HTTP client, one on each connection: a third of the work of HTTP/2 in JavaScript, and no call
 * waits for the acknowledgement of another's. Streams go over `streams`.
 */
export function fetchTransport(target: TlsTarget, streams: Transport): Transport {
  const base = target.endpoint.replace(/\/+$/, "");
  const tls = tlsOptions(target);
  const turns = new Turns();
  const common = {
    "content-type": "application/proto",
    "connect-protocol-version": "1",
    "accept-encoding": "identity",
    ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }),
  };
  return {
    stream: (...words) => streams.stream(...words),
    async unary(method, signal, timeoutMs, header, input) {
      const ending = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
      const timeout = timeoutMs === undefined ? {} : { "connect-timeout-ms": String(timeoutMs) };
      const workflow = target.workflow?.();
      const said =
        header === undefined ? {} : Object.fromEntries(new Headers(header as Headers).entries());
      const belonging = workflow === undefined ? {} : { [workflowHeader]: workflow };
      const given = [signal, ending].filter((one) => one !== undefined);
      const limit = given.length > 0 ? AbortSignal.any(given) : undefined;
      const options: FetchOptions = {
        method: "POST",
        headers: { ...common, ...timeout, ...belonging, ...said },
        body: toBinary(method.input, create(method.input, input)),
        tls,
        proxy: false,
        ...(limit ? { signal: limit } : {}),
      };
      let hasTurn = false;
      try {
        await turns.take(limit);
        hasTurn = true;
        const answer = await fetch(
          `${base}/${method.parent.typeName}/${method.name}`,
          options as RequestInit,
        );
        if (!answer.ok) throw await errorOf(answer);
        if (answer.headers.get("content-type") !== "application/proto") {
          throw new RpcError("unreachable", "What answers there is no node");
        }
        const message = fromBinary(method.output, await readBody(answer, answerSizeMax));
        const { headers: header } = answer;
        const trailer = new Headers();
        return { stream: false, service: method.parent, method, header, message, trailer };
      } catch (reason) {
        if (ending?.aborted === true) {
          throw new RpcError("timeout", "The node did not answer in time", { cause: reason });
        }
        throw reason;
      } finally {
        if (hasTurn) turns.give();
      }
    },
  };
}

async function errorOf(answer: Response): Promise<Error> {
  const fallback = new ConnectError(`HTTP ${answer.status}`, Code.Unavailable);
  const body = await readBody(answer, errorSizeMax);
  try {
    return errorFromJsonBytes(body, answer.headers, fallback);
  } catch {
    return fallback;
  }
}
