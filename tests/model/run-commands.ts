import { BrokenConnectionError } from "../support/raw-http.ts";
import type { NodeProcess } from "../support/node-process.ts";
import {
  content,
  digest,
  listedName,
  percentEncode,
  S3Client,
  S3Error,
  xmlValues,
} from "../support/s3-client.ts";
import { BucketModel, type ListedVersion, type Version } from "./bucket-model.ts";
import type { Command } from "./commands.ts";

type Headers = ReadonlyMap<string, string>;

const writtenKey = (command: Command): string | undefined =>
  command.op === "copy" ? command.to : "key" in command ? command.key : undefined;

function check(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Error(what);
}

/** Values of `<name>` percent-decoded, as latin1 of their bytes. */
const decoded = (text: string): string =>
  listedName(
    Buffer.from(
      text
        .replaceAll("+", " ")
        .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
          String.fromCharCode(Number.parseInt(digits, 16)),
        ),
      "latin1",
    ),
  );

/** One bucket of a node and the model of it; every answer is held against the model. */
export class ModelRun {
  readonly #node: NodeProcess;
  readonly #bucket: string;
  #client: S3Client;
  #model = new BucketModel();
  #bodies = 0;

  private constructor(node: NodeProcess, bucket: string, client: S3Client) {
    this.#node = node;
    this.#bucket = bucket;
    this.#client = client;
  }

  /** Runs `commands` on a new bucket and compares all of it at the end. @throws {Error} at the first difference. */
  static async run(node: NodeProcess, bucket: string, commands: readonly Command[]): Promise<void> {
    const client = await S3Client.of(node);
    const run = new ModelRun(node, bucket, client);
    try {
      await client.createBucket(bucket);
      for (const command of commands) await run.#perform(command);
      await run.#compareAll();
    } finally {
      run.#client[Symbol.dispose]();
    }
  }

