import { createHash } from "node:crypto";
import { BrokenConnectionError } from "../support/raw-http.ts";
import type { NodeProcess } from "../support/node-process.ts";
import {
  type CallOptions,
  content,
  digest,
  percentEncode,
  S3Client,
  S3Error,
  xmlValues,
} from "../support/s3-client.ts";
import { BucketModel } from "./bucket-model.ts";
import {
  check,
  compareAll,
  copySource,
  etagOf,
  isKeyAsModelled,
  listVersions,
  otherEtag,
  readIf,
  readKey,
  readList,
  readVersion,
  type Shown,
  tagName,
} from "./bucket-reads.ts";
import type { Command, ManyObject } from "./commands.ts";

type Headers = ReadonlyMap<string, string>;
type Of<Op extends Command["op"]> = Extract<Command, { op: Op }>;

/** Keys that a write is about. */
function writtenKeys(command: Command): readonly string[] {
  if (command.op === "delete_many") return command.objects.map(({ key }) => key);
  if (command.op === "copy") return [command.to];
  return "key" in command ? [command.key] : [];
}

const md5 = (body: string): string => createHash("md5").update(body).digest("base64");
const dayMs = 86_400_000;
const taggedAs = (tag: string): Record<string, string> =>
  tag === "" ? {} : { "x-amz-tagging": `${tagName}=${percentEncode(tag, false)}` };

/** One bucket of a node and the model of it; every answer is held against the model. */
export class ModelRun {
  readonly #node: NodeProcess;
  readonly #bucket: string;
  #client: S3Client;
  #model: BucketModel;
  #bodies = 0;

  private constructor(node: NodeProcess, bucket: string, client: S3Client, isLocked: boolean) {
    this.#node = node;
    this.#bucket = bucket;
    this.#client = client;
    this.#model = new BucketModel(isLocked);
  }

  /** Runs `commands` on a new bucket and compares all of it at the end. @throws {Error} at the first difference. */
  static async run(
    node: NodeProcess,
    bucket: string,
    { commands, isLocked }: { readonly commands: readonly Command[]; readonly isLocked: boolean },
  ): Promise<void> {
    const client = await S3Client.of(node);
    const run = new ModelRun(node, bucket, client, isLocked);
    try {
      const headers: Record<string, string> = isLocked
        ? { "x-amz-bucket-object-lock-enabled": "true" }
        : {};
      await client.expect("PUT", bucket, "", { headers });
      for (const command of commands) await run.#perform(command);
      await compareAll(run.#shown(run.#model));
    } finally {
      run.#client[Symbol.dispose]();
    }
  }

  #shown(model: BucketModel): Shown {
    return { client: this.#client, bucket: this.#bucket, model };
  }

  async #perform(command: Command): Promise<void> {
    const shown = this.#shown(this.#model);
    switch (command.op) {
      case "read":
        return readKey(shown, command.key);
      case "read_if":
        return readIf(shown, command);
      case "read_version":
        return readVersion(shown, command.key, command.at);
      case "list":
        return readList(shown, command);
      case "list_versions": {
        const listed = await listVersions(shown, command.page);
        check(this.#model.matches(listed), `listed ${JSON.stringify(listed)}`);
        return;
      }
      case "crash":
        return this.#crash(command.during, command.afterMs);
      default:
        await this.#write(command, this.#model);
    }
  }

  /** Sends a write; `model` is what it makes of the state once the answer says so. */
  async #write(command: Command, model: BucketModel): Promise<void> {
    switch (command.op) {
      case "put":
      case "put_if_absent":
      case "put_if_match":
        return this.#put(command, model);
      case "multipart":
        return this.#upload(command, model);
      case "copy":
        return this.#copy(command, model);
      case "delete":
        return this.#delete(command.key, {}, model);
      case "delete_if_match":
        return this.#deleteIfMatch(command, model);
      case "delete_version":
        return this.#deleteVersion(command, model);
      case "delete_many":
        return this.#deleteMany(command.objects, model);
      case "set_tag":
        return this.#setTag(command, model);
      case "set_hold":
      case "retain":
        return this.#setLock(command, model);
      case "set_versioning":
        return this.#setVersioning(command.versioning, model);
      default:
        throw new Error(`${command.op} is no write`);
    }
  }

