/** One event on its way; `id` is the same for every try, so that a target can tell a repetition. */
export interface Message {
  readonly id: string;
  readonly body: Uint8Array;
}

/** Where events go. */
export interface NotificationTarget extends AsyncDisposable {
  readonly id: string;
  readonly type: "webhook" | "nats";
  /** For people: where it is, without credentials. */
  readonly place: string;
  /** Resolves when the target has it for good. @throws {DeliveryError}, or the signal's reason. */
  send(message: Message, signal: AbortSignal): Promise<void>;
}

/**
 * - `unreachable`: nobody there, or overloaded; tried again for as long as it takes.
 * - `failed`: the target answered and did not take it; tried a few times.
 * - `refused`: it will never take this one.
 */
type DeliveryErrorKind = "unreachable" | "failed" | "refused";

export class DeliveryError extends Error {
  override readonly name = "DeliveryError";
  readonly kind: DeliveryErrorKind;
  constructor(kind: DeliveryErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** What every ARN of a target ends in; the service says which kind of configuration names it. */
export const targetArn = (
  target: Pick<NotificationTarget, "id" | "type">,
  service: "sqs" | "sns" | "lambda" = "sqs",
): string => `arn:kiseki:${service}::${target.id}:${target.type}`;
