import { afterEach, expect, test } from "bun:test";
import { concatBytes, type Millis, millis, newBytes, wallTime } from "@kiseki/base";
import { httpLimitsDefault } from "@kiseki/http";
import type { Clock, Metrics } from "@kiseki/ports";
import { selfSigned } from "./self-signed.test-helper.ts";
import { serveFront } from "./serve-front.ts";
import {
  BodyError,
  type Front,
  type FrontFault,
  type FrontLimits,
  type FrontRequest,
  type FrontResponse,
  type FrontTls,
} from "./types.ts";

/** Time that stands still until it is told to go on. */
class ManualClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  monotonic = (): Millis => millis(this.#now);
  realtime = () => wallTime(Date.UTC(2026, 10, 20) + this.#now);
  sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.#now + duration, wake: resolve };
      this.#sleepers.add(sleeper);
      signal.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason as Error);
      });
    });
  }
  /** Goes on by `duration`, in steps so that sleepers may sleep again. */
  async advance(duration: number): Promise<void> {
    for (let left = duration; left > 0; left -= 100) {
      this.#now += Math.min(100, left);
      for (const sleeper of this.#sleepers) {
        if (sleeper.at > this.#now) continue;
        this.#sleepers.delete(sleeper);
        sleeper.wake();
      }
      await Promise.resolve();
    }
    await turn();
  }
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
/** Polls, because sockets have no other way to say that something has happened at their far end. */
async function until(isDone: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (isDone()) return;
    await turn();
  }
  throw new Error(`Never came: ${what}`);
}

const noMetrics: Metrics = { add() {}, set() {}, observe() {} };
const limits: FrontLimits = {
  http: httpLimitsDefault,
  connectionCountMax: 50,
  headTimeout: millis(10_000),
  idleTimeout: millis(75_000),
  transferWindow: millis(10_000),
  transferRateMin: 1000,
  receiveBufferSizeMax: 64 * 1024,
  drainSizeMax: 256 * 1024,
  lingerTimeout: millis(2000),
};
const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);
const textOf = (source: Uint8Array): string => new TextDecoder("latin1").decode(source);

interface Served {
  readonly front: Front;
  readonly clock: ManualClock;
  readonly faults: FrontFault[];
  readonly bugs: unknown[];
}
const served: Served[] = [];
function serve(
  handler: (request: FrontRequest) => Promise<FrontResponse> | FrontResponse,
  changes: Partial<FrontLimits> = {},
  tls?: FrontTls,
): Served {
  const clock = new ManualClock();
  const faults: FrontFault[] = [];
  const bugs: unknown[] = [];
  let ids = 0;
  const front = serveFront(clock, noMetrics, {
    hostname: "127.0.0.1",
    port: 0,
    tls,
    reusePort: false,
    limits: { ...limits, ...changes },
    serverName: undefined,
    requestId: () => `id-${++ids}`,
    handler,
    renderFault: (fault) => {
      faults.push(fault);
      return { status: fault.status, headers: [["x-fault", fault.code]] };
    },
    onBug: (reason) => bugs.push(reason),
  });
  const it = { front, clock, faults, bugs };
  served.push(it);
  return it;
}
afterEach(async () => {
  for (const { front, bugs } of served.splice(0)) {
    await front.stop(AbortSignal.abort());
    expect(bugs).toEqual([]);
  }
});

/** A client that keeps what it gets. */
class RawClient {
  received = "";
  size = 0;
  keeps = true;
  isEnded = false;
  isClosed = false;
  socket!: Bun.Socket;
  #rest: Uint8Array | undefined;
  static async open(port: number, isTls = false): Promise<RawClient> {
    const client = new RawClient();
    client.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      ...(isTls ? { tls: { rejectUnauthorized: false } } : {}),
      socket: {
        data(_, source) {
          client.size += source.byteLength;
          if (client.keeps) client.received += textOf(source);
        },
        drain() {
          if (client.#rest !== undefined) client.send("");
        },
        end() {
          client.isEnded = true;
        },
        close() {
          client.isClosed = true;
        },
        error() {},
      },
    });
    return client;
  }
  send(source: string | Uint8Array): void {
    const added = typeof source === "string" ? bytesOf(source) : source;
    const all = this.#rest === undefined ? added : concatBytes(this.#rest, added);
    const size = Math.max(0, this.socket.write(all));
    this.#rest = size < all.byteLength ? all.subarray(size) : undefined;
  }
  get isSending(): boolean {
    return this.#rest !== undefined;
  }
  async gets(part: string): Promise<void> {
    await until(() => this.received.includes(part), `${part} in ${this.received.slice(0, 500)}`);
  }
  async ends(): Promise<void> {
    await until(() => this.isEnded || this.isClosed, "the end");
  }
}
const get = (target: string, rest = ""): string =>
  `GET ${target} HTTP/1.1\r\nHost: h\r\n${rest}\r\n`;
