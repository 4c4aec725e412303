/** `bun run bench memory`: resident memory of an idle node, under load, and while 5 GiB go in and out. */
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { type Case, readMemory, resetPeak, runCase } from "./loader.ts";
import { currentCommit, describeMachine } from "./s3.ts";
import { root, type Server, startServer } from "./servers.ts";

export interface MemoryResult {
  readonly kind: "memory";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  /** Of the machine over the last five minutes, at the end. */
  readonly load_average: number;
  readonly rows: readonly {
    readonly what: string;
    readonly megabytes: number;
    readonly limit: number;
  }[];
}

const MiB = 2 ** 20;
const idleMs = 5000;
const largeMiB = 5 * 1024;
const loads: readonly Case[] = [4, 8, 64, 64 * 1024].flatMap((kib) => {
  const isSmall = kib < 1024;
  const connections = isSmall ? 16 : 4;
  const size = `${isSmall ? kib : kib / 1024} ${isSmall ? "K" : "M"}iB`;
  return (["put", "get"] as const).map((operation) => ({
    ...{ name: `${operation} ${size}, c=${connections}`, operation, size: kib * 1024, connections },
    ...{ objects: operation === "put" ? (isSmall ? 100_000 : 16) : isSmall ? 1000 : 4 },
    ...{ prefix: `${kib}/`, seed: 1 },
  }));
});
/** What lived through one load may be in the way of the next. */
const series = 2;

/** Uploads one object of `sizeMiB`; answers the SHA-256 of its bytes. */
async function upload(server: Server, sizeMiB: number): Promise<string> {
  using client = server.client();
  const id = await client.createUpload("bench", "whole");
  const hash = createHash("sha256");
  const part = new Uint8Array(64 * MiB);
  const etags: string[] = [];
  for (let number = 1; number <= sizeMiB / 64; number++) {
    for (let at = 0; at < part.byteLength; at += 4096) part[at] = (number * 31 + at / 4096) & 255;
    new DataView(part.buffer).setUint32(0, number);
    hash.update(part);
    etags.push(await client.uploadPart("bench", "whole", id, number, part));
  }
  await client.completeUpload("bench", "whole", id, etags);
  return hash.digest("hex");
}

/** Reads the object that `upload` made in one GET, hashing what comes and keeping none of it. */
async function download(server: Server, sizeMiB: number, expected: string): Promise<void> {
  using client = server.client();
  const { method, target, headers } = client.sign("GET", "bench", "whole");
  const lines = Object.entries({ ...headers, connection: "close" }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  socket.write(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
  const hash = createHash("sha256");
  let head = "";
  let size = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    let body = piece;
    if (!head.includes("\r\n\r\n")) {
      head += piece.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      body = end < 0 ? Buffer.alloc(0) : Buffer.from(head.slice(end + 4), "latin1");
    }
    hash.update(body);
    size += body.byteLength;
  }
  if (size !== sizeMiB * MiB || hash.digest("hex") !== expected) {
    throw new Error(`Cannot bench: ${size} bytes came back, other than those that were put`);
  }
}

/** Highest resident memory while `work` ran. */
async function peakOf<T>(
  server: Server,
  work: () => Promise<T>,
): Promise<{ readonly peak: number; readonly result: T }> {
  await resetPeak(server.pid);
  const result = await work();
  return { peak: (await readMemory(server.pid)).peak, result };
}

/** After the quiet time in which an idle server gives back what it no longer needs. */
async function readIdle(server: Server): Promise<number> {
  await Bun.sleep(idleMs);
  return (await readMemory(server.pid)).now;
}

export async function benchMemory(keeps: boolean): Promise<MemoryResult> {
  const folder = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const server = cleaning.use(await startServer("kiseki", "six", folder));
  await server.createBucket("bench");
  const rows: MemoryResult["rows"][number][] = [];
  const note = (what: string, megabytes: number, limit: number): void => {
    rows.push({ what, megabytes, limit });
    console.log(`${what.padEnd(32)} ${megabytes.toFixed(0)} MB, limit ${limit}`);
  };
  note("idle after start", await readIdle(server), 150);
  const peaks = new Map<string, number>();
  for (let at = 0; at < series; at++) {
    for (const load of loads) {
      const { peak } = await peakOf(server, () => runCase(server, load, 8));
      peaks.set(load.name, Math.max(peak, peaks.get(load.name) ?? 0));
    }
  }
  for (const [name, peak] of peaks) note(name, peak, 500);
  const sizeMiB = Number(process.env["KISEKI_BENCH_UPLOAD_MIB"] ?? largeMiB);
  const beforeUpload = await readIdle(server);
  note("idle after load", beforeUpload, 500);
  const sent = await peakOf(server, () => upload(server, sizeMiB));
  note(`upload of ${sizeMiB} MiB adds`, Math.max(0, sent.peak - beforeUpload), 64);
  const beforeDownload = await readIdle(server);
  const fetched = await peakOf(server, () => download(server, sizeMiB, sent.result));
  note(`download of ${sizeMiB} MiB adds`, Math.max(0, fetched.peak - beforeDownload), 64);
  const result: MemoryResult = {
    kind: "memory",
    date: new Date().toISOString(),
    commit: await currentCommit(),
    machine: describeMachine(),
    load_average: loadavg()[1]!,
    rows,
  };
  const path = join(root, "bench/results/memory.json");
  if (keeps) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  return result;
}
