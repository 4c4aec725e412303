import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChunkId, newBytes, prngFromSeed, type SealId, toHex } from "@kiseki/base";
import {
  bulkEntrySize,
  type BulkRequest,
  bulkRequestSize,
  bulkSealedSize,
  type BulkStatus,
  bulkStatusesSize,
  capabilitySize,
  decodeBulkEntries,
  decodeBulkRequest,
  encodeBulkAnswer,
  putBulkStatuses,
  receiptSize,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";
import { type NativeBackend, type NodeAdminBackend, RpcError, serveNodeAdmin } from "@kiseki/rpc";

const sealedSegment = 65_564;
export const token = "open sesame";

interface Stored {
  readonly sealed: Buffer;
  readonly receipt: Uint8Array;
}
interface Range {
  readonly offset: number;
  readonly length: number;
  readonly receipt: string;
}

/**
 * The other end of the protocol over the same RPC and the same frames: it keeps what it is sent in memory and has one file of
 * the ranges that were written. What is not about the wire it does not do: `tests/` has the node itself.
 */
export class TestNode implements AsyncDisposable {
  rpcPort = 0;
  bulkPort = 0;
  readonly certificate: string;
  /** What the next answers of the bulk port say instead, in turn. */
  readonly bulkFaults: BulkStatus[] = [];
  /** What the next attempts to apply are refused with. */
  readonly applyFaults: string[] = [];
  readonly applied: string[] = [];
  readonly stored = new Map<string, Stored>();
  /** Every plaintext key that was ever leased. */
  readonly deks = new Map<string, Uint8Array>();
  file: Range[] = [];
  bulkEndpoint = "";
  /** Empty: the client stays with whom it asked. */
  rpcEndpoint = "";
  sessions: string[] = [];
  sessionsOpened = 0;
  readonly clientIds = new Set<string>();
  /** Entries of the frames for many chunks that it takes; of a node that knows of none 0. */
  bulkEntriesMax = 128;
  framesOfMany = 0;
  leaseMs = 30_000;
  renewals = 0;
  leases = 0;
  returned = 0;
  /** Told to whoever watches. */
  readonly changes: { inode: bigint; isDirectory: boolean; isOwn?: boolean }[] = [];
  readonly #crypto: Crypto;
  readonly #parts = new AsyncDisposableStack();
  readonly #prng = prngFromSeed(77);
  readonly #committed = new Map<string, string>();

  private constructor(crypto: Crypto, certificate: string) {
    this.#crypto = crypto;
    this.certificate = certificate;
  }

  static async open(crypto: Crypto, isBulkTls = false): Promise<TestNode> {
    const { certificate, certificateKey } = await makeCertificate();
    const node = new TestNode(crypto, certificate);
    const place = { host: "127.0.0.1", port: 0, certificate, certificateKey };
    const server = await serveNodeAdmin({} as NodeAdminBackend, {
      listeners: [{ kind: "tls", ...place, door: { kind: "token", token } }],
      onInternal: (method, reason) => console.error(method, reason),
      onCall: () => {},
      native: node.#backend(isBulkTls),
    });
    const listener = Bun.listen<Buffer[]>({
      hostname: "127.0.0.1",
      port: 0,
      ...(isBulkTls ? { tls: { cert: certificate, key: certificateKey } } : {}),
      socket: {
        open: (socket) => void (socket.data = []),
        data: (socket, bytes) => node.#bulk(socket, bytes),
        drain: (socket) => flush(socket),
      },
    });
    node.#parts.use(server);
    node.#parts.defer(() => listener.stop(true));
    node.rpcPort = server.port!;
    node.bulkPort = listener.port;
    node.bulkEndpoint = `127.0.0.1:${listener.port}`;
    return node;
  }

  /** As a restart of the node does to sessions. */
  forgetSessions(): void {
    this.sessions = [];
  }
  #has(session: Uint8Array): boolean {
    return this.sessions.includes(toHex(session));
  }

  #backend(isBulkTls: boolean): NativeBackend {
    const expired = { failure: { code: "session_expired" } };
    const files = {
      openSession: async ({ clientId }: { clientId: Uint8Array }) => {
        this.clientIds.add(toHex(clientId));
        const session = this.#prng.fill(newBytes(16));
        this.sessions = [toHex(session)];
        this.sessionsOpened += 1;
        return {
          session,
          leaseMs: this.leaseMs,
          tenantId: newBytes(16),
          protocol: 1,
          epoch: 1n,
          bulkEndpoint: this.bulkEndpoint,
          isBulkTls,
          smallSizeMax: 4096,
          chunkSizeMax: 4 * 1024 * 1024,
          bulkEntriesMax: this.bulkEntriesMax,
        };
      },
      renewSession: async ({ session }: { session: Uint8Array }) => {
        this.renewals += 1;
        return this.#has(session) ? { leaseMs: this.leaseMs } : expired;
      },
      closeSession: async ({ session }: { session: Uint8Array }) => {
        this.sessions = this.sessions.filter((one) => one !== toHex(session));
        return {};
      },
      getNamespace: async ({ session, name }: { session: Uint8Array; name: string }) => {
        if (!this.#has(session)) return expired;
        if (name !== "data") return { failure: { code: "no_such_namespace" } };
        return { namespace: newBytes(16).fill(5), root: 1n };
      },
      lookup: async ({ session, parent, name }: { session: Uint8Array } & Name) => {
        if (!this.#has(session)) return expired;
        if (Buffer.from(name).toString() !== "file") return { failure: { code: "no_such_key" } };
        return { attributes: { ...this.#attributes(), home: parent } };
      },
      apply: async (request: Apply) =>
        this.#has(request.session) ? this.#apply(request) : expired,
      planRead: async (request: Plan) =>
        this.#has(request.session) ? this.#plan(request) : expired,
      watchChanges: (request: { session: Uint8Array; position: bigint }, call: Call) =>
        this.#watch(request, call.signal),
    };
    const data = {
      leaseKeys: async ({ session, count }: { session: Uint8Array; count: number }) => {
        if (!this.#has(session)) return expired;
        this.leases += 1;
        return { leaseMs: 60_000, keys: Array.from({ length: count }, () => this.#key()) };
      },
      returnKeys: async ({ sealIds }: { sealIds: unknown[] }) => {
        this.returned += sealIds.length;
        return {};
      },
    };
    const discover = async () => ({
      shards: [{ endpoint: this.rpcEndpoint }],
      ttlMs: 1_000,
      clusterId: newBytes(16).fill(3),
      protocol: 1,
    });
    return { discovery: { discover }, files, data } as unknown as NativeBackend;
  }

  #attributes() {
    const size = this.file.reduce((end, { offset, length }) => Math.max(end, offset + length), 0);
    return { inode: 2n, home: 1n, type: "file", mode: 0o644, links: 1, size: BigInt(size) };
  }
  #key() {
    const chunkId = this.#prng.fill(newBytes(32));
    const sealId = this.#prng.fill(newBytes(16));
    const dek = this.#prng.fill(newBytes(32));
    this.deks.set(toHex(sealId), dek);
    return { chunkId, sealId, dek, capability: newBytes(capabilitySize).fill(9) };
  }

  #apply({ operations }: Apply) {
    const fault = this.applyFaults.shift();
    if (fault === "internal") throw new RpcError("unavailable", "Not now");
    if (fault !== undefined) return { failure: { code: fault } };
    const results = operations.map(({ operationId, kind }) => {
      const id = toHex(operationId);
      if (!this.#committed.has(id)) this.#do(id, kind);
      return { operationId, attributes: this.#attributes(), offset: 0n, length: 0n };
    });
    return { results };
  }
  #do(id: string, { case: name, value }: Apply["operations"][number]["kind"]): void {
    this.#committed.set(id, name);
    this.applied.push(name);
    if (name !== "write" && name !== "append") return;
    const { receipts, ranges } = value.content!;
    for (const { offset, length, receipt } of ranges) {
      const key = toHex(receipts[receipt]!);
      this.file.push({ offset: Number(offset), length: Number(length), receipt: key });
    }
  }

  #plan({ offset, length }: Plan) {
    const size = this.#attributes().size;
    const end = Number(offset + length);
    const found = this.file.filter((one) => one.offset < end);
    const chunks = found.map(({ receipt, length: whole }) => {
      const [chunkId, sealId] = [receipt.slice(0, 64), receipt.slice(64, 96)];
      return {
        chunkId: Buffer.from(chunkId, "hex"),
        sealId: Buffer.from(sealId, "hex"),
        dek: Uint8Array.from(this.deks.get(sealId)!),
        size: whole,
        capability: newBytes(capabilitySize).fill(8),
      };
    });
    const pieces = found.map((one, chunk) => {
      const start = Math.max(Number(offset), one.offset);
      const stop = Math.min(end, one.offset + one.length);
      const chunkOffset = start - one.offset;
      return { offset: BigInt(start), length: BigInt(stop - start), chunk, chunkOffset };
    });
    return { size, contentVersion: 1n, pieces, chunks, leaseMs: 60_000 };
  }

  async *#watch({ position }: { position: bigint }, signal: AbortSignal) {
    let at = Number(position);
    yield { position: BigInt(at), isReset: false };
    while (!signal.aborted) {
      if (this.changes.length > at) {
        yield { position: BigInt(this.changes.length), changes: this.changes.slice(at) };
        at = this.changes.length;
      }
      await Bun.sleep(5);
    }
  }

  #bulk(socket: Bun.Socket<Buffer[]>, bytes: Buffer): void {
    const known = received.get(socket) ?? Buffer.alloc(0);
    let rest = Buffer.concat([known, bytes]);
    while (rest.byteLength >= bulkRequestSize) {
      const request = decodeBulkRequest(rest, (source) => this.#crypto.crc32c(0, source));
      if (request === undefined) return void socket.terminate();
      const payloadSize = sentSize(request);
      if (rest.byteLength < bulkRequestSize + payloadSize) break;
      const payload = rest.subarray(bulkRequestSize, bulkRequestSize + payloadSize);
      rest = rest.subarray(bulkRequestSize + payloadSize);
      this.#answer(socket, request, payload);
    }
    received.set(socket, Buffer.from(rest));
  }
  #answer(socket: Bun.Socket<Buffer[]>, request: BulkRequest, sent: Buffer): void {
    const fault = this.bulkFaults.shift();
    const [status, payload] = fault ? [fault, newBytes(0)] : this.#keep(request, sent);
    const crc = (source: Uint8Array) => this.#crypto.crc32c(0, source);
    const { requestId, kind } = request;
    const payloadSize = payload.byteLength;
    const answer = { requestId, kind, status, payloadSize, payloadCrc: crc(payload) };
    socket.data.push(Buffer.from(encodeBulkAnswer({ ...answer, retryAfterMs: 0 }, crc)));
    if (payloadSize > 0) socket.data.push(Buffer.from(payload));
    flush(socket);
  }
  #keep(request: BulkRequest, sent: Buffer): [BulkStatus, Uint8Array] {
    if (request.kind === "read_many") return ["ok", this.#readMany(sent)];
    const key = keyOf(request.chunkId, request.sealId);
    const known = this.stored.get(key);
    if (request.kind === "read") {
      if (known === undefined) return ["not_found", newBytes(0)];
      const from = request.segmentFirst * sealedSegment;
      return ["ok", known.sealed.subarray(from, from + bulkSealedSize(request))];
    }
    if (this.#crypto.crc32c(0, sent) !== request.payloadCrc) return ["checksum", newBytes(0)];
    if (known) return known.sealed.equals(sent) ? ["ok", known.receipt] : ["conflict", newBytes(0)];
    const receipt = newBytes(receiptSize);
    receipt.set(request.chunkId, 0);
    receipt.set(request.sealId, 32);
    this.stored.set(key, { sealed: Buffer.from(sent), receipt });
    return ["ok", receipt];
  }

  #readMany(sent: Buffer): Uint8Array {
    this.framesOfMany += 1;
    const entries = decodeBulkEntries(sent);
    if (entries === undefined) throw new Error("Entries that are none");
    const found = entries.map(
      ({ chunkId, sealId }) => this.stored.get(keyOf(chunkId, sealId))?.sealed,
    );
    const statuses = newBytes(bulkStatusesSize(entries.length));
    const each = found.map((sealed) => (sealed === undefined ? "not_found" : "ok"));
    putBulkStatuses(each, statuses);
    return Buffer.concat([statuses, ...found.filter((sealed) => sealed !== undefined)]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.disposeAsync();
  }
}

interface Name {
  readonly parent: bigint;
  readonly name: Uint8Array;
}
interface Call {
  readonly signal: AbortSignal;
}
interface Plan {
  readonly session: Uint8Array;
  readonly offset: bigint;
  readonly length: bigint;
}
interface Apply {
  readonly session: Uint8Array;
  readonly operations: readonly {
    readonly operationId: Uint8Array;
    readonly kind: {
      readonly case: string;
      readonly value: {
        readonly content?: {
          readonly receipts: readonly Uint8Array[];
          readonly ranges: readonly { offset: bigint; length: bigint; receipt: number }[];
        };
      };
    };
  }[];
}

function sentSize(request: BulkRequest): number {
  if (request.kind === "read_many") return request.count * bulkEntrySize;
  return request.kind === "write" ? bulkSealedSize(request) : 0;
}
const received = new WeakMap<object, Buffer>();
const keyOf = (chunk: ChunkId, seal: SealId): string => toHex(chunk) + toHex(seal);
function flush(socket: Bun.Socket<Buffer[]>): void {
  for (;;) {
    const [part] = socket.data;
    if (part === undefined) return;
    const size = socket.write(part);
    if (size < 0) return;
    if (size < part.byteLength) {
      socket.data[0] = part.subarray(size);
      return;
    }
    void socket.data.shift();
  }
}

/** Of `localhost` and 127.0.0.1, for this run alone. */
async function makeCertificate(): Promise<{ certificate: string; certificateKey: string }> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-client-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "cert.pem")] as const;
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const out = ["-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=test"];
  const child = Bun.spawn(["openssl", ...request, ...out, ...names], {
    stdout: "ignore",
    stderr: "ignore",
  });
  if ((await child.exited) !== 0) throw new Error("Cannot make a certificate: openssl failed");
  return {
    certificate: await Bun.file(certificate).text(),
    certificateKey: await Bun.file(key).text(),
  };
}