const dated = "Date: Fri, 20 Nov 2026 00:00:00 GMT\r\n";

/** Answers the target and the body's size. */
async function echo(request: FrontRequest): Promise<FrontResponse> {
  const target = newBytes(10_000);
  let size = 0;
  for (;;) {
    const taken = await request.body.readInto(target);
    if (taken === 0) break;
    size += taken;
  }
  return {
    status: 200,
    headers: [
      ["x-target", request.head.target],
      ["x-size", String(size)],
    ],
  };
}

test("serveFront() answers byte for byte", async () => {
  const { front } = serve((request) => ({
    status: 200,
    headers: [
      ["x-id", request.id],
      ["x-loopback", String(request.isLoopback)],
    ],
    body: bytesOf("hello"),
  }));
  const client = await RawClient.open(front.port);
  client.send(get("/a//b/../%2e?x=+"));
  await client.gets("hello");
  const head = `HTTP/1.1 200 OK\r\n${dated}x-id: id-1\r\nx-loopback: true\r\nContent-Length: 5\r\n\r\n`;
  expect(client.received).toBe(`${head}hello`);
  client.received = "";
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  await client.ends();
  expect(client.received).toBe(
    head.replace("id-1", "id-2").replace("5\r\n", "5\r\nConnection: close\r\n"),
  );
});

test("serveFront() sends no body and no length with 204 and 304", async () => {
  const { front } = serve((request) => ({
    status: Number(request.head.target.slice(1)),
    headers: [],
    body: bytesOf("never"),
  }));
  const client = await RawClient.open(front.port);
  client.send(get("/204") + get("/304", "Connection: close\r\n"));
  await client.ends();
  expect(client.received).toBe(
    `HTTP/1.1 204 No Content\r\n${dated}\r\nHTTP/1.1 304 Not Modified\r\n${dated}Connection: close\r\n\r\n`,
  );
});

test("serveFront() leaves a length unsaid under HEAD that the handler does not know", async () => {
  const { front } = serve(({ head }) =>
    head.target === "/known"
      ? { status: 200, headers: [], size: 0 }
      : { status: 404, headers: [["x-error", "1"]] },
  );
  const client = await RawClient.open(front.port);
  client.send("HEAD /known HTTP/1.1\r\nHost: h\r\n\r\n");
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  await client.ends();
  expect(client.received).toBe(
    `HTTP/1.1 200 OK\r\n${dated}Content-Length: 0\r\n\r\nHTTP/1.1 404 Not Found\r\n${dated}x-error: 1\r\nConnection: close\r\n\r\n`,
  );
});

