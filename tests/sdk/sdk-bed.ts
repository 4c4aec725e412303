import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chooseCommand, NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";

export const root: string = dirname(dirname(import.meta.dir));

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** A node with a namespace, a folder, and the variables by which the libraries find both. */
export class SdkBed implements AsyncDisposable {
  readonly folder: string;
  readonly environment: Record<string, string>;
  readonly #node: NodeProcess;

  private constructor(folder: string, node: NodeProcess, environment: Record<string, string>) {
    this.folder = folder;
    this.#node = node;
    this.environment = environment;
  }

  static async start(): Promise<SdkBed> {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-sdk-"));
    const node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "256MiB" });
    using s3 = await S3Client.of(node);
    await s3.createBucket("data");
    // `kiseki-client` as one program, also where it is run out of its sources.
    const program = join(folder, "kiseki-client");
    const words = chooseCommand("kiseki-client").map((word) => `'${word}'`);
    await writeFile(program, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`);
    await chmod(program, 0o755);
    return new SdkBed(folder, node, {
      ...plainEnvironment(),
      PYTHONDONTWRITEBYTECODE: "1",
      KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
      KISEKI_TENANT: "default",
      KISEKI_NAMESPACE: "data",
      KISEKI_CONFIG_DIR: node.configDirectory,
      KISEKI_CACHE_DIR: join(folder, "cache"),
      KISEKI_CLIENT: program,
    });
  }

  async run(...words: readonly string[]): Promise<Ran> {
    const child = Bun.spawn([...words], {
      cwd: this.folder,
      env: this.environment,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, output: output + errors };
  }
  /** Administers the node; @throws {Error} as `need`. */
  kiseki(...words: readonly string[]): Promise<void> {
    return this.need(
      ...chooseCommand("kiseki"),
      ...words,
      "--config-dir",
      this.#node.configDirectory,
    );
  }
  /** What the node's `/metrics` says. */
  metrics(): Promise<string> {
    return this.#node.metrics();
  }
  /** @throws {Error} with what it said unless it ends well. */
  async need(...words: readonly string[]): Promise<void> {
    const { code, output } = await this.run(...words);
    if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}:\n${output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