  async #perform(command: Command): Promise<void> {
    switch (command.op) {
      case "read":
        return this.#read(command.key);
      case "read_version":
        return this.#readVersion(command.key, command.at);
      case "list":
        return this.#list(command.prefix, command.delimiter, command.page);
      case "list_versions": {
        const listed = await this.#listVersions(command.page);
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
        return this.#put(command, model);
      case "multipart":
        return this.#upload(command, model);
      case "copy":
        return this.#copy(command, model);
      case "delete":
        return this.#delete(command.key, model);
      case "delete_version":
        return this.#deleteVersion(command, model);
      case "delete_many":
        return this.#deleteMany(command.keys, model);
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
    { op, key, size }: Extract<Command, { op: "put" | "put_if_absent" }>,
    model: BucketModel,
  ): Promise<void> {
    const body = this.#newBody(size);
    const headers: Record<string, string> = op === "put" ? {} : { "if-none-match": "*" };
    const isRefused = op === "put_if_absent" && model.current(key) !== undefined;
    if (isRefused) return this.#refused("PreconditionFailed", "PUT", key, { headers, body });
    const pending = { hash: digest(body), size };
    const answer = await this.#sent(
      () => this.#client.expect("PUT", this.#bucket, key, { headers, body }),
      () => model.put(key, pending, undefined),
    );
    model.put(key, pending, this.#idOf(answer.headers, model));
  }

  async #upload(
    { key, sizes }: Extract<Command, { op: "multipart" }>,
    model: BucketModel,
  ): Promise<void> {
    const bodies = sizes.map((size) => this.#newBody(size));
    const client = this.#client;
    const uploadId = await client.createUpload(this.#bucket, key);
    const etags: string[] = [];
    for (const [at, body] of bodies.entries()) {
      etags.push(await client.uploadPart(this.#bucket, key, uploadId, at + 1, body));
    }
    const whole = Buffer.concat(bodies);
    const pending = { hash: digest(whole), size: whole.byteLength };
    const parts = etags.map(
      (etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    const answer = await this.#sent(
      () => client.expect("POST", this.#bucket, key, { query: { uploadId }, body }),
      () => model.put(key, pending, undefined),
    );
    check(xmlValues(answer.body, "Code").length === 0, "a complete failed behind its 200");
    model.put(key, pending, this.#idOf(answer.headers, model));
  }

  async #copy(
    { from, at, to }: Extract<Command, { op: "copy" }>,
    model: BucketModel,
  ): Promise<void> {
    const source = this.#chosen(from, at, model);
    const isNamed = source !== undefined && at > 0;
    const query = isNamed ? `?versionId=${percentEncode(source.id ?? "", false)}` : "";
    const headers = {
      "x-amz-copy-source": `/${this.#bucket}/${percentEncode(from, true)}${query}`,
      "x-amz-metadata-directive": "REPLACE",
    };
    const found = isNamed ? source : model.current(from);
    if (found === undefined) return this.#refused("NoSuchKey", "PUT", to, { headers });
    if (found.content === undefined) return this.#refused("InvalidRequest", "PUT", to, { headers });
    const pending = found.content;
    const answer = await this.#sent(
      () => this.#client.expect("PUT", this.#bucket, to, { headers }),
      () => model.put(to, pending, undefined),
    );
    model.put(to, pending, this.#idOf(answer.headers, model));
  }

  async #delete(key: string, model: BucketModel): Promise<void> {
    const answer = await this.#sent(
      () => this.#client.expect("DELETE", this.#bucket, key),
      () => model.delete(key, undefined),
    );
    const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
    check(isMarker === (model.versioning !== "off"), `a delete told a marker: ${isMarker}`);
    model.delete(key, isMarker ? this.#idOf(answer.headers, model) : undefined);
  }

  async #deleteVersion(
    { key, at }: Extract<Command, { op: "delete_version" }>,
    model: BucketModel,
  ): Promise<void> {
    const versionId = this.#chosen(key, at, model)?.id ?? "null";
    const wasMarker = model
      .versionsOf(key)
      .some(({ id, content: body }) => id === versionId && body === undefined);
    const answer = await this.#sent(
      () => this.#client.expect("DELETE", this.#bucket, key, { query: { versionId } }),
      () => model.deleteVersion(key, versionId),
    );
    const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
    check(isMarker === wasMarker, `deleting ${versionId} told a marker: ${isMarker}`);
    model.deleteVersion(key, versionId);
  }

  async #deleteMany(keys: readonly string[], model: BucketModel): Promise<void> {
    const objects = keys.map((key) => `<Object><Key>${key}</Key></Object>`).join("");
    const body = Buffer.from(`<Delete>${objects}</Delete>`);
    const md5 = new Bun.CryptoHasher("md5").update(body).digest("base64");
    const headers = { "content-md5": md5 };
    // Each key is a delete of its own: after a crash any of them may be done.
    const answer = await this.#sent(
      () => this.#client.expect("POST", this.#bucket, "", { query: { delete: "" }, headers, body }),
      () => keys.forEach((key) => model.delete(key, undefined)),
    );
    check(xmlValues(answer.body, "Code").length === 0, "a key of many was not deleted");
    const ids = new Map(
      [
        ...Buffer.from(answer.body)
          .toString()
          .matchAll(/<Deleted>(.*?)<\/Deleted>/gs),
      ].map(([, piece]) => [
        xmlValues(piece!, "Key")[0]!,
        xmlValues(piece!, "DeleteMarkerVersionId")[0],
      ]),
    );
    for (const key of keys) model.delete(key, ids.get(key));
  }

  async #setVersioning(versioning: "enabled" | "suspended", model: BucketModel): Promise<void> {
    const status = versioning === "enabled" ? "Enabled" : "Suspended";
    const body = `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`;
    const change = (): void => {
      model.versioning = versioning;
    };
    await this.#sent(
      () => this.#client.expect("PUT", this.#bucket, "", { query: { versioning: "" }, body }),
      change,
    );
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

