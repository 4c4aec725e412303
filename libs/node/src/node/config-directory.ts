import { chmod, open, readFile, rm } from "node:fs/promises";
import { type Epoch, epoch, type Prng, toUtf8 } from "@kiseki/base";
import { makeDirectory, replaceFile } from "@kiseki/host";
import type { KeyFiles } from "@kiseki/kms";

/** The first access key, as `scripts/up` prints it once and tools read it. */
export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
}

const fileSizeMax = 4096;
/** Of 64 devices with the longest paths there are. */
const pathsSizeMax = 512 * 1024;
const formatting = "formatting.json";
const replacements = "replaced-devices.json";
const poolNumbers = "pools.json";

/** `undefined` when there is no such file. */
async function readSmall(path: string, sizeMax = fileSizeMax): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, "r");
    const target = new Uint8Array(new ArrayBuffer(sizeMax));
    const { bytesRead } = await file.read(target, 0, sizeMax, 0);
    return target.subarray(0, bytesRead);
  } catch (reason) {
    if (reason instanceof Error && "code" in reason && reason.code === "ENOENT") return undefined;
    throw reason;
  }
}

/** Key files of the config directory, the data directory and its mirrors. */
export const keyFiles: KeyFiles = { read: (path) => readSmall(path), replace: replaceFile };

/**
 * What a node keeps apart from its data: node secret, the number of its starts, the version of the member
 * list, credentials, the RPC token and certificate. Readable by its owner alone.
 */
export class ConfigDirectory {
  readonly path: string;
  private constructor(path: string) {
    this.path = path;
  }
  static async open(path: string): Promise<ConfigDirectory> {
    await makeDirectory(path);
    await chmod(path, 0o700);
    return new ConfigDirectory(path);
  }
  file(name: string): string {
    return `${this.path}/${name}`;
  }
  get memberListNote(): string {
    return this.file("member-list");
  }

  /** Starts so far; 0 for a directory that never saw one. @throws {Error} when the note is damaged. */
  async readEpoch(): Promise<Epoch> {
    const text = await this.#readText("epoch");
    if (text === undefined) return epoch(0n);
    if (!/^\d{1,19}\n$/.test(text)) {
      throw new Error(`Cannot use ${this.file("epoch")}: it is not a number; remove it to go on`);
    }
    return epoch(BigInt(text.trim()));
  }
  writeEpoch(value: Epoch): Promise<void> {
    return replaceFile(this.file("epoch"), `${value}\n`);
  }

  /** @throws {Error} when the file is damaged. */
  async readCredentials(): Promise<Credentials | undefined> {
    const text = await this.#readText("credentials.json");
    if (text === undefined) return undefined;
    const parsed = parseObject(text);
    const { access_key: accessKey, secret_key: secretKey } = parsed ?? {};
    if (typeof accessKey !== "string" || typeof secretKey !== "string") {
      throw new Error(
        `Cannot use ${this.file("credentials.json")}: it is damaged; remove it, and the next start makes a new access key`,
      );
    }
    return { accessKey, secretKey };
  }
  writeCredentials({ accessKey, secretKey }: Credentials): Promise<void> {
    const content = { access_key: accessKey, secret_key: secretKey };
    return replaceFile(this.file("credentials.json"), `${JSON.stringify(content)}\n`);
  }

  /** The bearer token of RPC over loopback TLS; made at the first start. */
  async ensureToken(prng: Prng): Promise<string> {
    const known = (await this.#readText("rpc-token"))?.trim();
    if (known) return known;
    const token = prng.fill(new Uint8Array(new ArrayBuffer(32))).toHex();
    await replaceFile(this.file("rpc-token"), toUtf8(`${token}\n`));
    return token;
  }

  /** Whether devices were ever formatted and opened for this node. */
  async hasDevices(): Promise<boolean> {
    return (await this.#readText("devices")) !== undefined;
  }
  async noteDevices(): Promise<void> {
    if (!(await this.hasDevices())) await replaceFile(this.file("devices"), "formatted\n");
  }
  /** Before the first byte goes to blank devices: until they are noted otherwise nothing that they hold was ever answered for. */
  noteFormatting(paths: readonly string[]): Promise<void> {
    return replaceFile(this.file(formatting), `${JSON.stringify({ paths })}\n`);
  }
  /** Devices whose format was begun; it counts for those alone that are noted nowhere else. */
  async readFormatting(): Promise<readonly string[]> {
    const text = await this.#readText(formatting, pathsSizeMax);
    const paths = text === undefined ? undefined : parseObject(text)?.["paths"];
    return Array.isArray(paths) ? paths.filter((path) => typeof path === "string") : [];
  }
  endFormatting(): Promise<void> {
    return rm(this.file(formatting), { force: true });
  }

  /**
   * Where devices lie that took the place of others, beside those that the settings name. @throws {Error} when
   * the note is damaged.
   */
  async readReplacements(): Promise<readonly string[]> {
    const text = await this.#readText(replacements, pathsSizeMax);
    if (text === undefined) return [];
    const paths = parseObject(text)?.["paths"];
    if (Array.isArray(paths) && paths.every((path) => typeof path === "string")) return paths;
    throw new Error(
      `Cannot use ${this.file(replacements)}: it is damaged; remove it, and give all devices by --devices`,
    );
  }
  noteReplacements(paths: readonly string[]): Promise<void> {
    return replaceFile(this.file(replacements), `${JSON.stringify({ paths })}\n`);
  }

  /** Numbers of the pools beside the default one, by name; noted once their devices are formatted. @throws {Error} when the note is damaged. */
  async readPools(): Promise<ReadonlyMap<string, number>> {
    const text = await this.#readText(poolNumbers);
    if (text === undefined) return new Map();
    const numbers = Object.entries(parseObject(text) ?? { "": 0 });
    const isNumber = (value: unknown): value is number =>
      typeof value === "number" && Number.isInteger(value) && value >= 1;
    const known = numbers.flatMap(([name, number]) =>
      isNumber(number) ? [[name, number] as const] : [],
    );
    const isSound = new Set(known.map(([, number]) => number)).size === numbers.length;
    if (isSound) return new Map(known);
    throw new Error(
      `Cannot use ${this.file(poolNumbers)}: it is damaged; remove it, and the devices of --pools say their numbers`,
    );
  }
  notePools(numbers: ReadonlyMap<string, number>): Promise<void> {
    const content = Object.fromEntries(numbers);
    return replaceFile(this.file(poolNumbers), `${JSON.stringify(content)}\n`);
  }

  async #readText(name: string, sizeMax?: number): Promise<string | undefined> {
    const content = await readSmall(this.file(name), sizeMax);
    return content && Buffer.from(content).toString("utf8");
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A PEM file whole; it is the operator's, so its size is theirs to bound. */
export const readPem = (path: string): Promise<string> => readFile(path, "utf8");
