import type { Manifest, StagedFile } from "@kiseki/cache";
import type { Clock } from "@kiseki/ports";
import type { FileAttributes, FileRef, FileRefusal, FileRefusalCode, ReadPlan } from "@kiseki/vfs";
import type { ImageStore } from "../cache/image-store.ts";
import type { Client } from "../open-client.ts";
import { ImageFetch } from "./image-fetch.ts";
import { groupSmall, type PlannedFile, type SmallFile } from "./small-files.ts";
import { isGone, type Walked, type WalkedFile, walkDataset, type WalkFault } from "./walk.ts";

export interface StagingProgress {
  /** `listing`: how many files there are is not known yet; `verifying`: those that are here already. */
  readonly phase: "listing" | "verifying" | "fetching";
  readonly filesTotal: number;
  readonly filesDone: number;
  readonly bytesTotal: number;
  readonly bytesDone: number;
}

export interface Staged {
  readonly kind: "staged";
  readonly filesCount: number;
  readonly size: number;
  /** What was here already, whole and of the same version. */
  readonly keptCount: number;
  readonly keptSize: number;
  readonly chunksCount: number;
  /** Links, pipes and the like, which are not staged. */
  readonly othersCount: number;
}
export type StagingFault =
  | WalkFault
  | { readonly kind: "no_room"; readonly size: number; readonly sizeMax: number }
  | { readonly kind: "interrupted" }
  /** Somebody writes it all the time. */
  | { readonly kind: "changing"; readonly path: string };

export interface StagingOptions {
  /** Path from the namespace's root, as `Manifest.dataset`. */
  readonly dataset: string;
  readonly names: readonly string[];
  /** Bytes that images may take. */
  readonly sizeMax: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: StagingProgress) => void;
}
interface Ports {
  readonly clock: Clock;
  readonly client: Pick<Client, "files" | "content" | "smallReads" | "planFiles" | "namespace">;
  readonly images: Pick<ImageStore, "begin" | "write" | "verify" | "saveManifest" | "manifests">;
}

const planCountMax = 256;
const batchesUnderWayMax = 2;
const filesUnderWayMax = 64;
/** Names of images that wait for the disk at once, of one group of small files. */
const namesUnderWayMax = 16;
const verifyingMax = 4;
/** Plans of a file that somebody writes. */
const triesMax = 4;
/** What a killed process loses at most, but that saving takes a small share of the time. */
const saveEveryMs = 2000;
const saveShare = 20;

/**
 * Makes images of all files below a path, as each is at one moment. What is here of it already, whole and of the same
 * version, is kept; so is what was fetched before a fault: the same call again goes on from there.
 *
 * @throws where the disk fails.
 */
export async function stageDataset(
  ports: Ports,
  options: StagingOptions,
): Promise<Staged | StagingFault> {
  const { client } = ports;
  const { names, signal, sizeMax, onProgress } = options;
  const nothing = { filesDone: 0, bytesTotal: 0, bytesDone: 0 };
  const walked = await walkDataset(client.files, names, signal, (filesTotal) => {
    onProgress({ phase: "listing", filesTotal, ...nothing });
  });
  if (walked.kind !== "walked")
    return walked.kind === "refused" && walked.code === "interrupted"
      ? { kind: "interrupted" }
      : walked;
  const size = walked.files.reduce((sum, { attributes }) => sum + attributes.size, 0);
  if (size > sizeMax) return { kind: "no_room", size, sizeMax };
  return new Staging(ports, options, walked, size).run();
}

class Staging {
  readonly #ports: Ports;
  readonly #options: StagingOptions;
  readonly #walked: Walked;
  readonly #fetch: ImageFetch;
  readonly #staged: StagedFile[] = [];
  /** Here already, and not looked at yet. */
  readonly #unverified = new Set<StagedFile>();
  #fault: StagingFault | undefined;
  /** The disk has failed: no more is begun. */
  #isBroken = false;
  #filesTotal: number;
  #bytesTotal: number;
  #bytesDone = 0;
  #keptCount = 0;
  #keptSize = 0;
  #savedAt: number;
  #savingMs = 0;

