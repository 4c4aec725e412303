/**
 * Question: what does a request cost over the front, next to Bun.serve, with an empty handler?
 * Answer wanted: at least Bun.serve's rate per server CPU second, small and large.
 * `bun libs/node/src/front/front.bench.ts` runs server and loader as two processes.
 */
import { KiB, MiB, millis, newBytes, wallTime } from "@kiseki/base";
import { httpLimitsDefault } from "@kiseki/http";
import { serveFront } from "./serve-front.ts";

const small = newBytes(4 * KiB).fill(97);
const piece = newBytes(1 * MiB).fill(98);
const largeCount = 64;

function startFront(): number {
  const arena = newBytes(1 * MiB);
  const front = serveFront(
    {
      monotonic: () => millis(performance.now()),
      realtime: () => wallTime(Date.now()),
      sleep: (duration) => new Promise((resolve) => setTimeout(resolve, duration)),
    },
    { add() {}, set() {}, observe() {} },
    {
      hostname: "127.0.0.1",
      port: 0,
      tls: undefined,
      reusePort: false,
      serverName: undefined,
      requestId: () => "0",
      limits: {
        http: httpLimitsDefault,
        connectionCountMax: 100,
        headTimeout: millis(10_000),
        idleTimeout: millis(75_000),
        transferWindow: millis(10_000),
        transferRateMin: 1000,
        receiveBufferSizeMax: 64 * KiB,
        drainSizeMax: 1 * MiB,
        lingerTimeout: millis(2000),
      },
      onBug: (reason) => console.error(reason),
      renderFault: ({ status }) => ({ status, headers: [] }),
      async handler({ head, body }) {
        if (head.method === "PUT") {
          while ((await body.readInto(arena)) > 0);
          return { status: 200, headers: [] };
        }
        if (head.target === "/4k") return { status: 200, headers: [], body: small };
        let left = largeCount;
        const next = (): Uint8Array | undefined => (left-- > 0 ? piece : undefined);
        return { status: 200, headers: [], body: { size: largeCount * MiB, next, close() {} } };
      },
    },
  );
  return front.port;
}

function startBunServe(): number {
  const arena = newBytes(1 * MiB);
  const large = newBytes(largeCount * MiB);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: 1024 * MiB,
    async fetch(request) {
      if (request.method === "PUT") {
        for await (const bytes of request.body ?? [])
          arena.set(bytes.subarray(0, arena.byteLength));
        return new Response(null);
      }
      if (request.url.endsWith("/4k")) return new Response(small);
      return new Response(large);
    },
  });
  return server.port ?? 0;
}

interface Load {
  readonly name: string;
  readonly connections: number;
  readonly requests: number;
  /** Head and, if small, body. */
  readonly request: Uint8Array;
  readonly bodySize: number;
  /** Body bytes of an answer. */
  readonly answerSize: number;
}
const encoder = new TextEncoder();
function load(name: string, connections: number, requests: number, size: number): Load {
  const isPut = name.startsWith("PUT");
  const target = size > 1 * MiB ? "/64m" : "/4k";
  const length = isPut ? `Content-Length: ${size}\r\n` : "";
  const method = isPut ? "PUT" : "GET";
  const auth = `Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${"a".repeat(64)}\r\nX-Amz-Date: 20261120T000000Z\r\nX-Amz-Content-Sha256: ${"b".repeat(64)}\r\nUser-Agent: bench\r\n`;
  const head = encoder.encode(`${method} ${target} HTTP/1.1\r\nHost: h\r\n${auth}${length}\r\n`);
  const request = newBytes(head.byteLength + (isPut && size <= MiB ? size : 0));
  request.set(head);
  return {
    name,
    connections,
    requests,
    request,
    bodySize: isPut ? size : 0,
    answerSize: isPut ? 0 : size,
  };
}
const loads = [
  load("GET 4 KiB c=16", 16, 60_000, 4 * KiB),
  load("PUT 4 KiB c=16", 16, 60_000, 4 * KiB),
  load("GET 64 MiB c=2", 2, 40, 64 * MiB),
  load("PUT 64 MiB c=2", 2, 40, 64 * MiB),
];

/** Keeps `connections` busy until `requests` were answered; counts bytes, checks nothing else. */
function drive(port: number, { connections, requests, request, bodySize, answerSize }: Load) {
  return new Promise<void>((resolve) => {
    let left = requests;
    let open = connections;
    for (let i = 0; i < connections; i++) {
      let due = 0;
      let offset = 0;
      const total =
        request.byteLength > 4 * KiB ? request.byteLength : request.byteLength + bodySize;
      const push = (socket: Bun.Socket): void => {
        while (offset < total) {
          const inHead = offset < request.byteLength;
          const from = inHead
            ? request.subarray(offset)
            : piece.subarray(0, Math.min(piece.byteLength, total - offset));
          const size = socket.write(from);
          if (size <= 0) return;
          offset += size;
        }
      };
      const begin = (socket: Bun.Socket): void => {
        if (left-- <= 0) {
          socket.end();
          if (--open === 0) resolve();
          return;
        }
        due = -1;
        offset = 0;
        push(socket);
      };
      void Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: begin,
          drain: push,
          data(socket, source) {
            let size = source.byteLength;
            if (due < 0) {
              due = answerSize;
              size -= source.indexOf("\r\n\r\n") + 4; // heads arrive whole on loopback
            }
            due -= size;
            if (due === 0) begin(socket);
          },
        },
      });
    }
  });
}

if (process.argv[2] === "serve") {
  const port = process.argv[3] === "front" ? startFront() : startBunServe();
  console.log(port);
  process.on("SIGINT", () => process.exit(0));
  process.on("SIGUSR2", () => console.log(JSON.stringify(process.cpuUsage())));
} else if (import.meta.main) {
  for (const kind of ["front", "Bun.serve"]) {
    const child = Bun.spawn(["bun", import.meta.path, "serve", kind], { stdout: "pipe" });
    const reader = child.stdout.getReader();
    const line = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
    const cpuSeconds = async (): Promise<number> => {
      child.kill("SIGUSR2");
      const { user, system } = JSON.parse(await line()) as NodeJS.CpuUsage;
      return (user + system) / 1e6;
    };
    const port = Number(await line());
    for (const it of loads) {
      await drive(port, { ...it, requests: Math.ceil(it.requests / 20) }); // warm
      const cpuBefore = await cpuSeconds();
      const started = performance.now();
      await drive(port, it);
      const seconds = (performance.now() - started) / 1000;
      const cpu = (await cpuSeconds()) - cpuBefore;
      const isLarge = it.bodySize + it.answerSize > MiB;
      const amount = isLarge ? (it.requests * 64 * MiB) / 1e6 : it.requests;
      const unit = isLarge ? "MB" : "requests";
      console.log(
        `${kind}\t${it.name}\t${Math.round(amount / seconds)} ${unit}/s\t${Math.round(amount / cpu)} ${unit}/server-cpu-s`,
      );
    }
    child.kill();
    await child.exited;
  }
}