  #newBody(size: number) {
    this.#bodies += 1;
    return content(`${this.#bucket} ${this.#bodies}`, size);
  }

  /** The id that an answer gives, as the model's state wants it. */
  #idOf(headers: Headers, model: BucketModel): string | undefined {
    const id = headers.get("x-amz-version-id");
    if (model.versioning === "off") check(id === undefined, `an unversioned bucket told ${id}`);
    if (model.versioning === "suspended")
      check((id ?? "null") === "null", `a suspended bucket told ${id}`);
    if (model.versioning !== "enabled") return "null";
    check(id !== undefined && id !== "null" && id.length <= 1024, `a versioned bucket told ${id}`);
    return id;
  }

  async #put(
    command: Of<"put"> | Of<"put_if_absent"> | Of<"put_if_match">,
    model: BucketModel,
  ): Promise<void> {
    const { op, key, size } = command;
    const body = this.#newBody(size);
    const tag = op === "put" ? command.tag : "";
    const headers: Record<string, string> = taggedAs(tag);
    const isThere = model.current(key) !== undefined;
    if (op === "put_if_absent") {
      headers["if-none-match"] = "*";
      if (isThere) return this.#refused("PreconditionFailed", "PUT", key, { headers, body });
    }
    if (op === "put_if_match") {
      const { isRight } = command;
      headers["if-match"] = isRight ? await etagOf(this.#shown(model), key) : otherEtag;
      const code = isThere ? "PreconditionFailed" : "NoSuchKey";
      if (!isThere || !isRight) return this.#refused(code, "PUT", key, { headers, body });
    }
    const pending = { content: { hash: digest(body), size }, tag };
    const answer = await this.#sent(
      () => this.#client.expect("PUT", this.#bucket, key, { headers, body }),
      () => model.put(key, pending, undefined),
    );
    model.put(key, pending, this.#idOf(answer.headers, model));
  }

  async #upload(command: Of<"multipart">, model: BucketModel): Promise<void> {
    const { key, tag, end } = command;
    const client = this.#client;
    const created = await client.expect("POST", this.#bucket, key, {
      query: { uploads: "" },
      headers: taggedAs(tag),
    });
    const uploadId = xmlValues(created.body, "UploadId")[0]!;
    const { whole, etags } = await this.#sendParts(command, uploadId, model);
    const query = { uploadId };
    if (end === "abort") {
      await client.expect("DELETE", this.#bucket, key, { query });
      const after = await client.call("GET", this.#bucket, key, { query });
      return check(after.status === 404, `an aborted upload answers ${after.status}`);
    }
    const pending = { content: { hash: digest(whole), size: whole.byteLength }, tag };
    const parts = etags.map(
      (etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    const headers: Record<string, string> =
      end === "complete_if_absent" ? { "if-none-match": "*" } : {};
    if (end === "complete_if_absent" && model.current(key) !== undefined) {
      await this.#refused("PreconditionFailed", "POST", key, { query, headers, body });
      await client.expect("DELETE", this.#bucket, key, { query });
      return;
    }
    const answer = await this.#sent(
      () => client.expect("POST", this.#bucket, key, { query, headers, body }),
      () => model.put(key, pending, undefined),
    );
    check(xmlValues(answer.body, "Code").length === 0, "a complete failed behind its 200");
    model.put(key, pending, this.#idOf(answer.headers, model));
  }

  /** The last part is copied from a version where the command names one that has any content. */
  async #sendParts(
    { key, sizes, copied }: Of<"multipart">,
    uploadId: string,
    model: BucketModel,
  ): Promise<{ readonly whole: Uint8Array; readonly etags: readonly string[] }> {
    const client = this.#client;
    const source = copied && model.chosen(copied.key, copied.at);
    const isCopied = source?.content !== undefined && source.content.size > 0;
    const bodies: Uint8Array[] = sizes.map((size) => this.#newBody(size));
    const etags: string[] = [];
    for (const [at, body] of bodies.entries()) {
      if (!isCopied || at < bodies.length - 1) {
        etags.push(await client.uploadPart(this.#bucket, key, uploadId, at + 1, body));
        continue;
      }
      const versionId = source.id!;
      const from = await client.expect("GET", this.#bucket, copied!.key, { query: { versionId } });
      check(digest(from.body) === source.content!.hash, `${copied!.key}: other bytes to copy`);
      bodies[at] = from.body;
      const query = { partNumber: String(at + 1), uploadId };
      const headers = { "x-amz-copy-source": copySource(this.#bucket, copied!.key, versionId) };
      const answer = await client.expect("PUT", this.#bucket, key, { query, headers });
      etags.push(xmlValues(answer.body, "ETag")[0]!);
    }
    return { whole: Buffer.concat(bodies), etags };
  }

  async #copy({ from, at, to, isRight }: Of<"copy">, model: BucketModel): Promise<void> {
    const source = model.chosen(from, at);
    const isNamed = source !== undefined && at > 0;
    const versionId = isNamed ? (source.id ?? "") : undefined;
    const headers: Record<string, string> = {
      "x-amz-copy-source": copySource(this.#bucket, from, versionId),
      "x-amz-metadata-directive": "REPLACE",
    };
    const found = isNamed ? source : model.current(from);
    if (found === undefined) return this.#refused("NoSuchKey", "PUT", to, { headers });
    if (found.content === undefined) return this.#refused("InvalidRequest", "PUT", to, { headers });
    if (isRight !== undefined) {
      const query: Record<string, string> = versionId === undefined ? {} : { versionId };
      const head = await this.#client.expect("HEAD", this.#bucket, from, { query });
      headers["x-amz-copy-source-if-match"] = isRight ? head.headers.get("etag")! : otherEtag;
      if (!isRight) return this.#refused("PreconditionFailed", "PUT", to, { headers });
    }
    const pending = { content: found.content, tag: found.tag };
    const answer = await this.#sent(
      () => this.#client.expect("PUT", this.#bucket, to, { headers }),
      () => model.put(to, pending, undefined),
    );
    model.put(to, pending, this.#idOf(answer.headers, model));
  }

  async #delete(key: string, headers: Record<string, string>, model: BucketModel): Promise<void> {
    const answer = await this.#sent(
      () => this.#client.expect("DELETE", this.#bucket, key, { headers }),
      () => model.delete(key, undefined),
    );
    const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
    check(isMarker === (model.versioning !== "off"), `a delete told a marker: ${isMarker}`);
    model.delete(key, isMarker ? this.#idOf(answer.headers, model) : undefined);
  }

  async #deleteIfMatch({ key, isRight }: Of<"delete_if_match">, model: BucketModel): Promise<void> {
    const headers = { "if-match": isRight ? await etagOf(this.#shown(model), key) : otherEtag };
    const [newest] = model.versionsOf(key);
    if (newest === undefined) {
      // What is not there is deleted already: not even a marker is made.
      const { status } = await this.#client.call("DELETE", this.#bucket, key, { headers });
      return check(status === 204, `a conditional delete of nothing answers ${status}`);
    }
    if (isRight && newest.content !== undefined) return this.#delete(key, headers, model);
    return this.#refused("PreconditionFailed", "DELETE", key, { headers });
  }

  async #deleteVersion(
    { key, at, isBypassing }: Of<"delete_version">,
    model: BucketModel,
  ): Promise<void> {
    const versionId = model.chosen(key, at)?.id ?? "null";
    const query = { versionId };
    const headers: Record<string, string> = isBypassing
      ? { "x-amz-bypass-governance-retention": "true" }
      : {};
    if (!model.isFree(key, versionId, isBypassing))
      return this.#refused("AccessDenied", "DELETE", key, { query, headers });
    const wasMarker = model
      .versionsOf(key)
      .some(({ id, content: body }) => id === versionId && body === undefined);
    const answer = await this.#sent(
      () => this.#client.expect("DELETE", this.#bucket, key, { query, headers }),
      () => model.deleteVersion(key, versionId),
    );
    const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
    check(isMarker === wasMarker, `deleting ${versionId} told a marker: ${isMarker}`);
    model.deleteVersion(key, versionId);
  }

  /** Deletes one of many; a version that is locked stays. */
  #deleteOne(
    { key, versionId }: { readonly key: string; readonly versionId: string | undefined },
    model: BucketModel,
    marker: string | undefined,
  ): void {
    if (versionId === undefined) model.delete(key, marker);
    else if (model.isFree(key, versionId)) model.deleteVersion(key, versionId);
  }

  async #deleteMany(objects: readonly ManyObject[], model: BucketModel): Promise<void> {
    const asked = namedIn(objects, model);
    const items = asked.map(
      ({ key, versionId }) =>
        `<Object><Key>${key}</Key>${versionId === undefined ? "" : `<VersionId>${versionId}</VersionId>`}</Object>`,
    );
    const body = `<Delete>${items.join("")}</Delete>`;
    const headers = { "content-md5": md5(body) };
    const locked = asked.filter(
      ({ key, versionId }) => versionId !== undefined && !model.isFree(key, versionId),
    );
    // Each key is a delete of its own: after a crash any of them may be done.
    const answer = await this.#sent(
      () => this.#client.expect("POST", this.#bucket, "", { query: { delete: "" }, headers, body }),
      () => asked.forEach((each) => this.#deleteOne(each, model, undefined)),
    );
    const text = Buffer.from(answer.body).toString();
    const pieces = (name: string) =>
      [...text.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, "gs"))].map(([, piece]) => piece!);
    const refused = pieces("Error").map((piece) => xmlValues(piece, "Key")[0]!);
    const wanted = locked.map(({ key }) => key);
    check(refused.join() === wanted.join(), `of many were refused ${refused.join()}`);
    const ids = new Map(
      pieces("Deleted").map((piece) => [
        xmlValues(piece, "Key")[0]!,
        xmlValues(piece, "DeleteMarkerVersionId")[0],
      ]),
    );
    for (const each of asked) this.#deleteOne(each, model, ids.get(each.key));
  }

  async #setTag({ key, at, tag }: Of<"set_tag">, model: BucketModel): Promise<void> {
    const version = model.chosen(key, at);
    const query = { tagging: "", versionId: version?.id ?? "null" };
    const body = `<Tagging><TagSet><Tag><Key>${tagName}</Key><Value>${tag}</Value></Tag></TagSet></Tagging>`;
    const [method, options] = tag === "" ? ["DELETE", { query }] : ["PUT", { query, body }];
    if (version === undefined) return this.#refused("NoSuchVersion", method, key, options);
    if (version.content === undefined)
      return this.#refused("MethodNotAllowed", method, key, options);
    await this.#changed(method, key, options, () => (version.tag = tag));
  }

  async #setLock(command: Of<"set_hold"> | Of<"retain">, model: BucketModel): Promise<void> {
    const { key, at } = command;
    const version = model.chosen(key, at);
    const isHold = command.op === "set_hold";
    const what = isHold ? "legal-hold" : "retention";
    const until = new Date(Date.now() + dayMs).toISOString();
    const body = isHold
      ? `<LegalHold><Status>${command.isOn ? "ON" : "OFF"}</Status></LegalHold>`
      : `<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`;
    const query = { [what]: "", versionId: version?.id ?? "null" };
    const options = { query, body, headers: { "content-md5": md5(body) } };
    if (!model.isLockEnabled) return this.#refused("InvalidRequest", "PUT", key, options);
    if (version === undefined) return this.#refused("NoSuchVersion", "PUT", key, options);
    if (version.content === undefined)
      return this.#refused("MethodNotAllowed", "PUT", key, options);
    await this.#changed("PUT", key, options, () => {
      if (isHold) version.isHeld = command.isOn;
      else version.isRetained = true;
    });
  }

  async #setVersioning(versioning: "enabled" | "suspended", model: BucketModel): Promise<void> {
    const status = versioning === "enabled" ? "Enabled" : "Suspended";
    const body = `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`;
    const options = { query: { versioning: "" }, body };
    if (model.isLockEnabled && versioning === "suspended")
      return this.#refused("InvalidBucketState", "PUT", "", options);
    await this.#changed("PUT", "", options, () => (model.versioning = versioning));
  }

  /** What the answer tells nothing about but that it is done. */
  async #changed(
    method: string,
    key: string,
    options: CallOptions,
    change: () => unknown,
  ): Promise<void> {
    await this.#sent(() => this.#client.expect(method, this.#bucket, key, options), change);
    change();
  }

  /** Asks; `assume` brings the model to what is so if the answer gets lost on its way. */
  async #sent<T>(ask: () => Promise<T>, assume: () => void): Promise<T> {
    try {
      return await ask();
    } catch (reason) {
      if (reason instanceof BrokenConnectionError) assume();
      throw reason;
    }
  }

  async #refused(code: string, method: string, key: string, options: CallOptions): Promise<void> {
    try {
      await this.#client.expect(method, this.#bucket, key, options);
    } catch (reason) {
      if (!(reason instanceof S3Error) || reason.code !== code) throw reason;
      return;
    }
    throw new Error(`${method} ${key} was to be refused with ${code}`);
  }

  /** Kills the node while `during` is under way; what was not answered is there whole or not at all. */
  async #crash(during: Command, afterMs: number): Promise<void> {
    const before = this.#model;
    const after = before.clone();
    const writing = this.#write(during, after).then(
      () => true,
      (reason: unknown) => {
        if (reason instanceof BrokenConnectionError) return false;
        throw reason;
      },
    );
    writing.catch(() => undefined); // seen below, when the node is there again
    await Bun.sleep(afterMs);
    const { s3Port } = this.#node;
    await this.#node.kill();
    this.#client[Symbol.dispose]();
    await this.#node.start({ s3Port });
    this.#client = await S3Client.of(this.#node);
    const isAnswered = await writing;
    const versioning = await this.#readVersioning();
    const listed = await listVersions(this.#shown(before), 1000);
    for (const model of [after, ...(isAnswered ? [] : this.#halves(during, before))]) {
      if (model.versioning !== versioning || !model.matches(listed)) continue;
      const keys = writtenKeys(during);
      const same = await Promise.all(keys.map((key) => isKeyAsModelled(this.#shown(model), key)));
      if (same.includes(false)) continue;
      this.#model = model;
      return;
    }
    throw new Error(`after a crash (answered: ${isAnswered}): ${JSON.stringify(listed)}`);
  }

  /** What may be so when `during` was not answered: nothing done, or of many deletes some. */
  #halves(during: Command, before: BucketModel): BucketModel[] {
    const asked = during.op === "delete_many" ? namedIn(during.objects, before) : [];
    const states: BucketModel[] = [];
    for (let mask = 0; mask < 2 ** asked.length; mask += 1) {
      const state = before.clone();
      asked.forEach((each, bit) => {
        if ((mask & (1 << bit)) !== 0) this.#deleteOne(each, state, undefined);
      });
      states.push(state);
    }
    return states;
  }

  async #readVersioning(): Promise<BucketModel["versioning"]> {
    const query = { versioning: "" };
    const { body } = await this.#client.expect("GET", this.#bucket, "", { query });
    const [status] = xmlValues(body, "Status");
    return status === "Enabled" ? "enabled" : status === "Suspended" ? "suspended" : "off";
  }
}

/** Of many: what each is called in the request. */
const namedIn = (objects: readonly ManyObject[], model: BucketModel) =>
  objects.map(({ key, at }) => ({
    key,
    versionId: at === undefined ? undefined : (model.chosen(key, at)?.id ?? "null"),
  }));
