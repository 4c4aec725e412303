import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { type NodeProcess, plainEnvironment } from "./node-process.ts";
import { content } from "./s3-client.ts";

/** A file below the folder where `scripts/setup` puts what the tests need. */
export function cached(path: string, flag = "--tests"): string {
  const xdg = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const cache = process.env["KISEKI_CACHE_DIR"] ?? join(xdg, "kiseki");
  const whole = join(cache, path);
  if (!existsSync(whole)) throw new Error(`No ${path} of the tests: run scripts/setup ${flag}`);
  return whole;
}

const pythonProgram = (name: string): string => cached(`python-clients-1/bin/${name}`);

/** Path of aws-cli. */
export const awsProgram = (): string => pythonProgram("aws");

/** What a program did. */
export interface ToolOutcome {
  readonly code: number;
  readonly output: string;
}

/**
 * The usual S3 tools against one node, each with its default settings and only endpoint and keys given,
 * in a folder of the node's own.
 */
export class Tools {
  readonly folder: string;
  readonly #environment: Record<string, string>;

  private constructor(folder: string, environment: Record<string, string>) {
    this.folder = folder;
    this.#environment = environment;
  }

  static async of(node: NodeProcess): Promise<Tools> {
    const { accessKey, secretKey } = await node.credentials();
    const folder = join(node.directory, "tools");
    await mkdir(folder, { recursive: true });
    const host = `127.0.0.1:${node.s3Port}`;
    const configuration = [
      "[default]",
      `access_key = ${accessKey}`,
      `secret_key = ${secretKey}`,
      `host_base = ${host}`,
      `host_bucket = ${host}`,
      "use_https = False",
    ];
    await writeFile(join(folder, ".s3cfg"), `${configuration.join("\n")}\n`);
    return new Tools(folder, {
      ...plainEnvironment(),
      HOME: folder,
      LC_ALL: "C.UTF-8",
      AWS_ACCESS_KEY_ID: accessKey,
      AWS_SECRET_ACCESS_KEY: secretKey,
      AWS_DEFAULT_REGION: "kiseki",
      AWS_REGION: "kiseki",
      AWS_ENDPOINT_URL: `http://${host}`,
      RCLONE_CONFIG_KISEKI_TYPE: "s3",
      RCLONE_CONFIG_KISEKI_PROVIDER: "Other",
      RCLONE_CONFIG_KISEKI_ENDPOINT: `http://${host}`,
      RCLONE_CONFIG_KISEKI_ACCESS_KEY_ID: accessKey,
      RCLONE_CONFIG_KISEKI_SECRET_ACCESS_KEY: secretKey,
    });
  }

  get #place() {
    return {
      cwd: this.folder,
      env: this.#environment,
      stdout: "pipe",
      stderr: "pipe",
    } as const;
  }
  aws(...words: readonly string[]): Promise<string> {
    return this.run([pythonProgram("aws"), ...words]);
  }
  rclone(...words: readonly string[]): Promise<string> {
    return this.run(["rclone", ...words]);
  }
  s3cmd(...words: readonly string[]): Promise<string> {
    return this.run(["s3cmd", ...words]);
  }
  /** Runs a Python program with boto3; `s3` is a client of the node. */
  boto3(program: string): Promise<string> {
    const opening = `import boto3, hashlib, io, json, os, urllib.request\ns3 = boto3.client("s3")\n`;
    return this.run([pythonProgram("python"), "-c", opening + program]);
  }
  /** Runs a Python program with pandas, pyarrow, s3fs and DuckDB; the last line that it prints. */
  async data(program: string): Promise<string> {
    const opening = "import json, os, urllib.request\n";
    const said = await this.run([cached("data-clients-1/bin/python"), "-c", opening + program]);
    return said.trimEnd().split("\n").at(-1)!;
  }

  /** @throws {Error} with the output unless the exit status is 0. */
  async run(words: readonly string[]): Promise<string> {
    const { code, output } = await this.tryRun(words);
    if (code !== 0)
      throw new Error(
        `${words.slice(0, 4).join(" ")} … ended with ${code}:\n${output.slice(-800)}`,
      );
    return output;
  }

  async tryRun(words: readonly string[]): Promise<ToolOutcome> {
    const child = this.start(words);
    const [out, error, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, output: out + error };
  }

  start(words: readonly string[]): Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn([...words], { ...this.#place, stdin: "ignore" });
  }
  /** aws-cli with a body on its standard input. @throws {Error} with the output unless the exit status is 0. */
  async awsFrom(body: Iterable<Uint8Array>, ...words: readonly string[]): Promise<void> {
    const child = Bun.spawn([awsProgram(), ...words], { ...this.#place, stdin: "pipe" });
    const output = new Response(child.stderr).text();
    for (const piece of body) {
      void child.stdin.write(piece); // taken whole; the flush waits for it
      await child.stdin.flush();
    }
    await child.stdin.end();
    if ((await child.exited) !== 0) throw new Error(`aws ${words.join(" ")}: ${await output}`);
  }
  /** aws-cli that writes an object to its standard output; the SHA-256 of that. @throws {Error} as `awsFrom`. */
  async hashFromAws(...words: readonly string[]): Promise<string> {
    const child = this.startAws(...words);
    const output = new Response(child.stderr).text();
    const hash = createHash("sha256");
    for await (const piece of child.stdout) hash.update(piece);
    if ((await child.exited) !== 0) throw new Error(`aws ${words.join(" ")}: ${await output}`);
    return hash.digest("hex");
  }
  startAws(...words: readonly string[]): Subprocess<"ignore", "pipe", "pipe"> {
    return this.start([pythonProgram("aws"), ...words]);
  }
  /** The same, with a standard input to write to. */
  pipeAws(...words: readonly string[]): Subprocess<"pipe", "pipe", "pipe"> {
    return Bun.spawn([awsProgram(), ...words], { ...this.#place, stdin: "pipe" });
  }

  /** Writes files of these names and sizes below `folder`; returns its path. */
  async makeTree(folder: string, files: ReadonlyMap<string, number>): Promise<string> {
    const path = join(this.folder, folder);
    for (const [name, size] of files) {
      await Bun.write(join(path, name), content(`${folder}/${name}`, size));
    }
    return path;
  }
}
