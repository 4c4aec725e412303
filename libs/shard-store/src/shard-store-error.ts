/**
 * `not_committed`: nothing of the batch is stored, the store goes on. `commit_failed`: the outcome of a
 * COMMIT is open; the process must end and start again (STORE §2). `wrong_mode`: the database would not
 * be durable. `unknown_version`: written by a newer program. `damaged`: tables and their own account disagree.
 * `closed`: the store was disposed; whoever opens it again may go on.
 */
export type ShardStoreErrorCode =
  "not_committed" | "commit_failed" | "wrong_mode" | "unknown_version" | "damaged" | "closed";

export class ShardStoreError extends Error {
  override readonly name = "ShardStoreError";
  readonly code: ShardStoreErrorCode;
  constructor(code: ShardStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
  /** True when the owner's process must end: what is stored is not known to it any more. */
  get mustEnd(): boolean {
    return this.code === "commit_failed";
  }
}
