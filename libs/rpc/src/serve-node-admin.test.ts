import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeAdminBackend } from "./backend.ts";
import { type NodeAdminTarget, openNodeAdminClient } from "./open-node-admin-client.ts";
import { RpcError, toRpcError } from "./rpc-error.ts";
import { answers, type RpcServer, serveNodeAdmin } from "./serve-node-admin.ts";

let folder: string;
let certificate: string;
let certificateKey: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kiseki-rpc-"));
  const files = [join(folder, "key.pem"), join(folder, "cert.pem")] as const;
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
  ];
  const names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
  const child = Bun.spawn(
    ["openssl", ...request, "-keyout", files[0], "-out", files[1], "-days", "2", ...names],
    { stderr: "ignore" },
  );
  expect(await child.exited).toBe(0);
  certificateKey = await Bun.file(files[0]).text();
  certificate = await Bun.file(files[1]).text();
});
afterAll(() => rm(folder, { recursive: true }));

/** A backend that knows the given calls and refuses all others. */
function backendOf(calls: Partial<NodeAdminBackend>): NodeAdminBackend {
  return new Proxy(calls, {
    get: (known, name) =>
      Reflect.get(known, name) ?? (() => Promise.reject(new Error("a secret of the backend"))),
  }) as NodeAdminBackend;
}

async function serve(calls: Partial<NodeAdminBackend>): Promise<{
  readonly server: RpcServer;
  readonly targets: Readonly<Record<"local" | "tls", NodeAdminTarget>>;
  readonly internal: string[];
  readonly ended: string[];
}> {
  const path = join(folder, `${crypto.randomUUID().slice(0, 8)}.sock`);
  const internal: string[] = [];
  const ended: string[] = [];
  const door = { kind: "token", token: "open sesame" } as const;
  const tls = {
    kind: "tls",
    host: "127.0.0.1",
    port: 0,
    certificate,
    certificateKey,
    door,
  } as const;
  const server = await serveNodeAdmin(backendOf(calls), {
    listeners: [{ kind: "local", path }, tls],
    onInternal: (method) => internal.push(method),
    onCall: (method, outcome) => ended.push(`${method} ${outcome}`),
  });
  const endpoint = `https://127.0.0.1:${server.port}`;
  const over = { kind: "tls", endpoint, authority: certificate, token: door.token } as const;
  return { server, internal, ended, targets: { local: { kind: "local", path }, tls: over } };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (reason) {
    const { code, message } = toRpcError(reason);
    return `${code}: ${message}`;
  }
  return "done";
}

