import { createHash, createHmac } from "node:crypto";
import type { NodeProcess } from "./node-process.ts";
import { type RawAnswer, RawHttp, type RawRequest } from "./raw-http.ts";

/** Bytes or text of a key; text is UTF-8. */
export type Key = string | Uint8Array;

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** An answer that was not the one hoped for. */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, text: string) {
    super(`${status} ${code}: ${text}`);
    this.status = status;
    this.code = code;
  }
}

const unreserved = /[A-Za-z0-9\-._~]/;

/** RFC 3986 percent-encoding of bytes, as SigV4 wants it. */
export function percentEncode(text: Key, isSlashKept: boolean): string {
  let encoded = "";
  for (const byte of typeof text === "string" ? Buffer.from(text) : text) {
    const sign = String.fromCharCode(byte);
    const isKept = unreserved.test(sign) || (isSlashKept && sign === "/");
    encoded += isKept ? sign : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

const sha256 = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");
const hmac = (key: string | Uint8Array, text: string): Uint8Array =>
  createHmac("sha256", key).update(text).digest();

/** Values of every `<name>` of a flat XML document, entities resolved. */
export function xmlValues(document: Uint8Array | string, name: string): string[] {
  const text = typeof document === "string" ? document : Buffer.from(document).toString("utf8");
  const found = text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"));
  return [...found].map(([, value]) =>
    value!
      .replace(/&#x([0-9a-fA-F]+);/g, (_, digits: string) =>
        String.fromCodePoint(Number.parseInt(digits, 16)),
      )
      .replace(/&#(\d+);/g, (_, digits: string) => String.fromCodePoint(Number(digits)))
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"')
      .replaceAll("&apos;", "'")
      .replaceAll("&amp;", "&"),
  );
}

/** A small S3 client that signs every byte, sends paths as they are, and has as many requests in flight as asked. */
export class S3Client implements Disposable {
  readonly #http: RawHttp;
  readonly #port: number;
  readonly #accessKey: string;
  readonly #secretKey: string;

  constructor(
    port: number,
    credentials: { readonly accessKey: string; readonly secretKey: string },
  ) {
    this.#http = new RawHttp(port);
    this.#port = port;
    this.#accessKey = credentials.accessKey;
    this.#secretKey = credentials.secretKey;
  }
  static async of(node: NodeProcess): Promise<S3Client> {
    return new S3Client(node.s3Port, await node.credentials());
  }

  /** Whatever was answered. @throws {BrokenConnectionError} */
  call(method: string, bucket: string, key: Key, options: CallOptions = {}): Promise<RawAnswer> {
    return this.#http.exchange(this.sign(method, bucket, key, options));
  }

  /** The request as `call` sends it. */
  sign(method: string, bucket: string, key: Key, options: CallOptions = {}): RawRequest {
    const { query = {}, headers = {} } = options;
    const body = typeof options.body === "string" ? Buffer.from(options.body) : options.body;
    const path = key.length === 0 ? `/${bucket}` : `/${bucket}/${percentEncode(key, true)}`;
    const search = Object.entries(query)
      .map(([name, value]) => `${percentEncode(name, false)}=${percentEncode(value, false)}`)
      .toSorted()
      .join("&");
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const payload = sha256(body ?? "");
    const all: Record<string, string> = {
      host: `127.0.0.1:${this.#port}`,
      "x-amz-content-sha256": payload,
      "x-amz-date": date,
      ...headers,
    };
    const names = Object.keys(all).toSorted();
    const canonical = [
      method,
      path,
      search,
      ...names.map((name) => `${name}:${all[name]}`),
      "",
      names.join(";"),
      payload,
    ].join("\n");
    const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
    const text = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
    let signingKey: string | Uint8Array = `AWS4${this.#secretKey}`;
    for (const word of scope.split("/")) signingKey = hmac(signingKey, word);
    const signature = createHmac("sha256", signingKey).update(text).digest("hex");
    all["authorization"] =
      `AWS4-HMAC-SHA256 Credential=${this.#accessKey}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
    if (body || method === "PUT" || method === "POST") {
      all["content-length"] = String(body?.byteLength ?? 0);
    }
    const target = search === "" ? path : `${path}?${search}`;
    return { method, target, headers: all, ...(body ? { body } : {}) };
  }

  /** @throws {S3Error} unless the status is 2xx. */
  async expect(method: string, bucket: string, key: Key, options: CallOptions = {}) {
    const answer = await this.call(method, bucket, key, options);
    if (answer.status >= 200 && answer.status < 300) return answer;
    const text = Buffer.from(answer.body).toString("utf8");
    throw new S3Error(answer.status, xmlValues(text, "Code")[0] ?? "", text);
  }

  async createBucket(bucket: string): Promise<void> {
    await this.expect("PUT", bucket, "");
  }
  /** The version made, if the bucket keeps them; so of `delete`, `copy` and `completeUpload`. */
  async put(bucket: string, key: Key, body: Uint8Array | string, options: CallOptions = {}) {
    return versionOf(await this.expect("PUT", bucket, key, { ...options, body }));
  }
  /** `undefined` when there is no such key. */
  async get(bucket: string, key: Key): Promise<Uint8Array | undefined> {
    const answer = await this.call("GET", bucket, key);
    if (answer.status === 200) return answer.body;
    const code = xmlValues(answer.body, "Code")[0] ?? "";
    if (answer.status === 404 && code === "NoSuchKey") return undefined;
    throw new S3Error(answer.status, code, Buffer.from(answer.body).toString("utf8"));
  }
  async delete(bucket: string, key: Key) {
    return versionOf(await this.expect("DELETE", bucket, key));
  }
  async copy(bucket: string, from: Key, to: Key) {
    const source = `/${bucket}/${percentEncode(from, true)}`;
    const headers = { "x-amz-copy-source": source };
    return versionOf(await this.expect("PUT", bucket, to, { headers }));
  }

  async createUpload(bucket: string, key: Key): Promise<string> {
    const answer = await this.expect("POST", bucket, key, { query: { uploads: "" } });
    return xmlValues(answer.body, "UploadId")[0]!;
  }
  /** The part's ETag. */
  async uploadPart(bucket: string, key: Key, uploadId: string, part: number, body: Uint8Array) {
    const query = { partNumber: String(part), uploadId };
    const answer = await this.expect("PUT", bucket, key, { query, body });
    return answer.headers.get("etag")!;
  }
  async completeUpload(bucket: string, key: Key, uploadId: string, etags: readonly string[]) {
    const parts = etags.map(
      (etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    const answer = await this.expect("POST", bucket, key, { query: { uploadId }, body });
    const code = xmlValues(answer.body, "Code")[0];
    if (code) throw new S3Error(answer.status, code, Buffer.from(answer.body).toString("utf8"));
    return versionOf(answer);
  }

  /** Every key of a bucket in the order listed, with its size and ETag; keys as bytes in latin1. */
  async list(
    bucket: string,
    pageSize = 1000,
  ): Promise<Map<string, { size: number; etag: string }>> {
    const all = new Map<string, { size: number; etag: string }>();
    for (let token: string | undefined = ""; token !== undefined;) {
      const query: Record<string, string> = {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": String(pageSize),
      };
      if (token !== "") query["continuation-token"] = token;
      const { body } = await this.expect("GET", bucket, "", { query });
      const keys = xmlValues(body, "Key");
      const sizes = xmlValues(body, "Size");
      const etags = xmlValues(body, "ETag");
      keys.forEach((key, at) => {
        const name = Buffer.from(
          key
            .replaceAll("+", " ")
            .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
              String.fromCharCode(Number.parseInt(digits, 16)),
            ),
          "latin1",
        ).toString("latin1");
        if (all.has(name)) throw new Error(`listed twice: ${name}`);
        all.set(name, { size: Number(sizes[at]), etag: etags[at]! });
      });
      token = xmlValues(body, "NextContinuationToken")[0];
    }
    return all;
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }
}

const versionOf = ({ headers }: RawAnswer): string | undefined => headers.get("x-amz-version-id");

/** Bytes of a key as `list` names them. */
export const listedName = (key: Key): string =>
  (typeof key === "string" ? Buffer.from(key) : Buffer.from(key)).toString("latin1");

/** Pseudo-random bytes that only `seed` decides; they do not repeat and do not compress. */
export function content(seed: string, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(size));
  let state = Buffer.from(sha256(seed), "hex").readUInt32LE() | 1;
  const words = new Uint32Array(bytes.buffer, 0, size >>> 2);
  for (let at = 0; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  for (let at = words.length * 4; at < size; at += 1) bytes[at] = (state >>> ((at & 3) * 8)) & 255;
  return bytes;
}

/** Hex SHA-256. */
export const digest = sha256;
