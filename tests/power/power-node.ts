import { join } from "node:path";
import type { Subprocess } from "bun";
import { type Layout, type NodeProcess, plainEnvironment, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import type { SideLoad } from "../support/side-load.ts";
import { checkPromises, readManifest } from "./manifest.ts";

/** A layout under cuts, and whether it is loaded so that its zones are used again and again. */
export interface PowerLayout extends Layout {
  readonly name: string;
  readonly isChurn?: boolean;
}
/** The layouts that are put under cuts. */
export const layouts: readonly PowerLayout[] = [
  { name: "one device, no mirror", devices: 1, mirrors: 0, deviceSize: "256MiB", storage: "disk" },
  { name: "six devices 4+2, two mirrors", devices: 6, mirrors: 2, storage: "disk" },
];

/** The smallest device, written over several times: compaction and reuse of zones are under way when the power goes. */
export const churnLayout: PowerLayout = {
  name: "one small device, written over again and again",
  devices: 1,
  mirrors: 0,
  deviceSize: "128MiB",
  storage: "disk",
  isChurn: true,
};

/** How many writers load the node, each with one request in flight. */
export const writers = 12;

/** A process that writes to the node and keeps the manifest. */
export class Loader implements AsyncDisposable {
  readonly #child: Subprocess<"ignore", "pipe", "pipe">;
  readonly #errors: Promise<string>;
  readonly #manifest: string;

  private constructor(child: Subprocess<"ignore", "pipe", "pipe">, manifest: string) {
    this.#child = child;
    this.#manifest = manifest;
    this.#errors = new Response(child.stderr).text();
  }
  /** Resolves once the first writes are under way. */
  static async start(node: NodeProcess, manifest: string, seed: number, round: number) {
    const { accessKey, secretKey } = await node.credentials();
    const program = join(import.meta.dir, "load.ts");
    const { isChurn } = node.layout as PowerLayout;
    const words = [String(node.s3Port), manifest, String(seed), String(round), String(writers)];
    const child = Bun.spawn([process.execPath, program, ...words], {
      env: {
        ...plainEnvironment(),
        LOAD_ACCESS_KEY: accessKey,
        LOAD_SECRET_KEY: secretKey,
        LOAD_CHURN: isChurn ? "1" : "",
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const loader = new Loader(child, manifest);
    for await (const _ of child.stdout) break;
    return loader;
  }
  get isRunning(): boolean {
    return this.#child.exitCode === null;
  }
  /** Answered writes so far. */
  get acked(): number {
    return readManifest(this.#manifest).acked;
  }
  /** Resolves when it has ended, with what it complained of. */
  async ended(): Promise<string> {
    await this.#child.exited;
    return this.#errors;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

/** Loads `node` until at least `more` writes were answered. */
export async function loadedBy(
  node: NodeProcess,
  manifest: string,
  seed: number,
  round: number,
  more: number,
): Promise<Loader> {
  const before = readManifest(manifest).acked;
  const loader = await Loader.start(node, manifest, seed, round);
  try {
    await until(
      `${more} writes are answered`,
      () => loader.acked - before >= more || !loader.isRunning,
    );
    if (!loader.isRunning) throw new Error(`The loader ended: ${await loader.ended()}`);
    return loader;
  } catch (reason) {
    await loader[Symbol.asyncDispose]();
    throw reason;
  }
}

/** What of the manifest a started node does not keep. */
export async function brokenPromises(node: NodeProcess, manifest: string): Promise<string[]> {
  using client = await S3Client.of(node);
  return await checkPromises(client, manifest);
}

/** What of the side load a started node does not keep. */
export async function sideFaults(node: NodeProcess, side: SideLoad): Promise<string[]> {
  using client = await S3Client.of(node);
  return await side.faults(client);
}
