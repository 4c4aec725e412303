/** A node with two tenants behind a real front in this process, and a client that signs by hand. */
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { createHash, createHmac } from "node:crypto";
import { millis } from "@kiseki/base";
import { httpLimitsDefault } from "@kiseki/http";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { type MetricsRegistry, openLogger, openMetrics } from "@kiseki/telemetry";
import { parseSettings } from "../config/parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "../config/server-settings.ts";
import type { ProxyTrust } from "../front/forwarded.ts";
import { serveFront } from "../front/serve-front.ts";
import { openNode, type StorageNode } from "../node/open-node.ts";

export interface User {
  readonly id: string;
  readonly secret: string;
}
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly text: string;
}
export interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** What is signed for the payload; its SHA-256 unless given. */
  readonly payload?: string;
}

const sha256 = (source: Uint8Array | string): string =>
  createHash("sha256").update(source).digest("hex");
const hmac = (key: string | Uint8Array, text: string): Buffer =>
  createHmac("sha256", key).update(text).digest();

export interface Signature {
  readonly date: string;
  readonly scope: string;
  readonly key: Buffer;
  readonly signature: string;
}

export function stampNow(): string {
  return new Date().toISOString().replace(/[-:]|\.\d+/g, "");
}

/** Signs a canonical request. */
export function signText(user: User, date: string, canonical: string): Signature {
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  let key = hmac(`AWS4${user.secret}`, scope.split("/")[0]!);
  for (const word of scope.split("/").slice(1)) key = hmac(key, word);
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  return { date, scope, key, signature: hmac(key, text).toString("hex") };
}

/** The signature of one chunk, or of the trailer. */
export function signChunk(
  kind: "PAYLOAD" | "TRAILER",
  seed: Signature,
  source: Uint8Array | string,
): string {
  const { date, scope, key, signature } = seed;
  const empty = kind === "PAYLOAD" ? `${sha256("")}\n` : "";
  const text = `AWS4-HMAC-SHA256-${kind}\n${date}\n${scope}\n${signature}\n${empty}${sha256(source)}`;
  return hmac(key, text).toString("hex");
}

/** `a=b` pairs in order, each with its `=`; the target is sent as it is. */
const canonicalQuery = (query: string): string =>
  query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => (pair.includes("=") ? pair : `${pair}=`))
    .toSorted()
    .join("&");