test("serveFront() answers pipelined requests in order, one at a time", async () => {
  let inFlight = 0;
  const { front } = serve(async (request) => {
    inFlight += 1;
    expect(inFlight).toBe(1);
    const answer = await echo(request);
    await turn();
    inFlight -= 1;
    return answer;
  });
  const client = await RawClient.open(front.port);
  const put = (name: string, body: string): string =>
    `PUT /${name} HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  client.send(
    put("1", "abc") + get("/2") + put("3", "x".repeat(20_000)) + get("/4", "Connection: close\r\n"),
  );
  await client.ends();
  const seen = [...client.received.matchAll(/x-target: (\S+)\r\nx-size: (\d+)/g)];
  expect(seen.map(([, target, size]) => `${target} ${size}`)).toEqual([
    "/1 3",
    "/2 0",
    "/3 20000",
    "/4 0",
  ]);
});

test("serveFront() sends the answers of many clients together, each its own and in order", async () => {
  const events: string[] = [];
  const { front } = serve(({ head }) => {
    events.push("asked");
    const text = bytesOf(head.target);
    const pieces = [text];
    const nextNow = (): Uint8Array | undefined => {
      events.push("sent");
      return pieces.shift();
    };
    const body = { size: text.byteLength, nextNow, next: async () => nextNow(), close() {} };
    return { status: 200, headers: [], body };
  });
  const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.open(front.port)));
  await until(() => front.connectionCount === 40, "all");
  for (const client of clients.slice(0, 3)) client.send(get("/a"));
  for (const client of clients.slice(0, 3)) await client.gets("/a");
  expect(events).toEqual(["asked", "asked", "asked", "sent", "sent", "sent"]);
  for (const [i, client] of clients.entries()) client.send(get(`/${i}-1`) + get(`/${i}-2`));
  for (const [i, client] of clients.entries()) {
    await client.gets(`/${i}-2`);
    expect(client.received).toContain(`/${i}-1HTTP/1.1 200 OK`);
  }
});

test("serveFront() closes an answer whose client was cut before it was sent", async () => {
  const closed: string[] = [];
  const { front } = serve(({ head: { target } }) => {
    if (target === "/last") void front.stop(AbortSignal.abort());
    const body = { size: 1, next: async () => bytesOf("x"), close: () => void closed.push(target) };
    return { status: 200, headers: [], body };
  });
  const [one, last] = [await RawClient.open(front.port), await RawClient.open(front.port)];
  await until(() => front.connectionCount === 2, "both");
  one.send(get("/one"));
  last.send(get("/last"));
  await until(() => one.isClosed && last.isClosed && closed.length >= 2, "the end");
  expect(closed.toSorted()).toEqual(["/last", "/one"]);
  expect(one.received + last.received).toBe("");
});

test("serveFront() gives the handler what is sent a byte at a time", async () => {
  const { front } = serve(echo);
  const client = await RawClient.open(front.port);
  const text =
    "PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (const character of text) {
    client.send(character);
    await Promise.resolve();
  }
  await client.gets("x-size: 3");
});

test("serveFront() sends 100 Continue when the body is asked for, not before", async () => {
  const { front } = serve(async (request) =>
    request.head.target === "/no" ? { status: 403, headers: [] } : echo(request),
  );
  const expecting = (target: string): string =>
    `PUT ${target} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;
  const client = await RawClient.open(front.port);
  client.send(expecting("/yes"));
  await client.gets("HTTP/1.1 100 Continue\r\n\r\n");
  expect(client.received).toBe("HTTP/1.1 100 Continue\r\n\r\n");
  client.send("12345");
  await client.gets("x-size: 5");
  client.received = "";
  client.send(expecting("/no"));
  await client.ends();
  expect(client.received).toBe(
    `HTTP/1.1 403 Forbidden\r\n${dated}Content-Length: 0\r\nConnection: close\r\n\r\n`,
  );
});

test("serveFront() sends 100 Continue also for a body of no bytes: botocore hangs without it", async () => {
  const { front } = serve((request) => echo(request));
  const client = await RawClient.open(front.port);
  client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n");
  await client.gets("x-size: 0");
  expect(client.received).toStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
});

