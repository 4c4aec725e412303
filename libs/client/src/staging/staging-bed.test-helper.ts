import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type InodeId, newBytes, prngFromSeed, toUtf8 } from "@kiseki/base";
import type { StagedFile } from "@kiseki/cache";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { FileAttributes, PlanPiece } from "@kiseki/vfs";
import { openStagingPool, type StagingPool } from "../cache/staging-pool.ts";
import type { UseSmall } from "../content/small-reads.ts";
import { FakeNode, type FakeSession } from "../files/fake-service.test-helper.ts";
import type { Chunk } from "./image-fetch.ts";
import { type Staged, stageDataset, type StagingFault, type StagingOptions } from "./stage.ts";
import { datasetNames } from "./walk.ts";

const crypto = openCrypto();
const tenant = "ab".repeat(16);
const owner = { mode: 0o644, uid: 0, gid: 0 };

/** A node in memory, and a folder for pools. */
export class StagingBed implements AsyncDisposable {
  readonly node = new FakeNode();
  readonly session: FakeSession = this.node.open();
  readonly directory: string;
  readonly faults: string[] = [];
  /** Asked for plans of several files, before it answers. */
  onPlanFiles: () => void = () => undefined;
  /** Awaited before small files are read, or refused. */
  onSmallReads: () => Promise<void> | undefined = () => undefined;
  readonly #prng = prngFromSeed(11);
  private constructor(directory: string) {
    this.directory = directory;
  }
  static async open(): Promise<StagingBed> {
    return new StagingBed(await mkdtemp(join(tmpdir(), "kiseki-staging-")));
  }
  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true });
  }

  async #create(
    parent: InodeId,
    name: string,
    kind: "file" | "directory",
  ): Promise<FileAttributes> {
    const made = await this.session.apply({
      ...{ kind: "create", parent, name: toUtf8(name), node: { kind } },
      ...owner,
      isExclusive: false,
    });
    if (made.kind === "refused") throw new Error(made.code);
    return made.attributes;
  }
  async folder(names: readonly string[]): Promise<InodeId> {
    let { inode } = this.session.root;
    for (const name of names) {
      const found = await this.session.lookup({ parent: inode, name: toUtf8(name) });
      inode = ("code" in found ? await this.#create(inode, name, "directory") : found).ref.inode;
    }
    return inode;
  }
  /** Makes a file of random bytes, or gives one others. */
  async write(path: string, size: number): Promise<Uint8Array> {
    const names = path.split("/");
    const parent = await this.folder(names.slice(0, -1));
    const { ref } = await this.#create(parent, names.at(-1)!, "file");
    const bytes = this.#prng.fill(newBytes(size));
    if (size === 0) return bytes;
    const content = await this.session.write(ref, bytes);
    if ("kind" in content) throw new Error(content.code);
    await this.session.apply({ kind: "write", file: ref, pieces: [{ offset: 0, content }] });
    return bytes;
  }
  async remove(path: string): Promise<void> {
    const names = path.split("/");
    const parent = await this.folder(names.slice(0, -1));
    await this.session.apply({ kind: "unlink", parent, name: toUtf8(names.at(-1)!) });
  }

  pool(adopted?: string): Promise<StagingPool> {
    return openStagingPool(
      { clock: systemClock, crypto, prng: systemPrng },
      {
        ...{ directory: this.directory, tenant, sizeMax: 1 << 24 },
        ...(adopted === undefined ? {} : { adopted }),
        onFault: (code) => this.faults.push(code),
      },
    );
  }
  stage(
    pool: StagingPool,
    dataset: string,
    change: Partial<StagingOptions> = {},
  ): Promise<Staged | StagingFault> {
    const { session } = this;
    const client = {
      files: session,
      content: session,
      namespace: "cd".repeat(16),
      smallReads: {
        takes: (piece: PlanPiece): piece is Chunk => piece.kind === "chunk" && piece.length <= 4096,
        read: async (pieces: readonly Chunk[], use: UseSmall) => {
          await this.onSmallReads();
          const found = await Promise.all(
            pieces.map(async (piece) => {
              // Not all that are asked for come.
              if (piece.length % 7 === 0) return undefined;
              const bytes = newBytes(piece.length);
              const read = await session.read(piece, 0, bytes);
              return read.kind === "refused" ? undefined : bytes;
            }),
          );
          await use(found);
        },
      },
      planFiles: async (files: readonly FileAttributes["ref"][]) => {
        this.onPlanFiles();
        // Never all that were asked for.
        const some = files.slice(0, 10);
        const plans = await Promise.all(some.map((file) => session.plan(file, 0, 2 ** 40)));
        return { kind: "plans" as const, plans };
      },
    };
    return stageDataset(
      { clock: systemClock, client, images: pool.images },
      {
        ...{ dataset, names: datasetNames(dataset)!, sizeMax: 1 << 24 },
        signal: new AbortController().signal,
        onProgress: () => undefined,
        ...change,
      },
    );
  }
  /** What a pool has of a dataset: bytes by path. */
  async images(pool: StagingPool, dataset: string): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    const manifest = pool.images.manifests.find((each) => each.dataset === dataset);
    for (const file of manifest?.files ?? [])
      found.set(file.path, await readFile(this.imagePath(pool, file)));
    return found;
  }
  imagePath(pool: StagingPool, { image }: StagedFile): string {
    return join(this.directory, tenant, pool.id, "images", image);
  }
}