  constructor(ports: Ports, options: StagingOptions, walked: Walked, size: number) {
    this.#ports = ports;
    this.#options = options;
    this.#walked = walked;
    this.#filesTotal = walked.files.length;
    this.#bytesTotal = size;
    this.#savedAt = ports.clock.monotonic();
    const { files: service, content } = ports.client;
    this.#fetch = new ImageFetch({
      service,
      content,
      images: ports.images,
      onWritten: (written) => {
        this.#bytesDone += written;
        this.#tell("fetching");
      },
    });
  }

  async run(): Promise<Staged | StagingFault> {
    using _ = this.#fetch;
    const wanted = await this.#keepWhole();
    await this.#fetchAll(wanted);
    if (this.#fault === undefined && this.#options.signal.aborted)
      this.#fault = { kind: "interrupted" };
    await this.#save(this.#fault === undefined);
    return this.#fault ?? this.#outcome();
  }
  #outcome(): Staged {
    return {
      kind: "staged",
      filesCount: this.#staged.length,
      size: this.#staged.reduce((sum, { size }) => sum + size, 0),
      keptCount: this.#keptCount,
      keptSize: this.#keptSize,
      chunksCount: this.#staged.reduce((sum, { chunks }) => sum + chunks.length, 0),
      othersCount: this.#walked.othersCount,
    };
  }
  get #isEnding(): boolean {
    return this.#fault !== undefined || this.#isBroken || this.#options.signal.aborted;
  }
  #tell(phase: StagingProgress["phase"]): void {
    this.#options.onProgress({
      phase,
      filesTotal: this.#filesTotal,
      filesDone: this.#staged.length,
      bytesTotal: this.#bytesTotal,
      bytesDone: this.#bytesDone,
    });
  }

  /** Verifies what is here of the same version. The rest, each file once however many names it has. */
  async #keepWhole(): Promise<readonly WalkedFile[]> {
    const { images, client } = this.#ports;
    const { dataset } = this.#options;
    const before = images.manifests.find(
      (manifest) => manifest.dataset === dataset && manifest.namespace === client.namespace,
    );
    const known = new Map(before?.files.map((file) => [file.inode, file]));
    const seen = new Set<bigint>();
    const wanted: WalkedFile[] = [];
    const here: (readonly [WalkedFile, StagedFile])[] = [];
    for (const walked of this.#walked.files) {
      const { ref, contentVersion, size } = walked.attributes;
      if (seen.has(ref.inode)) {
        this.#filesTotal -= 1;
        this.#bytesTotal -= size;
        continue;
      }
      seen.add(ref.inode);
      const file = known.get(ref.inode);
      const isSame = file?.version === contentVersion && file.size === size;
      if (file !== undefined && isSame) here.push([walked, file]);
      else wanted.push(walked);
    }
    for (const [, file] of here) this.#unverified.add(file);
    await sideBySide(verifyingMax, here, async ([walked, file]) => {
      if (this.#isEnding) return;
      const isWhole = await images.verify(file);
      this.#unverified.delete(file);
      if (!isWhole) {
        wanted.push(walked);
        return;
      }
      const { modified } = walked.attributes;
      this.#staged.push({ ...file, path: walked.path, modified });
      this.#keptCount += 1;
      this.#keptSize += file.size;
      this.#bytesDone += file.size;
      this.#tell("verifying");
    });
    return wanted;
  }

  /** Two batches are under way, and a third is planned: neither the nodes nor this process wait for the last file of one. */
  async #fetchAll(wanted: readonly WalkedFile[]): Promise<void> {
    const underWay: Promise<void>[] = [];
    let batch = this.#plan(wanted, 0);
    try {
      for (let start = 0; start < wanted.length && !this.#isEnding;) {
        const plans = await batch;
        const files = wanted.slice(start, start + plans.length);
        start += plans.length;
        batch = this.#plan(wanted, start);
        const fetching = this.#fetchBatch(files, plans);
        fetching.catch(() => (this.#isBroken = true)); // and is looked at below
        underWay.push(fetching);
        if (underWay.length < batchesUnderWayMax) continue;
        await underWay.shift();
        await this.#saveSometimes();
      }
    } finally {
      await batch;
      // Whatever becomes of one: images are written until all have ended.
      await Promise.allSettled(underWay);
    }
    await Promise.all(underWay);
  }
  #fetchBatch(
    files: readonly WalkedFile[],
    plans: readonly (ReadPlan | FileRefusal)[],
  ): Promise<void> {
    const planned = files.map((file, index) => ({ file, plan: plans[index]! }));
    const { groups, others } = groupSmall(this.#ports.client.smallReads, planned);
    const work = [
      ...groups.map((group) => () => this.#stageSmall(group)),
      ...others.map(
        ({ file, plan }) =>
          () =>
            this.#stage(file, plan),
      ),
    ];
    return sideBySide(filesUnderWayMax, work, (act) => act());
  }
  async #plan(
    wanted: readonly WalkedFile[],
    start: number,
  ): Promise<readonly (ReadPlan | FileRefusal)[]> {
    const refs = wanted
      .slice(start, start + planCountMax)
      .map(({ attributes }): FileRef => attributes.ref);
    if (refs.length === 0 || this.#isEnding) return [];
    const answer = await this.#ports.client.planFiles(refs);
    if (answer.kind === "plans") return answer.plans;
    this.#refuse(wanted[start]!.path, answer.code);
    return [];
  }

  /** What does not come in the one frame is fetched by itself. */
  async #stageSmall(group: readonly SmallFile[]): Promise<void> {
    if (this.#isEnding) return;
    const left: PlannedFile[] = [];
    const pieces = group.map(({ piece }) => piece);
    await this.#ports.client.smallReads.read(pieces, async (found) => {
      await sideBySide(namesUnderWayMax, [...group.keys()], async (at) => {
        const [small, bytes] = [group[at]!, found[at]];
        if (bytes === undefined) left.push(small);
        else if (!this.#isEnding) await this.#write(small, bytes);
      });
    });
    await sideBySide(filesUnderWayMax, left, ({ file, plan }) => this.#stage(file, plan));
  }
  async #write({ file, piece }: SmallFile, bytes: Uint8Array): Promise<void> {
    const written = await this.#fetch.write(bytes, [piece]);
    if (written.kind === "fetched") this.#keep(file, file.attributes, written.image);
    else this.#noRoom();
  }
  async #stage(walked: WalkedFile, first: ReadPlan | FileRefusal): Promise<void> {
    const { files } = this.#ports.client;
    let { attributes } = walked;
    let plan = first;
    for (let left = triesMax; left > 0 && !this.#isEnding; left -= 1) {
      if (plan.kind === "refused") return this.#refuse(walked.path, plan.code);
      if (plan.contentVersion === attributes.contentVersion) {
        const bytesBefore = this.#bytesDone;
        const fetched = await this.#fetch.fetch(attributes.ref, plan);
        if (fetched.kind === "fetched") return this.#keep(walked, attributes, fetched.image);
        if (fetched.kind === "cache_capacity_exceeded") return this.#noRoom();
        const isStale = fetched.kind === "changed" || fetched.code === "receipt_stale";
        if (!isStale) return this.#refuse(walked.path, fetched.code);
        this.#bytesDone = bytesBefore;
      }
      const now = await files.attributes(attributes.ref);
      if ("code" in now) return this.#refuse(walked.path, now.code);
      this.#bytesTotal += now.size - attributes.size;
      attributes = now;
      plan = await files.plan(attributes.ref, 0, Math.max(1, attributes.size));
    }
    if (!this.#isEnding) this.#fault = { kind: "changing", path: walked.path };
  }
  #keep(
    { path }: WalkedFile,
    { ref, contentVersion, modified }: FileAttributes,
    image: Pick<StagedFile, "image" | "size" | "checksum" | "chunks">,
  ): void {
    const { inode, home } = ref;
    this.#staged.push({ path, inode, home, version: contentVersion, modified, ...image });
    this.#tell("fetching");
  }
  #noRoom(): void {
    const { sizeMax } = this.#options;
    this.#fault ??= { kind: "no_room", size: this.#bytesTotal, sizeMax };
  }
  /** A file that went meanwhile is none of the dataset; everything else ends the staging. */
  #refuse(path: string, code: FileRefusalCode): void {
    if (isGone(code)) this.#filesTotal -= 1;
    else this.#fault ??= { kind: "refused", code, path };
  }

  async #saveSometimes(): Promise<void> {
    const now = this.#ports.clock.monotonic();
    if (now - this.#savedAt < Math.max(saveEveryMs, saveShare * this.#savingMs)) return;
    await this.#save(false);
    this.#savedAt = this.#ports.clock.monotonic();
    this.#savingMs = this.#savedAt - now;
  }
  async #save(isComplete: boolean): Promise<void> {
    const { images, client, clock } = this.#ports;
    const manifest: Manifest = {
      dataset: this.#options.dataset,
      namespace: client.namespace,
      isComplete,
      stagedAt: clock.realtime(),
      files: [...this.#staged, ...this.#unverified],
    };
    await images.saveManifest(manifest);
  }
}

/** Up to `countMax` at once. The first that throws ends it, once those under way have ended. */
async function sideBySide<T>(
  countMax: number,
  items: readonly T[],
  act: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const actInTurn = async (): Promise<void> => {
    while (next < items.length) {
      try {
        await act(items[next++]!);
      } catch (reason) {
        next = items.length;
        throw reason;
      }
    }
  };
  const ended = await Promise.allSettled(
    Array.from({ length: Math.min(countMax, items.length) }, actInTurn),
  );
  for (const each of ended) if (each.status === "rejected") throw each.reason;
}
