import { datasetNames, type DiskCache, stageDataset, type StagingFault } from "@kiseki/client";
import { formatSize } from "@kiseki/cli";
import { systemClock } from "@kiseki/host";
import { failureOf } from "@kiseki/vfs";
import type { StagingParts } from "../open-namespace.ts";
import { type Call, type CallContext, CallError } from "./connection.ts";
import { type FieldReader, FieldWriter } from "./frame.ts";

const errnos = { EPERM: 1, EINTR: 4, EBUSY: 16, EINVAL: 22, ENOSPC: 28, ETIMEDOUT: 110 } as const;
const reportEveryMs = 100;
const timeoutMsMax = 30 * 86_400_000;

type Images = NonNullable<DiskCache["images"]>;

/** Path from the namespace's root, with one `/` before each name, as manifests have it. */
function datasetOf(fields: FieldReader): {
  readonly dataset: string;
  readonly names: readonly string[];
} {
  const text = fields.text();
  const names = datasetNames(text);
  if (names === undefined) throw new CallError(errnos.EINVAL, `${text} is no path of a namespace`);
  return { dataset: `/${names.join("/")}`, names };
}

function faultOf(dataset: string, fault: StagingFault, isLate: boolean): CallError {
  const cannot = (errno: number, why: string): CallError =>
    new CallError(errno, `Cannot stage ${dataset}: ${why}`);
  switch (fault.kind) {
    case "too_many_files":
      return cannot(errnos.EINVAL, `it has ${fault.count} files, more than 100000`);
    case "too_deep":
      return cannot(errnos.EINVAL, `folders lie deeper than 10 levels: ${fault.path}`);
    case "no_room":
      return cannot(
        errnos.ENOSPC,
        `it needs ${formatSize(fault.size)}, and the cache has ${formatSize(fault.sizeMax)}`,
      );
    case "changing":
      return cannot(errnos.EBUSY, `${fault.path} is being written`);
    case "interrupted":
      return isLate
        ? cannot(errnos.ETIMEDOUT, "it took too long; the same call goes on from there")
        : cannot(errnos.EINTR, "interrupted");
    case "refused":
      return cannot(failureOf(fault.code).errno, `${fault.path}: ${fault.code}`);
  }
}

const noCache = (fault: string | undefined): string =>
  `There is no cache on disk into which to stage${fault === undefined ? "" : `: ${fault}`}`;

/** Calls about staging: into the pool of this process, whose reads then come out of it. One after another. */
export function stagingCalls({ client, cache, sizeMax, isAllowed, fault }: StagingParts) {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: (images: Images) => Promise<T>): Promise<T> => {
    const images = cache?.images;
    if (!isAllowed) throw new CallError(errnos.EPERM, "Policy does not allow staging");
    if (cache === undefined || images === undefined)
      throw new CallError(errnos.EINVAL, noCache(fault));
    const done = last.then(() => work(images));
    last = done.catch(() => undefined);
    return done;
  };
  const stage = async (
    images: Images,
    { dataset, names }: ReturnType<typeof datasetOf>,
    timeoutMs: number,
    { report, signal }: CallContext,
  ): Promise<undefined> => {
    const late = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
    let reportedAt = -Infinity;
    const outcome = await stageDataset(
      { clock: systemClock, client, images },
      {
        ...{ dataset, names, sizeMax },
        signal: late === undefined ? signal : AbortSignal.any([signal, late]),
        onProgress: ({ filesDone, filesTotal, bytesDone, bytesTotal }) => {
          const now = systemClock.monotonic();
          if (now - reportedAt < reportEveryMs && filesDone < filesTotal) return;
          reportedAt = now;
          const progress = new FieldWriter(32).u64(filesDone).u64(filesTotal);
          report(progress.u64(bytesDone).u64(bytesTotal));
        },
      },
    );
    await cache!.showStaged();
    if (outcome.kind !== "staged") throw faultOf(dataset, outcome, late?.aborted === true);
    return undefined;
  };
  return {
    stage: (fields, context) => {
      const timeoutMs = Math.min(fields.u64(), timeoutMsMax);
      const asked = datasetOf(fields);
      fields.end();
      return inTurn((images) => stage(images, asked, timeoutMs, context));
    },
    stageStatus: (fields) => {
      fields.end();
      const whole = (cache?.manifests ?? []).filter(({ isComplete }) => isComplete);
      const answer = new FieldWriter().u32(whole.length);
      for (const { dataset } of whole) answer.text(dataset);
      return answer;
    },
    release: (fields) => {
      const { dataset } = datasetOf(fields);
      fields.end();
      return inTurn(async (images) => {
        await images.release(dataset);
        await cache!.showStaged();
        return undefined;
      });
    },
    releaseAll: (fields) => {
      fields.end();
      return inTurn(async (images) => {
        for (const { dataset } of images.manifests) await images.release(dataset);
        await cache!.showStaged();
        return undefined;
      });
    },
  } satisfies Readonly<Record<string, Call>>;
}
