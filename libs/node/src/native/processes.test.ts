/** The node is another process here, which may be killed anywhere; what goes to and fro is listened in on. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes, toUtf8 } from "@kiseki/base";
import { systemPrng } from "@kiseki/host";
import {
  BulkLink,
  connectTo,
  makeCertificates,
  type Mount,
  mountOver,
  openChunk,
  sealChunk,
} from "./bed.test-helper.ts";

const limitMs = 20_000;
const random = (size: number): Uint8Array<ArrayBuffer> => systemPrng.fill(newBytes(size));

/** A node in a folder, started and killed as often as a test likes. */
class NodeChild implements AsyncDisposable {
  readonly folder: string;
  rpcPort = 0;
  bulkPort = 0;
  #collected = Promise.withResolvers<number>();
  #isArmed = Promise.withResolvers<void>();
  #child: Bun.Subprocess<"pipe", "pipe", "inherit"> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }
  static async start(): Promise<NodeChild> {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-native-child-"));
    await makeCertificates(folder);
    const node = new NodeChild(folder);
    await node.start();
    return node;
  }
  async start(failpoint = ""): Promise<void> {
    const program = `${import.meta.dir}/node-child.test-helper.ts`;
    const child = Bun.spawn([process.execPath, program, this.folder], {
      env: { ...process.env, KISEKI_FAILPOINT: failpoint },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#child = child;
    const ready = Promise.withResolvers<void>();
    void this.#follow(child.stdout, ready.resolve);
    await Promise.race([
      ready.promise,
      child.exited.then(() => Promise.reject(new Error("The node did not start"))),
    ]);
  }
  async #follow(output: ReadableStream<Uint8Array>, onReady: () => void): Promise<void> {
    let rest = "";
    for await (const bytes of output) {
      const lines = (rest + new TextDecoder().decode(bytes)).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === "armed") this.#isArmed.resolve();
        if (!line.startsWith("{")) continue;
        const said = JSON.parse(line) as { rpc?: number; bulk?: number; chunks?: number };
        if (said.chunks !== undefined) this.#collected.resolve(said.chunks);
        if (said.rpc === undefined) continue;
        this.rpcPort = said.rpc;
        this.bulkPort = said.bulk!;
        onReady();
      }
    }
  }
  /** From here on the failpoint of this start counts. */
  async arm(): Promise<void> {
    this.#isArmed = Promise.withResolvers();
    this.#say("arm");
    await this.#isArmed.promise;
  }
  /** Chunks that are left when what nothing names is gone. */
  collect(): Promise<number> {
    this.#collected = Promise.withResolvers();
    this.#say("collect");
    return this.#collected.promise;
  }
  #say(word: string): void {
    void this.#child!.stdin.write(word);
    void this.#child!.stdin.flush();
  }
  async kill(): Promise<void> {
    this.#child!.kill("SIGKILL");
    await this.ended();
  }
  async ended(): Promise<void> {
    await this.#child!.exited;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const operation = (kind: string, value: object, operationId = random(16)) =>
  ({ operationId, kind: { case: kind, value } }) as never;
async function apply(at: Mount, ...operations: never[]) {
  return (await at.client.files.apply({ ...at.at, operations })).results;
}
async function create(at: Mount, name: string) {
  const value = { parent: at.root, name: toUtf8(name), type: "file", mode: 0o600 };
  const [made] = await apply(at, operation("create", value));
  return { home: made!.attributes!.home, inode: made!.attributes!.inode };
}
async function store(at: Mount, link: BulkLink, plain: Uint8Array) {
  const { keys } = await at.client.data.leaseKeys({ session: at.session, count: 1 });
  const sealed = sealChunk(keys[0]!, plain);
  const reply = await link.write(keys[0]!, plain.byteLength, sealed);
  expect(reply.status).toBe("ok");
  return { key: keys[0]!, sealed, receipt: new Uint8Array(reply.payload) };
}
const written = (receipt: Uint8Array, size: number) => ({
  receipts: [receipt],
  ranges: [{ offset: 0n, length: BigInt(size), receipt: 0, chunkOffset: 0 }],
});
async function readAll(at: Mount, link: BulkLink, file: object): Promise<Buffer> {
  const plan = await at.client.files.planRead({ ...at.at, file, length: 1n << 30n });
  expect(plan.failure).toBeUndefined();
  const whole = Buffer.alloc(Number(plan.size));
  for (const { chunk, chunkOffset, offset, length } of plan.pieces) {
    if (chunk === undefined) continue;
    const plain = openChunk(plan.chunks[chunk]!, (await link.read(plan.chunks[chunk]!)).payload);
    plain.copy(whole, Number(offset), chunkOffset, chunkOffset + Number(length));
  }
  return whole;
}

/** Passes bytes on and keeps them. */
async function listenIn(port: number): Promise<Disposable & { port: number; seen: Buffer[] }> {
  const seen: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (bytes: Buffer) => {
        seen.push(bytes);
        to.write(bytes);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as { readonly port: number };
  return {
    port: address.port,
    seen,
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

test(
  "no plaintext of a native client's content is on the wire",
  async () => {
    await using node = await NodeChild.start();
    using rpc = await listenIn(node.rpcPort);
    using bulk = await listenIn(node.bulkPort);
    const at = await mountOver(await connectTo(node.folder, rpc.port));
    using link = await BulkLink.open(bulk.port);
    const canary = Buffer.from(`CANARY${random(12).toHex()}`);
    const control = Buffer.from(`CONTROL${random(12).toHex()}`);
    const file = await create(at, control.toString()); // a name, which the node has to know
    for (const size of [100, 4096, 300_000, 2_000_000]) {
      const plain = new Uint8Array(Buffer.alloc(size, canary));
      const { receipt } = await store(at, link, plain);
      const content = written(receipt, size);
      const [result] = await apply(at, operation("write", { file, content }));
      expect(result!.failure).toBeUndefined();
      expect((await readAll(at, link, file)).equals(plain)).toBe(true);
    }
    for (const { seen } of [rpc, bulk]) {
      const wire = Buffer.concat(seen);
      expect(wire.byteLength).toBeGreaterThan(5000);
      expect(wire.includes(canary)).toBe(false);
      expect(wire.includes(control)).toBe(false);
    }
  },
  limitMs,
);

test(
  "a kill between bytes and commit leaves nothing: receipt and key are void, the bytes are collected",
  async () => {
    await using node = await NodeChild.start();
    let at = await mountOver(await connectTo(node.folder, node.rpcPort));
    let link = await BulkLink.open(node.bulkPort);
    const file = await create(at, "file");
    const plain = random(100_000);
    const first = await store(at, link, plain);
    const once = operation("write", { file, content: written(first.receipt, plain.byteLength) });
    await node.kill();
    link[Symbol.dispose]();
    await node.start();
    at = await mountOver(
      await connectTo(node.folder, node.rpcPort),
      "",
      new Uint8Array(at.clientId),
    );
    link = await BulkLink.open(node.bulkPort);
    const [late] = await apply(at, once);
    expect(late!.failure?.code).toBe("receipt_stale");
    expect((await link.write(first.key, plain.byteLength, first.sealed)).status).toBe("stale");
    expect(await node.collect()).toBe(0);
    expect((await readAll(at, link, file)).byteLength).toBe(0);
    const again = await store(at, link, plain);
    const content = written(again.receipt, plain.byteLength);
    const [result] = await apply(at, operation("write", { file, content }));
    expect(result!.failure).toBeUndefined();
    expect(await node.collect()).toBe(1);
    expect((await readAll(at, link, file)).equals(plain)).toBe(true);
    link[Symbol.dispose]();
  },
  limitMs,
);

for (const [point, isThere] of [
  ["chunk-synced", false],
  ["batch-decided", false],
  ["batch-committed", true],
] as const) {
  test(
    `killed at ${point}: a write is there whole or not at all, and is done once when it comes again`,
    async () => {
      await using node = await NodeChild.start();
      let at = await mountOver(await connectTo(node.folder, node.rpcPort));
      const file = await create(at, "file");
      await node.kill();
      await node.start(point);
      at = await mountOver(
        await connectTo(node.folder, node.rpcPort),
        "",
        new Uint8Array(at.clientId),
      );
      let link = await BulkLink.open(node.bulkPort);
      const plain = random(100_000);
      const operationId = random(16);
      const append = async (receipt: Uint8Array) =>
        apply(
          at,
          operation("append", { file, content: written(receipt, plain.byteLength) }, operationId),
        );
      if (point === "chunk-synced") {
        await node.arm();
        const { keys } = await at.client.data.leaseKeys({ session: at.session, count: 1 });
        void link.write(keys[0]!, plain.byteLength, sealChunk(keys[0]!, plain));
      } else {
        const { receipt } = await store(at, link, plain);
        await node.arm();
        void append(receipt).catch(() => undefined);
      }
      await node.ended();
      link[Symbol.dispose]();
      await node.start();
      at = await mountOver(
        await connectTo(node.folder, node.rpcPort),
        "",
        new Uint8Array(at.clientId),
      );
      link = await BulkLink.open(node.bulkPort);
      const left = await readAll(at, link, file);
      expect(left.equals(isThere ? plain : Buffer.alloc(0))).toBe(true);
      const [result] = await append((await store(at, link, plain)).receipt);
      expect(result!.failure).toBeUndefined();
      expect((await readAll(at, link, file)).equals(plain)).toBe(true);
      link[Symbol.dispose]();
    },
    limitMs,
  );
}
