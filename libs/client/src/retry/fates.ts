import type { BulkStatus } from "@kiseki/format";
import type { RpcErrorCode } from "@kiseki/rpc";
import { type FileRefusalCode, refusalCodeOf } from "@kiseki/vfs";

/** What is done about an attempt that did not end well. */
export type Fate =
  /** The same bytes to the same node, a little later. */
  | "again"
  /** The same bytes over a new connection, to another node where there is one. */
  | "elsewhere"
  /** A seed is asked who owns what; then as `elsewhere`. */
  | "discover"
  /** The session is gone: under another one, if the act can be repeated there. */
  | "new_session"
  /** Sealed anew under another key: no key seals twice. */
  | "new_lease"
  | "give_up";

export interface Verdict {
  readonly fate: Fate;
  /** What the caller is told when the fate is to give up, or when no attempt succeeds in time. */
  readonly code: FileRefusalCode;
  /** So many attempts may end like this; without it the deadline alone ends them. */
  readonly attemptsMax?: number;
}

const untilDeadline = (fate: Fate, code: FileRefusalCode): Verdict => ({ fate, code });
const atMost = (attemptsMax: number, fate: Fate, code: FileRefusalCode): Verdict => ({
  fate,
  code,
  attemptsMax,
});
const giveUp = (code: FileRefusalCode): Verdict => ({ fate: "give_up", code });

/** Of a call that came to no answer. Whether the node did what was asked is unknown: the same id goes again. */
export const rpcVerdict = {
  unreachable: untilDeadline("elsewhere", "unreachable"),
  unavailable: untilDeadline("elsewhere", "unreachable"),
  timeout: untilDeadline("elsewhere", "unreachable"),
  canceled: untilDeadline("elsewhere", "unreachable"),
  internal: atMost(3, "again", "unreachable"),
  untrusted: giveUp("forbidden"),
  unauthenticated: atMost(3, "elsewhere", "forbidden"), // of a cut connection nobody says why
  forbidden: giveUp("forbidden"),
  not_supported: giveUp("unsupported"),
  data_loss: giveUp("damaged"),
  no_space: giveUp("invalid"), // a message over the limit
  invalid: giveUp("invalid"),
  not_found: giveUp("invalid"),
  exists: giveUp("invalid"),
  not_empty: giveUp("invalid"),
} as const satisfies Record<RpcErrorCode, Verdict>;

/** Refusals with which not all is lost; every other code is the answer. */
const refusalVerdict: Partial<Record<FileRefusalCode, Verdict>> = {
  busy: untilDeadline("again", "busy"),
  closed: untilDeadline("again", "closed"),
  moved: untilDeadline("discover", "moved"),
  session_expired: atMost(4, "new_session", "session_expired"),
};

/** `code` as it stands in a `Failure` of the wire. */
export function verdictOfFailure(code: string): Verdict {
  const known = refusalCodeOf(code);
  return refusalVerdict[known] ?? giveUp(known);
}

export type BulkFault = Exclude<BulkStatus, "ok"> | "connection_lost" | "tampered";

/** Of a transfer, by direction. A write that is sent again stores the same bytes under the same seal: harmless. */
export const bulkVerdict = {
  write: {
    connection_lost: untilDeadline("elsewhere", "unreachable"),
    unavailable: untilDeadline("again", "unreachable"),
    busy: untilDeadline("again", "busy"),
    checksum: atMost(3, "again", "damaged"),
    internal: atMost(3, "again", "unreachable"),
    stale: atMost(4, "new_lease", "receipt_stale"),
    forbidden: atMost(2, "new_lease", "forbidden"),
    conflict: atMost(2, "new_lease", "invalid"),
    no_space: giveUp("no_space"),
    malformed: giveUp("invalid"),
    not_found: giveUp("invalid"),
    lost: giveUp("invalid"),
    tampered: giveUp("invalid"),
  },
  read: {
    connection_lost: untilDeadline("elsewhere", "unreachable"),
    unavailable: untilDeadline("again", "unreachable"),
    busy: untilDeadline("again", "busy"),
    checksum: atMost(3, "again", "damaged"),
    internal: atMost(3, "again", "unreachable"),
    tampered: atMost(2, "again", "damaged"), // the second time by way of whole fragments
    // The plan is too old: its maker has to make another.
    stale: giveUp("receipt_stale"),
    forbidden: giveUp("receipt_stale"),
    not_found: giveUp("receipt_stale"),
    lost: giveUp("damaged"),
    no_space: giveUp("invalid"),
    malformed: giveUp("invalid"),
    conflict: giveUp("invalid"),
  },
} as const satisfies Record<"write" | "read", Record<BulkFault, Verdict>>;