  async #refused(
    code: string,
    method: string,
    key: string,
    options: Parameters<S3Client["call"]>[3],
  ): Promise<void> {
    try {
      await this.#client.expect(method, this.#bucket, key, options);
    } catch (reason) {
      if (!(reason instanceof S3Error) || reason.code !== code) throw reason;
      return;
    }
    throw new Error(`${method} ${key} was to be refused with ${code}`);
  }

  #chosen(key: string, at: number, model: BucketModel): Version | undefined {
    const versions = model.versionsOf(key);
    return versions[Math.min(at, versions.length - 1)];
  }

  async #read(key: string): Promise<void> {
    const expected = this.#model.current(key);
    const answer = await this.#client.call("GET", this.#bucket, key);
    if (expected === undefined) {
      check(answer.status === 404, `${key}: ${answer.status}, and it is not there`);
      const hasMarker = this.#model.versionsOf(key).length > 0;
      const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
      check(isMarker === hasMarker, `${key}: told a marker: ${isMarker}`);
      return;
    }
    check(answer.status === 200, `${key}: ${answer.status}`);
    check(digest(answer.body) === expected.content!.hash, `${key}: other bytes`);
    const id = answer.headers.get("x-amz-version-id");
    const isTold = this.#model.versioning !== "off" || expected.id !== "null";
    if (isTold) check(id === expected.id, `${key}: version ${id}, not ${expected.id}`);
  }

  async #readVersion(key: string, at: number): Promise<void> {
    const version = this.#chosen(key, at, this.#model);
    const query = { versionId: version?.id ?? "null" };
    const answer = await this.#client.call("GET", this.#bucket, key, { query });
    const wanted = version === undefined ? 404 : version.content === undefined ? 405 : 200;
    check(answer.status === wanted, `${key} ${version?.id}: ${answer.status}, not ${wanted}`);
    if (version?.content === undefined) return;
    check(digest(answer.body) === version.content.hash, `${key} ${version.id}: other bytes`);
  }

  async #list(prefix: string, delimiter: string, page: number): Promise<void> {
    const shown: string[] = [];
    for (let token: string | undefined = ""; token !== undefined;) {
      const query: Record<string, string> = {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": String(page),
        prefix,
      };
      if (delimiter !== "") query["delimiter"] = delimiter;
      if (token !== "") query["continuation-token"] = token;
      const { body } = await this.#client.expect("GET", this.#bucket, "", { query });
      const text = Buffer.from(body).toString();
      const groups = [...text.matchAll(/<CommonPrefixes>(.*?)<\/CommonPrefixes>/gs)];
      const names = [
        ...xmlValues(text, "Key"),
        ...groups.flatMap(([, piece]) => xmlValues(piece!, "Prefix")),
      ];
      check(names.length <= page, `a page of ${page} shows ${names.length}`);
      shown.push(...names.map(decoded).toSorted());
      token = xmlValues(text, "NextContinuationToken")[0];
    }
    const expected = this.#model.list(prefix, delimiter);
    const isEqual = JSON.stringify(shown) === JSON.stringify(expected);
    check(isEqual, `listed ${JSON.stringify(shown)}, there are ${JSON.stringify(expected)}`);
  }

  async #listVersions(page: number): Promise<ListedVersion[]> {
    const listed: ListedVersion[] = [];
    let markers: Record<string, string> | undefined = {};
    while (markers !== undefined) {
      const query: Record<string, string> = {
        versions: "",
        "encoding-type": "url",
        "max-keys": String(page),
        ...markers,
      };
      const { body } = await this.#client.expect("GET", this.#bucket, "", { query });
      const text = Buffer.from(body).toString();
      for (const [, kind, piece] of text.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)) {
        const one = (name: string): string => xmlValues(piece!, name)[0]!;
        listed.push({
          key: decoded(one("Key")),
          id: one("VersionId"),
          isLatest: one("IsLatest") === "true",
          size: kind === "Version" ? Number(one("Size")) : undefined,
        });
      }
      const isTruncated = xmlValues(text, "IsTruncated")[0] === "true";
      const [keyMarker = ""] = xmlValues(text, "NextKeyMarker");
      const [versionMarker = ""] = xmlValues(text, "NextVersionIdMarker");
      markers = isTruncated
        ? {
            "key-marker": Buffer.from(decoded(keyMarker), "latin1").toString("utf8"),
            "version-id-marker": versionMarker,
          }
        : undefined;
    }
    return listed;
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
    const listed = await this.#listVersions(1000);
    const possible = [after, ...(isAnswered ? [] : this.#halves(during, before))];
    const hash = await this.#hashNow(during);
    const found = possible.find(
      (model) =>
        model.versioning === versioning &&
        model.matches(listed) &&
        (hash === undefined || model.current(writtenKey(during)!)?.content?.hash === hash),
    );
    check(
      found !== undefined,
      `after a crash (answered: ${isAnswered}): ${JSON.stringify(listed)}`,
    );
    this.#model = found;
  }

  /** Of the object that a write was about: a listing does not tell two bodies of one size apart. */
  async #hashNow(during: Command): Promise<string | undefined> {
    const key = writtenKey(during);
    if (key === undefined) return undefined;
    const answer = await this.#client.call("GET", this.#bucket, key);
    return answer.status === 200 ? digest(answer.body) : undefined;
  }

  /** What may be so when `during` was not answered: nothing done, or of many deletes some. */
  #halves(during: Command, before: BucketModel): BucketModel[] {
    const keys = during.op === "delete_many" ? during.keys : [];
    const states: BucketModel[] = [];
    for (let mask = 0; mask < 2 ** keys.length; mask += 1) {
      const state = before.clone();
      keys.forEach((key, bit) => {
        if ((mask & (1 << bit)) !== 0) state.delete(key, undefined);
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

  async #compareAll(): Promise<void> {
    const listed = await this.#listVersions(3);
    check(this.#model.matches(listed), `in the end listed ${JSON.stringify(listed)}`);
    await this.#list("", "", 2);
    await this.#list("", "/", 2);
    for (const name of this.#model.keys.keys()) {
      const key = Buffer.from(name, "latin1").toString("utf8");
      await this.#read(key);
      for (let at = 0; at < this.#model.versionsOf(key).length; at += 1) {
        await this.#readVersion(key, at);
      }
    }
  }
}