for (const way of ["local", "tls"] as const) {
  test(`serveNodeAdmin() over ${way}: answers, refuses by code, keeps secrets of bugs`, async () => {
    const { server, targets, internal, ended } = await serve({
      getVersion: async () => ({ version: "1.2.3" }),
      deleteBucket: () => Promise.reject(new RpcError("not_empty", "It holds objects")),
    });
    await using _ = server;
    const client = openNodeAdminClient(targets[way]);
    expect((await client.getVersion({})).version).toBe("1.2.3");
    expect(await codeOf(client.deleteBucket({ name: "a" }))).toBe("not_empty: It holds objects");
    expect(await codeOf(client.getStatus({}))).toBe("internal: Internal error");
    expect(internal).toEqual(["getStatus"]);
    expect(ended).toEqual(["GetVersion ok", "DeleteBucket client_error", "GetStatus server_error"]);
  });

  test(`serveNodeAdmin() over ${way}: the backend learns that a stream's caller has gone`, async () => {
    const gone = Promise.withResolvers<void>();
    const { server, targets } = await serve({
      async *verify(_request, signal) {
        signal.addEventListener("abort", () => gone.resolve());
        for (let count = 0n; !signal.aborted; count++) {
          yield { objectCount: count };
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    });
    await using _ = server;
    const leaving = new AbortController();
    const calls = openNodeAdminClient(targets[way]).verify({}, { signal: leaving.signal });
    const ending = codeOf(
      (async () => {
        for await (const { objectCount } of calls) if (objectCount >= 3n) leaving.abort();
      })(),
    );
    expect(await ending).toStartWith("canceled");
    await gone.promise;
  });

  test(`serveNodeAdmin() over ${way}: a request over 64 KiB does not reach the backend`, async () => {
    let calls = 0;
    const { server, targets } = await serve({
      createBucket: async () => {
        calls += 1;
        return {};
      },
    });
    await using _ = server;
    const client = openNodeAdminClient(targets[way]);
    expect(await codeOf(client.createBucket({ name: "a".repeat(60_000) }))).toBe("done");
    expect(await codeOf(client.createBucket({ name: "a".repeat(70_000) }))).toStartWith("no_space");
    expect(calls).toBe(1);
  });
}

test("serveNodeAdmin() lets nobody in over TLS without the token, and does no work for them", async () => {
  let calls = 0;
  const { server, targets } = await serve({
    getVersion: async () => {
      calls += 1;
      return {};
    },
    async *scrub() {
      calls += 1;
      yield {};
    },
  });
  await using _ = server;
  const { tls } = targets;
  for (const token of [undefined, "", "open sesam", "open sesamf", "open sesame "]) {
    const client = openNodeAdminClient({ ...tls, token } as NodeAdminTarget);
    const first = await codeOf(client.getVersion({}));
    // HTTP strips blanks at the end of a header.
    expect(first).toStartWith(token === "open sesame " ? "done" : "unauthenticated");
    if (token === "open sesame ") continue;
    const stream = client.scrub({})[Symbol.asyncIterator]();
    expect(await codeOf(stream.next())).toStartWith("unauthenticated");
  }
  expect(calls).toBe(1);
  const blind = openNodeAdminClient({ ...tls, authority: undefined } as NodeAdminTarget);
  expect(await codeOf(blind.getVersion({}))).toStartWith("untrusted");
});

test("serveNodeAdmin() ends streams when it is disposed of, and takes its socket away", async () => {
  const { server, targets } = await serve({
    async *verify(_request, signal) {
      yield {};
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
  const path = targets.local.kind === "local" ? targets.local.path : "";
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const stream = openNodeAdminClient(targets.local).verify({})[Symbol.asyncIterator]();
  await stream.next();
  const ending = codeOf(stream.next());
  await server[Symbol.asyncDispose]();
  expect(await ending).toMatch(/^un(reachable|available)/);
  expect(await answers(path)).toBe(false);
  expect(await codeOf(openNodeAdminClient(targets.local).getVersion({}))).toStartWith(
    "unreachable",
  );
});

test("serveNodeAdmin() takes over a dead node's socket, never a living one's or another file", async () => {
  const path = join(folder, "stale.sock");
  const listeners = [{ kind: "local", path }] as const;
  const options = { listeners, onInternal: () => undefined, onCall: () => undefined };
  const dead = createServer().listen(path);
  await new Promise((resolve) => dead.once("listening", resolve));
  const start = () => serveNodeAdmin(backendOf({}), options);
  expect(await codeOf(start())).toStartWith("exists");
  await new Promise((resolve) => dead.close(resolve));
  await writeFile(path, "precious");
  expect(await codeOf(start())).toStartWith("exists");
  expect(await Bun.file(path).text()).toBe("precious");
  await rm(path);
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`,
    ],
    { stderr: "ignore" },
  );
  await child.exited;
  expect((await stat(path)).isSocket()).toBe(true);
  await using _ = await start();
  expect(await answers(path)).toBe(true);
  const long = [{ kind: "local", path: join(folder, "x".repeat(100)) }] as const;
  expect(await codeOf(serveNodeAdmin(backendOf({}), { ...options, listeners: long }))).toStartWith(
    "invalid",
  );
});