test("serveFront() drops a refused body that is short, and keeps the connection", async () => {
  const { front } = serve(() => ({ status: 403, headers: [] }));
  const client = await RawClient.open(front.port);
  client.send("PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
  await client.gets("403");
  client.received = "";
  client.send(`67890${get("/2")}`);
  await client.gets("403");
  expect(client.received).not.toContain("close");
});

test("serveFront() closes after a refused body that is long, its answer not lost", async () => {
  const { front } = serve(() => ({ status: 403, headers: [] }));
  const client = await RawClient.open(front.port);
  client.send("PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
  client.send(newBytes(4 << 20));
  await client.ends();
  expect(client.received).toContain("403 Forbidden");
  expect(client.received).toContain("Connection: close");
});

const smuggled: readonly (readonly [string, number, string])[] = [
  [
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
    "length_with_transfer_encoding",
  ],
  [
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    501,
    "unsupported_transfer_encoding",
  ],
  [
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    400,
    "duplicate_content_length",
  ],
  ["GET / HTTP/1.1\r\nHost: h\r\nA: b\nX: y\r\n\r\n", 400, "bare_line_end"],
  ["GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_target"],
  [`GET /${"a".repeat(70_000)} HTTP/1.1\r\n`, 431, "head_too_large"],
];
for (const [text, status, code] of smuggled) {
  test(`serveFront() answers ${status} ${code} and nothing after it`, async () => {
    let handled = 0;
    const { front, faults } = serve(() => {
      handled += 1;
      return { status: 200, headers: [] };
    });
    const client = await RawClient.open(front.port);
    client.send(text + get("/smuggled"));
    await client.ends();
    expect(handled).toBe(0);
    expect(client.received).toStartWith(`HTTP/1.1 ${status} `);
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(faults.map((fault) => fault.code as string)).toEqual([code]);
  });
}

test("serveFront() tells a reader of a broken chunked body, and answers", async () => {
  const { front, faults } = serve(echo);
  const client = await RawClient.open(front.port);
  client.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX");
  await client.ends();
  expect(client.received).toStartWith("HTTP/1.1 400 ");
  expect(faults.map((fault) => fault.code)).toEqual(["bad_chunk_end"]);
});

test("serveFront() tells the handler when the client goes away in its body", async () => {
  let error: unknown;
  let isAborted = false;
  const { front } = serve(async (request) => {
    request.signal.addEventListener("abort", () => {
      isAborted = true;
    });
    try {
      return await echo(request);
    } catch (reason) {
      error = reason;
      throw reason;
    }
  });
  const client = await RawClient.open(front.port);
  client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  await turn();
  client.socket.terminate();
  await until(() => error !== undefined, "the error");
  expect(error).toBeInstanceOf(BodyError);
  expect((error as BodyError).code).toBe("aborted");
  await until(() => isAborted && front.connectionCount === 0, "the abort");
});

test("serveFront() turns a handler's throw into `internal`, its reason unsent", async () => {
  const { front, faults } = serve(() => {
    throw new Error("hidden");
  });
  const client = await RawClient.open(front.port);
  client.send(get("/"));
  await client.ends();
  expect(client.received).toStartWith("HTTP/1.1 500 ");
  expect(client.received).not.toContain("hidden");
  expect((faults[0]!.reason as Error).message).toBe("hidden");
});

test("serveFront() holds a fast sender back while nobody reads", async () => {
  let isReleased = false;
  const size = 64 << 20;
  const { front } = serve(async (request) => {
    await until(() => isReleased, "the release");
    return echo(request);
  });
  const client = await RawClient.open(front.port);
  const head = `PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: ${size}\r\n\r\n`;
  const source = concatBytes(bytesOf(head), newBytes(size).fill(1));
  const before = process.memoryUsage().rss;
  client.send(source);
  for (let i = 0; i < 20; i++) await turn();
  expect(client.isSending).toBe(true);
  expect(process.memoryUsage().rss - before).toBeLessThan(16 << 20);
  isReleased = true;
  await client.gets(`x-size: ${size}`);
});

for (const isTls of [false, true]) {
  test(`serveFront() holds a fast handler back while the client does not read${isTls ? " (TLS)" : ""}`, async () => {
    const piece = newBytes(1 << 20).fill(120);
    let pulled = 0;
    let closed = 0;
    const { front } = serve(
      (request) => ({
        status: 200,
        headers: [["x-tls", String(request.isTls)]],
        body: {
          size: 64 << 20,
          next: () => (pulled++ < 64 ? piece : undefined),
          close: () => {
            closed += 1;
          },
        },
      }),
      {},
      isTls ? await selfSigned() : undefined,
    );
    const client = await RawClient.open(front.port, isTls);
    client.keeps = false;
    client.send(get("/"));
    await until(() => pulled > 0, "the first pull");
    client.socket.pause();
    for (let i = 0; i < 20; i++) await turn();
    expect(pulled).toBeLessThan(40);
    client.socket.resume();
    await until(() => client.size > 64 << 20 && closed === 1, "the body");
    expect(pulled).toBe(65);
  });
}

for (const [name, wait] of [
  ["at once", (it: FrontResponse) => it],
  ["later", async (it: FrontResponse) => it],
] as const) {
  test(`serveFront() sends nothing behind an answer that a bug cut short, given ${name}`, async () => {
    const { front, bugs } = serve(() =>
      wait({
        status: 200,
        headers: [],
        body: {
          size: 5,
          nextNow: () => bytesOf("whole"),
          next: () => undefined,
          close() {
            throw new Error("a bug");
          },
        },
      }),
    );
    const client = await RawClient.open(front.port);
    client.send(get("/"));
    await client.ends();
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(String(bugs.splice(0))).toContain("a bug");
  });
}

test("serveFront() sends a body of unknown size in chunks, to HTTP/1.0 until closing", async () => {
  const { front } = serve(() => {
    const pieces = ["abc", "defg"].map(bytesOf);
    return {
      status: 200,
      headers: [],
      body: { size: undefined, next: async () => pieces.shift(), close() {} },
    };
  });
  const client = await RawClient.open(front.port);
  client.send(get("/"));
  await client.gets("0\r\n\r\n");
  expect(client.received).toEndWith("\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  client.received = "";
  client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n");
  await client.ends();
  expect(client.received).toEndWith("Connection: close\r\n\r\nabcdefg");
});

for (const isTls of [false, true]) {
  test(`serveFront() sends what a stream has at once, whole or in part, and closes it once${isTls ? " over TLS" : ""}`, async () => {
    let closed = 0;
    let pieces: Uint8Array[] = [];
    const body = (size: number) => ({
      size,
      nextNow: () => pieces.shift(),
      next: async () => pieces.shift(),
      close: () => void (closed += 1),
    });
    const { front, bugs } = serve(
      ({ head }) => {
        const size = Number(head.target.slice(1));
        return { status: 200, headers: [], body: body(size) };
      },
      {},
      isTls ? await selfSigned() : undefined,
    );
    const client = await RawClient.open(front.port, isTls);
    pieces = [bytesOf("whole")];
    client.send(get("/5"));
    await client.gets("\r\n\r\nwhole");
    pieces = ["par", "ts"].map(bytesOf);
    client.send(get("/5"));
    await client.gets("\r\n\r\nparts");
    pieces = [newBytes(64 * 1024).fill(97)];
    client.send(get("/65536"));
    await until(() => closed === 3, "the third");
    // A client that does not read: the kernel takes a part, and the rest stays as it was.
    client.keeps = false;
    const before = client.size;
    client.socket.pause();
    const count = 200;
    pieces = Array.from({ length: count }, () => newBytes(60_000).fill(98));
    client.send(get("/60000").repeat(count));
    for (let i = 0; i < 20; i++) await turn();
    expect(closed).toBeLessThan(3 + count);
    client.socket.resume();
    await until(() => closed === 3 + count && client.size > before + count * 60_000, "all");
    expect(bugs).toEqual([]);
  });
}

for (const [name, sizes] of [
  ["short", [3]],
  ["long", [3, 3, 3]],
] as const) {
  test(`serveFront() cuts the connection when a stream turns out too ${name}`, async () => {
    let closed = 0;
    const { front } = serve(() => {
      const pieces = sizes.map((size) => newBytes(size).fill(97));
      const close = (): void => {
        closed += 1;
      };
      return { status: 200, headers: [], body: { size: 5, next: () => pieces.shift(), close } };
    });
    const client = await RawClient.open(front.port);
    client.send(get("/") + get("/"));
    await client.ends();
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(client.received.split("\r\n\r\n")[1]!.length).toBeLessThanOrEqual(5);
    expect(closed).toBe(1);
  });
}

test("serveFront() times out heads, idle connections and bodies", async () => {
  const { front, clock, faults } = serve(echo);
  const silent = await RawClient.open(front.port);
  const slowHead = await RawClient.open(front.port);
  const idle = await RawClient.open(front.port);
  const slowBody = await RawClient.open(front.port);
  slowHead.send("GET / HTTP/1.1\r\n");
  idle.send(get("/"));
  slowBody.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
  await idle.gets("200 OK");
  await until(() => front.connectionCount === 4, "all four");
  await turn();
  await clock.advance(9500);
  expect(silent.isEnded || slowHead.isEnded || slowBody.isEnded).toBe(false);
  await clock.advance(2000);
  await silent.ends();
  await slowHead.ends();
  await slowBody.ends();
  expect(silent.received).toBe("");
  expect(slowHead.received).toStartWith("HTTP/1.1 408 ");
  expect(slowBody.received).toStartWith("HTTP/1.1 408 ");
  expect(faults.map((fault) => fault.code)).toEqual(["timeout", "timeout"]);
  expect(idle.isEnded).toBe(false);
  await clock.advance(65_000);
  await idle.ends();
  await clock.advance(3000);
  await until(() => front.connectionCount === 0, "all closed");
});

test("serveFront() cuts a client that stops reading", async () => {
  let closed = 0;
  const piece = newBytes(1 << 20);
  const { front, clock } = serve(() => ({
    status: 200,
    headers: [],
    body: { size: undefined, next: () => piece, close: () => (closed += 1) },
  }));
  const client = await RawClient.open(front.port);
  client.keeps = false;
  client.socket.pause();
  client.send(get("/"));
  await until(() => front.connectionCount === 1, "the connection");
  for (let i = 0; i < 5; i++) await turn();
  await clock.advance(9000);
  expect(front.connectionCount).toBe(1);
  await clock.advance(12_000);
  await until(() => front.connectionCount === 0 && closed === 1, "the cut");
});

test("serveFront() takes bodies over TLS, and stops though the client stays", async () => {
  const { front, clock } = serve(echo, {}, await selfSigned());
  const client = await RawClient.open(front.port, true);
  const size = 5 << 20;
  client.send(`PUT /tls HTTP/1.1\r\nHost: h\r\nContent-Length: ${size}\r\n\r\n`);
  client.send(newBytes(size));
  await client.gets(`x-size: ${size}`);
  const stopped = front.stop();
  await client.ends();
  await clock.advance(2500);
  await stopped;
  expect(front.connectionCount).toBe(0);
});

test("serveFront() counts a TLS client from its connect on, and cuts it when no handshake comes", async () => {
  const { front, clock } = serve(echo, {}, await selfSigned());
  const silent = await RawClient.open(front.port);
  const half = await RawClient.open(front.port);
  half.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"); // the beginning of a ClientHello
  await until(() => front.connectionCount === 2, "both");
  await clock.advance(9500);
  expect(silent.isEnded || half.isEnded).toBe(false);
  await clock.advance(1000);
  await silent.ends();
  await half.ends();
  await clock.advance(2500);
  await until(() => front.connectionCount === 0, "all closed");
});

test("serveFront() refuses connections over the limit", async () => {
  const { front } = serve(echo, { connectionCountMax: 1 });
  const first = await RawClient.open(front.port);
  await until(() => front.connectionCount === 1, "the first");
  const second = await RawClient.open(front.port);
  await second.ends();
  expect(second.received).toStartWith("HTTP/1.1 503 ");
  first.send(get("/"));
  await first.gets("200 OK");
});

test("stop() finishes what is in flight, closes the idle, accepts no more", async () => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { front } = serve(async (request) => {
    await gate;
    return echo(request);
  });
  const idle = await RawClient.open(front.port);
  const busy = await RawClient.open(front.port);
  busy.send(get("/busy"));
  await until(() => front.connectionCount === 2, "both");
  await turn();
  let isStopped = false;
  const stopped = front.stop().then(() => {
    isStopped = true;
  });
  await idle.ends();
  await turn();
  expect(isStopped).toBe(false);
  await expect(RawClient.open(front.port)).rejects.toThrow();
  release();
  await busy.gets("x-target: /busy");
  expect(busy.received).toContain("Connection: close");
  idle.socket.end();
  busy.socket.end();
  await stopped;
});
