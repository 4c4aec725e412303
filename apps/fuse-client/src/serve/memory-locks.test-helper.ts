import { fail, type Failure, type FileLock } from "@kiseki/vfs";

const infinity = 2n ** 63n;
const endOf = ({ end }: Pick<FileLock, "end">): bigint => end ?? infinity;
const isOverlapping = (a: Pick<FileLock, "start" | "end">, b: Pick<FileLock, "start" | "end">) =>
  a.start < endOf(b) && b.start < endOf(a);

/** Locks of one file: whole and range locks stand apart, as flock(2) and fcntl(2) do. */
export class MemoryLocks {
  #held: FileLock[] = [];
  readonly #waiting = new Set<() => void>();

  conflict(wanted: FileLock): FileLock | undefined {
    return this.#held.find(
      (each) =>
        each.kind === wanted.kind &&
        each.owner !== wanted.owner &&
        (each.type === "write" || wanted.type === "write") &&
        isOverlapping(each, wanted),
    );
  }
  set(
    wanted: FileLock,
    wait: AbortSignal | undefined,
  ): Promise<undefined | Failure> | undefined | Failure {
    if (this.conflict(wanted) === undefined) {
      this.#cut(wanted);
      this.#held.push(wanted);
      return undefined;
    }
    if (wait === undefined) return fail("EAGAIN");
    return new Promise((resolve) => {
      const retry = (): void => {
        if (this.conflict(wanted) !== undefined && !wait.aborted) return;
        this.#waiting.delete(retry);
        resolve(wait.aborted ? fail("EINTR") : this.set(wanted, wait));
      };
      this.#waiting.add(retry);
      wait.addEventListener("abort", retry, { once: true });
    });
  }
  unlock(range: Omit<FileLock, "type">): void {
    this.#cut(range);
    for (const retry of [...this.#waiting]) retry();
  }
  /** All of `owner`'s of one kind. */
  end(kind: FileLock["kind"], owner: bigint): void {
    this.unlock({ kind, owner, start: 0n, end: undefined, pid: 0 });
  }
  #cut(range: Omit<FileLock, "type">): void {
    this.#held = this.#held.flatMap((each) => {
      if (each.kind !== range.kind || each.owner !== range.owner || !isOverlapping(each, range))
        return [each];
      const before = each.start < range.start ? [{ ...each, end: range.start }] : [];
      const isAfter = range.end !== undefined && range.end < endOf(each);
      return [...before, ...(isAfter ? [{ ...each, start: range.end! }] : [])];
    });
  }
}
