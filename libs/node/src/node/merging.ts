import { assert, AssertionError, failpoint, millis, newBytes, operationId } from "@kiseki/base";
import { findMerge, type NewContent, type WritePiece } from "@kiseki/composition";
import { ContentReader } from "../object/read-content.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { writeContent } from "../object/write-content.ts";
import type { EditedWindow } from "../shard/edited-files.ts";

/** Runs of one window that are merged before the next one has its turn. */
const runsMax = 64;
/** Plaintext bytes: what requests do comes first. */
const bytesPerSecond = 32 * 1024 * 1024;

export interface MergingParts {
  readonly ports: DataPorts;
  readonly tenants: { readonly all: Iterable<OpenTenant> };
}

/**
 * Small writes leave files in many pieces. Where they are more than 64 in 4 MiB, they are read, sealed as one chunk and
 * put in their place, unless the range was written meanwhile (STORE §4). What is not merged costs time, nothing else: so
 * what was noted before a start is forgotten.
 */
export class Merging {
  readonly #parts: MergingParts;

  constructor(parts: MergingParts) {
    this.#parts = parts;
  }

  /**
   * One round over the windows of the open tenants that were written to. Answers how many runs became one piece each.
   * @throws the first failure, when the round is over: one file that cannot be read does not stop the others.
   */
  async runRound(signal: AbortSignal): Promise<number> {
    let merged = 0;
    let failure: { readonly reason: unknown } | undefined;
    for (const tenant of [...this.#parts.tenants.all]) {
      for (const window of tenant.edited.take()) {
        try {
          for (let i = 0; i < runsMax && (await this.#mergeOne(tenant, window, signal)); i++) {
            merged += 1;
          }
        } catch (reason) {
          if (signal.aborted || reason instanceof AssertionError) throw reason;
          failure ??= { reason };
        }
      }
    }
    if (failure !== undefined) throw failure.reason;
    return merged;
  }

  /** False: there is no more to do, or somebody writes there now. */
  async #mergeOne(
    tenant: OpenTenant,
    { file, start }: EditedWindow,
    signal: AbortSignal,
  ): Promise<boolean> {
    signal.throwIfAborted();
    const { ports } = this.#parts;
    const { clock, crypto, metrics, prng } = ports;
    const begun = clock.monotonic();
    using place = new DisposableStack();
    place.use(tenant.readers.enter()); // before it is looked up: then it is not collected under the read
    const machine = { dirKeys: tenant.dirKeys(tenant.keys("read")), md5: crypto.md5 };
    const run = tenant.store.view((map) => findMerge(map, machine, { file, start }));
    if (run === undefined) return false;
    const size = run.end - run.start;
    const { content, pool } = run;
    const range = { start: run.start, end: run.end };
    const found = { entry: { size: run.end }, cold: { content } };
    using source = new ContentReader(ports, tenant, {
      found,
      ...range,
      place: place.move(),
      signal,
    });
    const id = operationId(prng.fill(newBytes(16)));
    const request = { operationId: id, pool, size, algorithms: new Set([]), signal };
    using written = await writeContent(ports, tenant, source, request);
    failpoint("merge-stored");
    const pieces = piecesAt(written.content, run.start);
    const { namespace } = file;
    const { before } = run;
    const operation = { kind: "merge_extents", namespace, file, ...range, before, pieces } as const;
    try {
      const outcome = await tenant.owner.submit(operation, id);
      if (outcome.kind !== "done") {
        written.discard();
        return false;
      }
    } catch (reason) {
      if (!(reason instanceof AssertionError)) written.discard();
      throw reason;
    }
    metrics.add("kiseki_file_merges_total", 1);
    const rest = (size / bytesPerSecond) * 1000 - (clock.monotonic() - begun);
    if (rest >= 1) await clock.sleep(millis(Math.ceil(rest)), signal);
    return true;
  }
}

/** New content as pieces of a file from `start` on. */
function piecesAt(content: NewContent, start: number): readonly WritePiece[] {
  assert(content.kind !== "empty", "a run is not empty");
  if (content.kind === "small") {
    const { ref } = content;
    return [{ kind: "small", offset: start, length: ref.size, chunkOffset: 0, ref }];
  }
  return content.extents.map((extent) => ({
    kind: "chunk",
    ...extent,
    offset: start + extent.offset,
  }));
}
