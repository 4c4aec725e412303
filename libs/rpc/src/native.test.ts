import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type NativeBackend,
  type NativeCall,
  type NativeClient,
  type NodeAdminBackend,
  openNativeClient,
  openNodeAdminClient,
  type Peer,
  type RpcServer,
  serveNodeAdmin,
  toRpcError,
} from "./index.ts";

let folder: string;
const read = (name: string): Promise<string> => Bun.file(join(folder, name)).text();
async function openssl(...words: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...words], { cwd: folder, stderr: "ignore" });
  expect(await child.exited).toBe(0);
}
const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
async function certify(name: string, subject: string, alternative: string): Promise<void> {
  await openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
  await Bun.write(join(folder, `${name}.ext`), `subjectAltName=${alternative}\n`);
  const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
  const out = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", `${name}.ext`];
  await openssl("x509", "-req", ...signer, ...out);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kiseki-native-rpc-"));
  await openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca");
  await certify("server", "/CN=server", "IP:127.0.0.1");
  await certify("tenant", "/OU=tenant-acme/OU=more/CN=x", "DNS:x");
  await certify("spiffe", "/CN=x", "URI:spiffe://cluster/tenant/acme/workload/w, DNS:x");
  await certify("admin", "/OU=kiseki-admin/CN=x", "DNS:x");
});
afterAll(() => rm(folder, { recursive: true }));

const admin = new Proxy({}, { get: () => async () => ({ version: "1" }) }) as NodeAdminBackend;

/** Answers what it was asked, and says who asked. */
function echoing(): { readonly native: NativeBackend; readonly peers: Peer[] } {
  const peers: Peer[] = [];
  const refuse = new Proxy({}, { get: () => () => Promise.reject(new Error("a secret")) });
  const files = {
    openSession: async (_request: unknown, { peer }: NativeCall) => {
      peers.push(peer);
      return { session: new Uint8Array(16).fill(7), leaseMs: 30_000 };
    },
    apply: async ({ operations }: { operations: readonly { operationId: Uint8Array }[] }) => ({
      results: operations.map(({ operationId }) => ({ operationId })),
    }),
  };
  const native = {
    discovery: { discover: async () => ({ ttlMs: 5000 }) },
    files: new Proxy(files, {
      get: (known, name) => Reflect.get(known, name) ?? Reflect.get(refuse, name),
    }),
    data: { leaseKeys: async () => ({ keys: [] }), returnKeys: async () => ({}) },
  } as unknown as NativeBackend;
  return { native, peers };
}
const quiet = { onInternal: () => undefined, onCall: () => undefined };

async function serveWithCertificates(native: NativeBackend): Promise<RpcServer> {
  const [certificate, certificateKey, authority] = await Promise.all(
    ["server.pem", "server.key", "ca.pem"].map(read),
  );
  const tls = { kind: "tls", host: "127.0.0.1", port: 0 } as const;
  const pair = { certificate: certificate!, certificateKey: certificateKey! };
  const door = { kind: "certificate", authority: authority! } as const;
  return serveNodeAdmin(admin, { ...quiet, listeners: [{ ...tls, ...pair, door }], native });
}
async function targetOf(server: RpcServer, name: string) {
  const [certificate, certificateKey, authority] = await Promise.all(
    [`${name}.pem`, `${name}.key`, "ca.pem"].map(read),
  );
  const endpoint = `https://127.0.0.1:${server.port}`;
  return { kind: "tls", endpoint, authority, certificate, certificateKey } as const;
}
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (reason: unknown) => toRpcError(reason).code,
  );

test("serveNodeAdmin() tells native services what the caller's certificate says", async () => {
  const { native, peers } = echoing();
  await using server = await serveWithCertificates(native);
  for (const name of ["tenant", "spiffe", "admin"]) {
    await openNativeClient(await targetOf(server, name)).files.openSession({});
  }
  expect(peers).toEqual([
    { kind: "certificate", units: ["tenant-acme", "more"], uris: [], isTenant: true },
    {
      kind: "certificate",
      units: [],
      uris: ["spiffe://cluster/tenant/acme/workload/w"],
      isTenant: true,
    },
    { kind: "certificate", units: ["kiseki-admin"], uris: [], isTenant: false },
  ]);
});

test("serveNodeAdmin() lets no tenant's certificate administer", async () => {
  await using server = await serveWithCertificates(echoing().native);
  const call = async (name: string): Promise<string> =>
    codeOf(openNodeAdminClient(await targetOf(server, name)).getVersion({}));
  expect([await call("tenant"), await call("spiffe"), await call("admin")]).toEqual([
    "forbidden",
    "forbidden",
    "done",
  ]);
});

test("serveNodeAdmin() serves native clients with the token, and discovery without", async () => {
  const [certificate, certificateKey] = await Promise.all(["server.pem", "server.key"].map(read));
  const { native, peers } = echoing();
  const tls = { kind: "tls", host: "127.0.0.1", port: 0 } as const;
  const pair = { certificate: certificate!, certificateKey: certificateKey! };
  const door = { kind: "token", token: "open sesame" } as const;
  await using server = await serveNodeAdmin(admin, {
    ...quiet,
    listeners: [{ ...tls, ...pair, door }],
    native,
  });
  const authority = await read("ca.pem");
  const endpoint = `https://127.0.0.1:${server.port}`;
  const stranger = openNativeClient({ endpoint, authority });
  expect((await stranger.discovery.discover({})).ttlMs).toBe(5000);
  expect(await codeOf(stranger.files.openSession({}))).toBe("unauthenticated");
  expect(await codeOf(stranger.data.leaseKeys({}))).toBe("unauthenticated");
  expect(peers).toEqual([]);
  const client: NativeClient = openNativeClient({
    endpoint,
    authority,
    token: door.token,
  });
  expect((await client.files.openSession({})).leaseMs).toBe(30_000);
  expect(peers).toEqual([{ kind: "token" }]);
  expect(await codeOf(client.files.lookup({}))).toBe("internal");
});

test("serveNodeAdmin() takes file requests of megabytes, and of data 64 KiB alone", async () => {
  await using server = await serveWithCertificates(echoing().native);
  const client = openNativeClient(await targetOf(server, "tenant"));
  const operation = (size: number) => ({
    operationId: new Uint8Array(16).fill(9),
    kind: {
      case: "create" as const,
      value: { type: "symlink", target: new Uint8Array(size) },
    },
  });
  const answer = await client.files.apply({ operations: [operation(1 << 20)] });
  expect(answer.results.map(({ operationId }) => operationId[0])).toEqual([9]);
  expect(await codeOf(client.files.apply({ operations: [operation(5 << 20)] }))).toBe("no_space");
  const sealIds = Array.from({ length: 5000 }, () => new Uint8Array(16));
  expect(await codeOf(client.data.returnKeys({ sealIds }))).toBe("no_space");
});
