/** A node that serves native clients over loopback TLS, and a client of few words that seals by hand. */
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunkId, millis, newBytes, sealId, type TenantId } from "@kiseki/base";
import {
  bulkAnswerSize,
  type BulkAnswer,
  type BulkRequest,
  decodeBulkAnswer,
  encodeBulkRequest,
  segmentAad,
  segmentNonce,
} from "@kiseki/format";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { type NativeClient, openNativeClient, type RpcServer, serveNodeAdmin } from "@kiseki/rpc";
import type { NodeAdminBackend } from "@kiseki/rpc";
import { type MetricsRegistry, openLogger, openMetrics } from "@kiseki/telemetry";
import { parseSettings } from "../config/parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "../config/server-settings.ts";
import { openNode, type StorageNode } from "../node/open-node.ts";
import { newOperationId } from "../gateway/scope.ts";
import { type NativeService, openNative } from "./open-native.ts";
import type { BulkServer } from "./serve-bulk.ts";

export const crypto = openCrypto();
const segmentSize = 64 * 1024;
const never = new AbortController().signal;
const noAdmin = new Proxy({}, { get: () => () => Promise.reject(new Error("no administration")) });
const token = "open sesame";

export async function openssl(folder: string, ...words: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...words], { cwd: folder, stderr: "ignore" });
  if ((await child.exited) !== 0) throw new Error(`openssl ${words[0]} failed`);
}
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
/** A certificate that the bed's authority signs: `NAME.pem` and `NAME.key` in the folder. */
async function certify(folder: string, name: string, subject: string, alternative: string) {
  const request = ["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject];
  await openssl(folder, "req", ...newKey, ...request);
  await Bun.write(join(folder, `${name}.ext`), `subjectAltName=${alternative}\n`);
  const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
  const out = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", `${name}.ext`];
  await openssl(folder, "x509", "-req", ...signer, ...out);
}

/** What `NativeBed` serves with. */
export async function makeCertificates(
  folder: string,
  options: NativeBedOptions = {},
): Promise<void> {
  const authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"];
  await openssl(folder, "req", "-x509", ...newKey, ...authority);
  await certify(folder, "server", "/CN=server", "IP:127.0.0.1");
  if (options.withCertificates !== true) return;
  await certify(folder, "default", "/OU=tenant-default/CN=x", "DNS:x");
  await certify(folder, "other", "/CN=x", "URI:spiffe://cluster/tenant/other/workload/w");
  await certify(folder, "admin", "/OU=kiseki-admin/CN=x", "DNS:x");
}

export interface NativeBedOptions {
  /** Clients show certificates: `default` and `other` are there. */
  readonly withCertificates?: boolean;
  readonly words?: readonly string[];
  /** How long clients of before a start have to come back. */
  readonly graceMs?: number;
}

export class NativeBed implements AsyncDisposable {
  readonly folder: string;
  readonly metrics: MetricsRegistry = openMetrics();
  node!: StorageNode;
  service!: NativeService;
  rpc!: RpcServer;
  bulk!: BulkServer;
  other!: TenantId;
  readonly #options: NativeBedOptions;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string, options: NativeBedOptions) {
    this.folder = folder;
    this.#options = options;
  }
  static async open(options: NativeBedOptions = {}): Promise<NativeBed> {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-native-"));
    await makeCertificates(folder, options);
    const bed = new NativeBed(folder, options);
    await bed.start();
    return bed;
  }
  /** In a folder that has certificates, for a process of its own. */
  static async openAt(folder: string): Promise<NativeBed> {
    const bed = new NativeBed(folder, {});
    await bed.start();
    await ensureNamespace(bed.node, bed.node.defaultTenant);
    return bed;
  }
  read(name: string): Promise<string> {
    return Bun.file(join(this.folder, name)).text();
  }

  async start(): Promise<void> {
    const { folder } = this;
    await using building = new AsyncDisposableStack();
    this.node = building.use(await openTestNode(folder, this.metrics, this.#options.words ?? []));
    this.other = await ensureTenant(this.node, "other");
    const isAsking = this.#options.withCertificates === true;
    this.service = building.use(
      openNative({
        node: this.node,
        log: openLogger("silent"),
        graceMs: this.#options.graceMs,
        endpoints: () => ({ bulk: `127.0.0.1:${this.bulk.port}`, isBulkTls: isAsking }),
        discovery: () => ({
          endpoint: this.endpoint,
          s3Endpoint: "http://127.0.0.1:9000",
          advisoryEndpoint: "",
          needsCertificate: isAsking,
        }),
      }),
    );
    const [certificate, certificateKey, authority] = await Promise.all(
      ["server.pem", "server.key", "ca.pem"].map((name) => this.read(name)),
    );
    const pair = { certificate: certificate!, certificateKey: certificateKey! };
    const door = isAsking
      ? ({ kind: "certificate", authority: authority! } as const)
      : ({ kind: "token", token } as const);
    this.rpc = building.use(
      await serveNodeAdmin(noAdmin as NodeAdminBackend, {
        listeners: [{ kind: "tls", host: "127.0.0.1", port: 0, ...pair, door }],
        onInternal: (_method, reason) => {
          throw reason;
        },
        onCall: () => undefined,
        native: this.service.backend,
        onWorkflow: this.node.workflows.noteCall.bind(this.node.workflows),
      }),
    );
    const tls = { certificate: pair.certificate, key: pair.certificateKey, authority };
    this.bulk = building.use(
      this.service.serveBulk({
        hostname: "127.0.0.1",
        port: 0,
        tls: isAsking ? tls : undefined,
        connectionsMax: 64,
      }),
    );
    this.#owned = building.move();
  }
  /** The process ends as by a stop, and begins again on what it left. */
  async restart(): Promise<void> {
    await this.#owned.disposeAsync();
    await this.start();
  }
  get endpoint(): string {
    return `https://127.0.0.1:${this.rpc.port}`;
  }
  /** Calls with the token, or with a certificate. */
  async connect(certificate?: string): Promise<NativeClient> {
    if (certificate === undefined) return connectTo(this.folder, this.rpc.port!);
    const target = { endpoint: this.endpoint, authority: await this.read("ca.pem") };
    const [cert, key] = await Promise.all([
      this.read(`${certificate}.pem`),
      this.read(`${certificate}.key`),
    ]);
    return openNativeClient({ ...target, certificate: cert, certificateKey: key });
  }
  /** A session in a namespace of the tenant, which is made if it is not there. */
  async mount(
    tenant = "",
    clientId: Uint8Array<ArrayBuffer> = systemPrng.fill(newBytes(16)),
  ): Promise<Mount> {
    await ensureNamespace(this.node, tenant === "other" ? this.other : this.node.defaultTenant);
    return mountOver(await this.connect(), tenant, clientId);
  }
  /** The same with a certificate, `default` or `other`. */
  async mountAs(certificate: string): Promise<Mount> {
    const isOther = certificate === "other";
    await ensureNamespace(this.node, isOther ? this.other : this.node.defaultTenant);
    return mountOver(await this.connect(certificate));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A client with the token of the node that serves on a port, from a folder with its authority. */
export async function connectTo(folder: string, port: number): Promise<NativeClient> {
  const authority = await Bun.file(join(folder, "ca.pem")).text();
  return openNativeClient({ endpoint: `https://127.0.0.1:${port}`, authority, token });
}
/** A session in the namespace `files`. */
export async function mountOver(
  client: NativeClient,
  tenant = "",
  clientId: Uint8Array<ArrayBuffer> = systemPrng.fill(newBytes(16)),
): Promise<Mount> {
  const opened = await client.files.openSession({ clientId, tenant, protocol: 1 });
  const { session } = opened;
  const found = await client.files.getNamespace({ session, name: "files" });
  return {
    client,
    session,
    namespace: found.namespace,
    root: found.root,
    clientId,
    at: { session, namespace: found.namespace },
  };
}

export interface Mount {
  readonly client: NativeClient;
  readonly clientId: Uint8Array;
  readonly session: Uint8Array;
  readonly namespace: Uint8Array;
  readonly root: bigint;
  readonly at: { readonly session: Uint8Array; readonly namespace: Uint8Array };
}

async function ensureTenant(node: StorageNode, name: string): Promise<TenantId> {
  const { catalog, tenantKeys } = node.storage;
  const known = catalog.tenants().find((tenant) => tenant.name === name);
  if (known) return known.id;
  const { tenant } = catalog.createTenant(name);
  await tenantKeys.provision(tenant.id, { ttl: millis(60_000) }, never);
  return tenant.id;
}
async function ensureNamespace(node: StorageNode, id: TenantId): Promise<void> {
  const tenant = await node.tenants.open(id, "write", never);
  const fresh = newOperationId(systemPrng);
  await tenant.owner.submit(
    { kind: "create_namespace", id: newOperationId(systemPrng) as never, name: "files" },
    fresh,
  );
}

function openTestNode(
  path: string,
  metrics: MetricsRegistry,
  words: readonly string[],
): Promise<StorageNode> {
  const { settings } = parseSettings(serverSettings, {
    words: [
      ...["--data-dir", `${path}/data`, "--config-dir", `${path}/config`],
      ...["--arena-size", "64MiB", "--device-size", "128MiB", "--gc-interval-s", "1", ...words],
    ],
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  });
  return openNode({
    clock: systemClock,
    prng: systemPrng,
    crypto,
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

interface WriteKey {
  readonly chunkId: Uint8Array;
  readonly sealId: Uint8Array;
  readonly dek: Uint8Array;
  readonly capability: Uint8Array;
}
/** What a client does with a leased key: segments as in KEYS §2. */
export function sealChunk(key: WriteKey, plain: Uint8Array): Uint8Array {
  const [chunk, seal] = [chunkId(key.chunkId.slice()), sealId(key.sealId.slice())];
  const count = Math.ceil(plain.byteLength / segmentSize);
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const aad = segmentAad(chunk, seal, i, count, plain.byteLength);
    const part = plain.subarray(i * segmentSize, (i + 1) * segmentSize);
    parts.push(segmentNonce(i), crypto.seal(key.dek, segmentNonce(i), aad, part));
  }
  return new Uint8Array(Buffer.concat(parts));
}
/** Opens segments `[first, …)` of a chunk of `size` bytes. */
export function openChunk(
  key: Omit<WriteKey, "capability"> & { readonly size: number },
  sealed: Uint8Array,
  first = 0,
): Buffer {
  const [chunk, seal] = [chunkId(key.chunkId.slice()), sealId(key.sealId.slice())];
  const count = Math.ceil(key.size / segmentSize);
  const parts: Uint8Array[] = [];
  const step = segmentSize + 28;
  for (let at = 0; at < sealed.byteLength; at += step) {
    const i = first + at / step;
    const part = sealed.subarray(at, at + step);
    const aad = segmentAad(chunk, seal, i, count, key.size);
    const plain = crypto.open(key.dek, part.slice(0, 12), aad, part.slice(12));
    if (plain === undefined) throw new Error(`segment ${i} does not open`);
    parts.push(plain);
  }
  return Buffer.concat(parts);
}

export interface BulkReply extends BulkAnswer {
  readonly payload: Buffer;
}
type Draft = Omit<BulkRequest, "requestId"> extends infer T ? T : never;

/** A connection for frames; many may be under way. */
export class BulkLink implements Disposable {
  readonly socket: Socket;
  #next = 1;
  #unread = Buffer.alloc(0);
  readonly #waiting = new Map<number, (reply: BulkReply) => void>();
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined);
    socket.on("data", (part: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, part]);
      this.#take();
    });
  }
  static async open(port: number): Promise<BulkLink> {
    const socket = connect(port, "127.0.0.1");
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new BulkLink(socket);
  }
  static over(socket: Socket): BulkLink {
    return new BulkLink(socket);
  }
  ask(draft: Draft, payload?: Uint8Array): Promise<BulkReply> {
    const requestId = this.#next++;
    const request = { ...draft, requestId } as BulkRequest;
    const { promise, resolve } = Promise.withResolvers<BulkReply>();
    this.#waiting.set(requestId, resolve);
    this.socket.write(encodeBulkRequest(request, (bytes) => crypto.crc32c(0, bytes)));
    if (payload) this.socket.write(payload);
    return promise;
  }
  /** Sends a chunk that was sealed under `key`. */
  write(key: WriteKey, size: number, sealed: Uint8Array): Promise<BulkReply> {
    return this.ask(
      {
        kind: "write",
        ...idsOf(key),
        size,
        isSmall: size <= 4096,
        payloadCrc: crypto.crc32c(0, sealed) >>> 0,
      } as Draft,
      sealed,
    );
  }
  read(
    key: Omit<WriteKey, "dek"> & { readonly size: number },
    range: { readonly segmentFirst?: number; readonly segmentEnd?: number } = {},
  ): Promise<BulkReply> {
    const { segmentFirst = 0, segmentEnd = Math.ceil(key.size / segmentSize) } = range;
    const where = { size: key.size, segmentFirst, segmentEnd, isVerifying: false };
    return this.ask({ kind: "read", ...idsOf(key), ...where } as Draft);
  }
  #take(): void {
    while (this.#unread.byteLength >= bulkAnswerSize) {
      const answer = decodeBulkAnswer(this.#unread, (bytes) => crypto.crc32c(0, bytes));
      if (answer === undefined) throw new Error("an answer that is none");
      const end = bulkAnswerSize + answer.payloadSize;
      if (this.#unread.byteLength < end) return;
      const payload = Buffer.from(this.#unread.subarray(bulkAnswerSize, end));
      this.#unread = this.#unread.subarray(end);
      this.#waiting.get(answer.requestId)?.({ ...answer, payload });
      this.#waiting.delete(answer.requestId);
    }
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
const idsOf = (key: Omit<WriteKey, "dek">) => ({
  chunkId: chunkId(key.chunkId.slice()),
  sealId: sealId(key.sealId.slice()),
  capability: key.capability,
});
