import { type OperationId, operationId, toHex } from "@kiseki/base";
import type { Operation } from "@kiseki/composition";
import type { OpenTenant } from "../object/types.ts";
import { codeOf, failureFor, type FileFailure, NativeRefusal } from "./failure.ts";
import { type FileOperationMessage, type FileResultMessage, toAttributes } from "./messages.ts";
import { type OperationPlace, toNameOperation } from "./operations.ts";
import type { NativeSession } from "./sessions.ts";
import type { Commitment } from "./write-ledger.ts";

/** An operation on content, and the receipts that it names. */
export interface ContentOperation {
  readonly operation: Operation;
  readonly commitment: Commitment | undefined;
}
export interface ApplyParts {
  /** @throws {NativeRefusal} */
  readonly toContentOperation: (
    session: NativeSession,
    tenant: OpenTenant,
    base: { readonly namespace: OperationPlace["namespace"]; readonly once: OperationId },
    message: FileOperationMessage,
  ) => ContentOperation;
  readonly onBug: (reason: unknown) => void;
}

const operationIdSize = 16;
/** Outcomes that a session's client may ask for again; an older one is the log's to know. */
const outcomesMax = 1024;

/**
 * Submits a client's operations. Those of one request are queued in their order; one that comes again while it is under
 * way, or soon after, has the same answer.
 */
export class Applier {
  readonly #parts: ApplyParts;
  readonly #outcomes = new WeakMap<NativeSession, Map<string, Promise<FileResultMessage>>>();

  constructor(parts: ApplyParts) {
    this.#parts = parts;
  }

  /** One result for each message. @throws {NativeRefusal} `invalid`: nothing of it was done. */
  apply(
    session: NativeSession,
    tenant: OpenTenant,
    namespace: OperationPlace["namespace"],
    messages: readonly FileOperationMessage[],
  ): Promise<FileResultMessage[]> {
    const known = this.#outcomesOf(session);
    if (messages.some(({ operationId: id }) => id.byteLength !== operationIdSize)) {
      throw new NativeRefusal("invalid");
    }
    const results = messages.map((message) => {
      const name = toHex(message.operationId);
      const before = known.get(name);
      if (before !== undefined) return before;
      const outcome = this.#applyOne(session, tenant, namespace, message);
      known.set(name, outcome);
      if (known.size > outcomesMax) known.delete(known.keys().next().value!);
      void outcome.then(({ failure }) => {
        if (failure !== undefined) known.delete(name); // tried anew when it comes again
      });
      return outcome;
    });
    return Promise.all(results);
  }

  #outcomesOf(session: NativeSession): Map<string, Promise<FileResultMessage>> {
    const known = this.#outcomes.get(session) ?? new Map<string, Promise<FileResultMessage>>();
    this.#outcomes.set(session, known);
    return known;
  }

  /** Never rejects. Submits before it waits for anything, so that order is kept. */
  async #applyOne(
    session: NativeSession,
    tenant: OpenTenant,
    namespace: OperationPlace["namespace"],
    message: FileOperationMessage,
  ): Promise<FileResultMessage> {
    const id = operationId(message.operationId.slice());
    const failed = (failure: FileFailure): FileResultMessage => ({ operationId: id, failure });
    let commitment: Commitment | undefined;
    let isCommitted = false;
    try {
      const place = { namespace, clientId: session.clientId };
      const named = toNameOperation(place, id, message);
      let operation: Operation | undefined = named;
      if (operation === undefined) {
        const content = this.#parts.toContentOperation(
          session,
          tenant,
          { namespace, once: id },
          message,
        );
        ({ operation, commitment } = content);
      }
      if (session.signal.aborted) throw new NativeRefusal("session_expired");
      const outcome = await tenant.owner.submit(operation, id, undefined, session.clientId);
      if (outcome.kind === "refused") return failed(failureFor(outcome.code));
      isCommitted = true;
      const { answer } = outcome;
      if (answer.kind === "file")
        tenant.keepers.told(answer.attributes.ref.inode, session.clientId);
      return resultOf(id, answer);
    } catch (reason) {
      const code = codeOf(reason);
      if (code === undefined) this.#parts.onBug(reason);
      return failed(failureFor(code ?? "damaged"));
    } finally {
      commitment?.settle(isCommitted);
    }
  }
}

type Answer = Extract<
  Awaited<ReturnType<OpenTenant["owner"]["submit"]>>,
  { readonly kind: "done" }
>["answer"];

function resultOf(operationId: Uint8Array, answer: Answer): FileResultMessage {
  if (answer.kind !== "file") return { operationId };
  return {
    operationId,
    attributes: toAttributes(answer.attributes),
    directories: (answer.directories ?? []).map(toAttributes),
    isMade: answer.isMade ?? false,
    ...(answer.offset === undefined ? {} : { offset: BigInt(answer.offset) }),
    ...(answer.length === undefined ? {} : { length: BigInt(answer.length) }),
  };
}
