import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type NodeProcess, until } from "./node-process.ts";
import { BrokenConnectionError } from "./raw-http.ts";
import { content, digest, S3Client, S3Error } from "./s3-client.ts";
import { Webhook } from "./webhook.ts";

/** A version that nobody may take away. */
interface Kept {
  readonly key: string;
  readonly versionId: string;
}

const bucket = "side";
const writers = 2;
const pauseMs = 10;
/** Held versions stay for good: more would fill the devices. */
const keptMax = 300;

const md5Of = (body: Uint8Array): string => createHash("md5").update(body).digest("base64");

const configuration =
  "<NotificationConfiguration><QueueConfiguration><Queue>arn:kiseki:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>";
const rules =
  "<LifecycleConfiguration><Rule><ID>gone</ID><Status>Enabled</Status><Filter><Prefix>gone/</Prefix></Filter><Expiration><Days>1</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";

/**
 * Beside a load: a bucket with versions, locks, lifecycle rules that work every second, and a webhook. Keys under `stay/`
 * are held and must be there under their versions for ever; those under `gone/` expire; of all that is acknowledged the
 * webhook must be told.
 */
export class SideLoad implements AsyncDisposable {
  readonly words: readonly string[];
  readonly #hook: Webhook;
  readonly #kept: Kept[] = [];
  /** By key, the hash of what was put there or may have been. */
  readonly #sent = new Map<string, string>();
  /** Keys of `ObjectCreated` that must arrive. */
  readonly #acked: string[] = [];
  #isCounting = false;
  /** The bucket and all of its settings were acknowledged. */
  #isPrepared = false;
  #running: Promise<unknown> = Promise.resolve();
  #isStopping = false;
  #counter = 0;

  private constructor(hook: Webhook, targets: string) {
    this.#hook = hook;
    this.words = [
      ...["--notification-targets", targets, "--notification-retry-max-s", "1"],
      ...["--lifecycle-day-seconds", "1"],
    ];
  }
  static async open(folder: string): Promise<SideLoad> {
    const hook = new Webhook();
    const targets = join(folder, "side-targets.json");
    const target = { id: "hook", type: "webhook", url: hook.url };
    await writeFile(targets, JSON.stringify({ targets: [target] }));
    return new SideLoad(hook, targets);
  }

  /** Makes the bucket and its settings, until that was acknowledged once. */
  async prepare(client: S3Client): Promise<void> {
    if (this.#isPrepared) return;
    if ((await client.call("HEAD", bucket, "")).status === 404) {
      const headers = { "x-amz-bucket-object-lock-enabled": "true" };
      await client.expect("PUT", bucket, "", { headers });
    }
    await client.expect("PUT", bucket, "", { query: { lifecycle: "" }, body: rules });
    await client.expect("PUT", bucket, "", { query: { notification: "" }, body: configuration });
    this.#isPrepared = true;
  }

  /** Writes until the connections break or `stop`. */
  async begin(node: NodeProcess): Promise<void> {
    const client = await S3Client.of(node);
    try {
      await this.prepare(client);
    } catch (reason) {
      client[Symbol.dispose]();
      throw reason;
    }
    this.#isCounting = true;
    this.#isStopping = false;
    const all = Array.from({ length: writers }, () => this.#write(client));
    this.#running = Promise.all(all).finally(() => client[Symbol.dispose]());
    this.#running.catch(() => undefined); // seen by whoever waits for the end
  }
  /** Answers that come from here on promise nothing. */
  cut(): void {
    this.#isCounting = false;
  }
  async ended(): Promise<void> {
    await this.#running;
  }
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #write(client: S3Client): Promise<void> {
    while (!this.#isStopping) {
      const number = (this.#counter += 1);
      const isKept = number % 4 === 0 && this.#kept.length < keptMax;
      const key = `${isKept ? "stay" : "gone"}/${number}`;
      const body = content(key, 1 + ((number * 977) % 9000));
      this.#sent.set(key, digest(body));
      const headers: Record<string, string> = isKept
        ? { "x-amz-object-lock-legal-hold": "ON", "content-md5": md5Of(body) }
        : {};
      try {
        const answer = await client.expect("PUT", bucket, key, { body, headers });
        if (this.#isCounting) {
          this.#acked.push(key);
          const versionId = answer.headers.get("x-amz-version-id") ?? "";
          if (isKept) this.#kept.push({ key, versionId });
        }
      } catch (reason) {
        if (reason instanceof BrokenConnectionError) return;
        if (!(reason instanceof S3Error) || reason.status < 500) throw reason;
      }
      await Bun.sleep(pauseMs);
    }
  }

  /** What of it a started node does not keep; what is missing already is not waited for. */
  async faults(client: S3Client): Promise<string[]> {
    if (!this.#isPrepared) return [];
    if ((await client.call("HEAD", bucket, "")).status !== 200) return [`${bucket} is gone`];
    const lost = await this.#lost(client);
    return lost.length > 0 ? lost : await this.#undone(client);
  }

  async #lost(client: S3Client): Promise<string[]> {
    const faults: string[] = [];
    for (const { key, versionId } of this.#kept) {
      const query = { versionId };
      const { status, body } = await client.call("GET", bucket, key, { query });
      if (status !== 200 || digest(body) !== this.#sent.get(key)) {
        faults.push(`the held version of ${key} is not what was put: ${status}`);
      }
      const removed = await client.call("DELETE", bucket, key, { query });
      if (removed.status !== 403)
        faults.push(`the held ${key} could be removed: ${removed.status}`);
    }
    for (const key of (await client.list(bucket)).keys()) {
      const body = await client.get(bucket, key); // may expire between list and get
      if (body !== undefined && digest(body) !== this.#sent.get(key)) {
        faults.push(`${key} is not what was put`);
      }
    }
    return faults;
  }

  /** What the node goes on with by itself, and did not end in time. */
  async #undone(client: S3Client): Promise<string[]> {
    const faults: string[] = [];
    const untold = (): readonly string[] => {
      const told = new Set(this.#hook.told.map(({ key }) => key));
      return this.#acked.filter((key) => !told.has(key));
    };
    const left = async (): Promise<readonly string[]> =>
      [...(await client.list(bucket)).keys()].filter((key) => key.startsWith("gone/"));
    await until("the webhook is told", () => untold().length === 0).catch(() => {
      faults.push(`the webhook was never told of ${untold().slice(0, 5).join(", ")}`);
    });
    await until("it expires", async () => (await left()).length === 0).catch(async () => {
      faults.push(`did not expire: ${(await left()).slice(0, 5).join(", ")}`);
    });
    return faults;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hook[Symbol.asyncDispose]();
  }
}
