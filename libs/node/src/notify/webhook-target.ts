import { DeliveryError, type Message, type NotificationTarget } from "./target.ts";

export interface WebhookSpec {
  readonly type: "webhook";
  readonly id: string;
  /** http or https, without user information. */
  readonly url: string;
  /** Sent as a bearer token. */
  readonly token: string | undefined;
  /** PEM that the server's certificate must be signed by; the system's authorities otherwise. */
  readonly authority: string | undefined;
  readonly timeoutMs: number;
}

/** What a client may be told to come again for; the event is not to blame. */
const passing: ReadonlySet<number> = new Set([401, 403, 404, 408, 425, 429, 502, 503, 504]);
const refusing: ReadonlySet<number> = new Set([400, 410, 413, 415, 422]);

function judge(status: number): DeliveryError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const message = `The webhook answered ${status}`;
  if (passing.has(status)) return new DeliveryError("unreachable", message);
  return new DeliveryError(refusing.has(status) ? "refused" : "failed", message);
}

/** POST of the event's JSON; any 2xx takes it. Redirects are not followed: they would carry the token elsewhere. */
export function openWebhook(spec: WebhookSpec): NotificationTarget {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "user-agent": "Kiseki",
    ...(spec.token === undefined ? {} : { authorization: `Bearer ${spec.token}` }),
  };
  return {
    id: spec.id,
    type: spec.type,
    place: spec.url.split("?", 1)[0]!,
    async send({ id, body }: Message, signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(spec.timeoutMs)]);
      let response: Response;
      try {
        response = await fetch(spec.url, {
          method: "POST",
          body,
          headers: { ...headers, "x-kiseki-event-id": id },
          redirect: "manual",
          signal: limit,
          ...(spec.authority === undefined ? {} : { tls: { ca: spec.authority } }),
        });
        await response.body?.cancel(); // what it says is of no interest, however long
      } catch (reason) {
        signal.throwIfAborted();
        const why = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
        throw new DeliveryError("unreachable", why, { cause: reason });
      }
      const fault = judge(response.status);
      if (fault) throw fault;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