export class Bed implements AsyncDisposable {
  readonly node: StorageNode;
  readonly port: number;
  readonly main: User;
  readonly other: User;
  readonly metrics: MetricsRegistry;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    owned: AsyncDisposableStack,
    parts: Pick<Bed, "node" | "port" | "main" | "other" | "metrics">,
  ) {
    this.#owned = owned;
    this.node = parts.node;
    this.port = parts.port;
    this.main = parts.main;
    this.other = parts.other;
    this.metrics = parts.metrics;
  }

  /** `deviceSize` as the setting takes it; `words` are further flags of the node, as are `proxies`. */
  static async open(
    deviceSize = "256MiB",
    words: readonly string[] = [],
    proxies?: ProxyTrust,
  ): Promise<Bed> {
    await using building = new AsyncDisposableStack();
    const path = await mkdtemp(`${tmpdir()}/kiseki-gateway-`);
    building.defer(() => rm(path, { recursive: true, force: true }));
    const metrics = openMetrics();
    const node = building.use(
      await openTestNode(path, ["--device-size", deviceSize, ...words], metrics),
    );
    const { catalog, tenantKeys } = node.storage;
    const { tenant, root } = catalog.createTenant("other");
    await tenantKeys.provision(tenant.id, { ttl: millis(60_000) }, new AbortController().signal);
    const other = catalog.createAccessKey(root.id);
    const { accessKey, secretKey } = node.credentials;
    const front = serveFront(systemClock, metrics, { ...frontOptions(node), proxies });
    building.defer(() => front.stop(AbortSignal.abort()));
    const main = { id: accessKey, secret: secretKey };
    return new Bed(building.move(), { node, port: front.port, main, other, metrics });
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Signs headers and sends; `target` is path and query as they go on the wire. */
  call(user: User, method: string, target: string, call: Call = {}): Promise<Reply> {
    const { headers } = this.sign(user, method, target, call);
    return this.send(method, target, headers, call.body);
  }

  sign(user: User, method: string, target: string, call: Call = {}) {
    const [path = "", query = ""] = target.split("?", 2);
    const date = stampNow();
    const payload = call.payload ?? sha256(call.body ?? "");
    const headers: Record<string, string> = {
      host: this.host,
      "x-amz-content-sha256": payload,
      "x-amz-date": date,
      ...call.headers,
    };
    const names = Object.keys(headers).toSorted();
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
    const canonical = `${method}\n${path}\n${canonicalQuery(query)}\n${lines}\n${names.join(";")}\n${payload}`;
    const seed = signText(user, date, canonical);
    const authorization = `AWS4-HMAC-SHA256 Credential=${user.id}/${seed.scope}, SignedHeaders=${names.join(";")}, Signature=${seed.signature}`;
    return { headers: { ...headers, authorization }, seed };
  }

  /** A target that carries its signature in the query. */
  presign(
    user: User,
    method: string,
    path: string,
    parameters: Readonly<Record<string, string>> = {},
    expires = 60,
  ): string {
    const date = stampNow();
    const day = date.slice(0, 8);
    const all: Record<string, string> = {
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": `${user.id}/${day}/us-east-1/s3/aws4_request`,
      "X-Amz-Date": date,
      "X-Amz-Expires": String(expires),
      "X-Amz-SignedHeaders": "host",
      ...parameters,
    };
    const query = Object.entries(all)
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .toSorted()
      .join("&");
    const canonical = `${method}\n${path}\n${query}\nhost:${this.host}\n\nhost\nUNSIGNED-PAYLOAD`;
    return `${path}?${query}&X-Amz-Signature=${signText(user, date, canonical).signature}`;
  }

  send(
    method: string,
    target: string,
    headers: Readonly<Record<string, string>>,
    body?: Uint8Array | string,
  ): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const hasBody = bytes !== undefined || method === "PUT" || method === "POST";
    const length = hasBody ? { "content-length": String(bytes?.byteLength ?? 0) } : {};
    const request = httpRequest(
      {
        host: "127.0.0.1",
        port: this.port,
        method,
        path: target,
        headers: { ...headers, ...length },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const all = Buffer.concat(parts);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: all,
            text: all.toString("utf8"),
          });
        });
      },
    );
    request.on("error", reject);
    request.end(bytes);
    return promise;
  }

  /** Sends half of the body, and the rest when `go` resolves; `begun` when the node has asked for it. */
  sendSlowly(
    method: string,
    target: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    go: Promise<void>,
  ): { readonly begun: Promise<void>; readonly status: Promise<number> } {
    const begun = Promise.withResolvers<void>();
    const status = Promise.withResolvers<number>();
    const length = { "content-length": String(body.byteLength), expect: "100-continue" };
    const all = { ...headers, ...length };
    const request = httpRequest(
      { host: "127.0.0.1", port: this.port, method, path: target, headers: all },
      (response) => {
        response.resume();
        response.on("end", () => status.resolve(response.statusCode ?? 0));
      },
    );
    request.on("error", status.reject);
    request.on("continue", () => {
      request.write(body.subarray(0, body.byteLength >> 1));
      begun.resolve();
      void go.then(() => request.end(body.subarray(body.byteLength >> 1)));
    });
    request.flushHeaders();
    return { begun: begun.promise, status: status.promise };
  }

  /** Sends bytes as they are; answers what came until the server closed. */
  raw(text: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect({ port: this.port, host: "127.0.0.1" });
    let answer = "";
    socket.on("data", (part: Buffer) => (answer += part.toString("latin1")));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
    socket.write(text, "latin1");
    return promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

function openTestNode(
  path: string,
  words: readonly string[],
  metrics: ReturnType<typeof openMetrics>,
): Promise<StorageNode> {
  const { settings } = parseSettings(serverSettings, {
    words: [
      ...["--data-dir", `${path}/data`, "--config-dir", `${path}/config`],
      ...["--arena-size", "64MiB", ...words],
    ],
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  });
  return openNode({
    clock: systemClock,
    prng: systemPrng,
    crypto: openCrypto(),
    metrics,
    log: openLogger("silent"),
    settings,
    nativeDirectory,
    onRecoveryCode: () => {},
    onFatal(reason) {
      throw reason;
    },
  });
}

export function frontOptions(node: StorageNode): Parameters<typeof serveFront>[2] {
  return {
    hostname: "127.0.0.1",
    port: 0,
    tls: undefined,
    reusePort: false,
    limits: {
      http: httpLimitsDefault,
      connectionCountMax: 256,
      headTimeout: millis(10_000),
      idleTimeout: millis(10_000),
      transferWindow: millis(20_000),
      transferRateMin: 1,
      receiveBufferSizeMax: 512 * 1024,
      drainSizeMax: 1024 * 1024,
      lingerTimeout: millis(200),
    },
    serverName: "Kiseki",
    requestId: () => systemPrng.fill(new Uint8Array(8)).toHex().toUpperCase(),
    handler: (request) => node.gateway.handle(request),
    renderFault: (fault) => node.gateway.renderFault(fault),
    onBug(reason) {
      throw reason;
    },
  };
}
