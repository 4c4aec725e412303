/** The advisory service over TLS, tenants told apart by certificates, beside a data path that does not need it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newBytes, toHex } from "@kiseki/base";
import { systemClock, systemPrng } from "@kiseki/host";
import {
  advisoryCodeOf,
  type AdvisoryClient,
  openAdvisoryClient,
  type RpcServer,
  serveAdvisory,
} from "@kiseki/rpc";
import { type MetricsRegistry, openMetrics } from "@kiseki/telemetry";
import { NativeBed } from "../native/bed.test-helper.ts";
import { advisoryBackend } from "./advisory-backend.ts";
import { Workflows } from "./workflows.ts";

let bed: NativeBed;
let server: RpcServer;
const ended: string[] = [];
const clientId = newBytes(16).fill(1);

beforeAll(async () => {
  bed = await NativeBed.open({ withCertificates: true });
  server = await serve();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await bed[Symbol.asyncDispose]();
});

async function serve(): Promise<RpcServer> {
  const [certificate = "", certificateKey = "", authority = ""] = await Promise.all(
    ["server.pem", "server.key", "ca.pem"].map((name) => bed.read(name)),
  );
  const { node } = bed;
  const backend = advisoryBackend({
    clock: systemClock,
    prng: systemPrng,
    catalog: node.storage.catalog,
    defaultTenant: node.defaultTenant,
    workflows: node.workflows,
    poolLabels: ["default"],
  });
  const door = { kind: "certificate", authority } as const;
  const listener = {
    kind: "tls",
    host: "127.0.0.1",
    port: 0,
    certificate,
    certificateKey,
    door,
  } as const;
  return serveAdvisory(backend, listener, {
    onInternal: (_method, reason) => {
      throw reason;
    },
    onCall: (method, outcome) => ended.push(`${method} ${outcome}`),
  });
}
async function connect(name: string): Promise<AdvisoryClient> {
  const [authority, certificate, certificateKey] = await Promise.all(
    ["ca.pem", `${name}.pem`, `${name}.key`].map((file) => bed.read(file)),
  );
  const endpoint = `https://127.0.0.1:${server.port}`;
  return openAdvisoryClient({ endpoint, authority, certificate, certificateKey });
}
const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "done",
    (reason: unknown) => advisoryCodeOf(reason),
  );
const counted = async (result: string): Promise<number> => {
  const pattern = `kiseki_workflow_refs_total{protocol="rpc",result="${result}"} `;
  return Number((await bed.metrics.expose()).split(pattern)[1]?.split("\n")[0] ?? 0);
};

const blocked = async (metrics: MetricsRegistry): Promise<number | undefined> =>
  (await metrics.read()).get("kiseki_data_path_blocked_on_advisory_total");

test("Workflows takes a look-up that is not answered at once for none, and counts it", async () => {
  const metrics = openMetrics();
  const never = new Promise<boolean>(() => undefined);
  const { catalog } = bed.node.storage;
  const workflows = new Workflows(systemClock, metrics, catalog, () => never);
  workflows.note("s3", "00".repeat(16), false, bed.other);
  workflows.note("s3", "malformed", false, bed.other);
  expect(await blocked(metrics)).toBe(1);
  expect(await metrics.expose()).toContain('{protocol="s3",result="unknown"} 1');
});

test("a workflow is declared, goes on and ends, for the tenant of the certificate alone", async () => {
  using client = await connect("default");
  using other = await connect("other");
  const asked = { clientId, profile: "ai-training", initialPhaseId: 1n, tag: "load" };
  const { workflowRef, pools, ttlSeconds } = await client.declareWorkflow(asked);
  expect([workflowRef.byteLength, ttlSeconds]).toEqual([16, 3600]);
  expect(pools.map(({ handle, label }) => [handle.byteLength, label])).toEqual([[16, "default"]]);
  await client.phaseAdvance({ workflowRef, nextPhaseId: 2n, tag: "epoch" });
  const status = await client.getWorkflowStatus({ workflowRef });
  expect([status.phaseId, status.tag]).toEqual([2n, "epoch"]);
  expect(await codeOf(client.phaseAdvance({ workflowRef, nextPhaseId: 2n }))).toBe(
    "phase_not_monotonic",
  );
  const absent = newBytes(16);
  const errors = await Promise.all(
    [
      other.getWorkflowStatus({ workflowRef }),
      other.endWorkflow({ workflowRef }),
      other.getWorkflowStatus({ workflowRef, tenant: "default" }),
      other.getWorkflowStatus({ workflowRef, tenant: "nobody" }),
      client.getWorkflowStatus({ workflowRef: absent }),
      client.getWorkflowStatus({ workflowRef: newBytes(3) }),
    ].map((call) => call.then(String, String)),
  );
  // There is nothing to tell another's workflow from one that never was.
  expect(new Set(errors)).toEqual(new Set(["ConnectError: [not_found] scope_not_found"]));
  expect(await codeOf(client.declareWorkflow({ ...asked, profile: "mining" }))).toBe(
    "profile_not_allowed",
  );
  await client.endWorkflow({ workflowRef });
  expect(await codeOf(client.endWorkflow({ workflowRef }))).toBe("scope_not_found");
  expect(ended).toContain("DeclareWorkflow ok");
});

test("a caller without a certificate of the authority is not let in", async () => {
  const endpoint = `https://127.0.0.1:${server.port}`;
  using nobody = openAdvisoryClient({ endpoint, authority: await bed.read("ca.pem") });
  expect(await codeOf(nobody.declareWorkflow({ clientId }))).toBe("advisory_unavailable");
});

test("calls of the data path carry a workflow, which is counted and changes nothing", async () => {
  using client = await connect("default");
  const { workflowRef } = await client.declareWorkflow({ clientId: systemPrng.fill(newBytes(16)) });
  const { session, client: files } = await bed.mountAs("default");
  const call = (headers: Record<string, string>) =>
    files.files.getNamespace({ session, name: "files" }, { headers });
  const before = await Promise.all(["known", "unknown", "malformed"].map(counted));
  const hex = toHex(workflowRef);
  await call({ "x-kiseki-workflow-ref": hex });
  await call({ "x-kiseki-workflow-ref-bin": workflowRef.toBase64() });
  await call({ "x-kiseki-workflow-ref": "00".repeat(16) });
  await call({ "x-kiseki-workflow-ref": "nonsense" });
  await call({});
  const after = await Promise.all(["known", "unknown", "malformed"].map(counted));
  expect(after.map((count, at) => count - before[at]!)).toEqual([2, 1, 1]);
  const other = await bed.mountAs("other");
  await other.client.files.getNamespace(
    { session: other.session, name: "files" },
    { headers: { "x-kiseki-workflow-ref": hex } },
  );
  expect((await counted("unknown")) - before[1]!).toBe(2);
});

test("the data path does not wait for the advisory service: not under load, not when it is stopped", async () => {
  const { session, client: files } = await bed.mountAs("default");
  using client = await connect("default");
  const { workflowRef } = await client.declareWorkflow({ clientId: systemPrng.fill(newBytes(16)) });
  let isFlooding = true;
  let calls = 0;
  const flood = async (): Promise<void> => {
    using own = await connect("default");
    while (isFlooding) {
      await codeOf(own.declareWorkflow({ clientId: systemPrng.fill(newBytes(16)) }));
      calls += 1;
    }
  };
  const floods = Array.from({ length: 2 }, flood);
  const headers = { "x-kiseki-workflow-ref": toHex(workflowRef) };
  const read = () => files.files.getNamespace({ session, name: "files" }, { headers });
  const known = await counted("known");
  for (let at = 0; at < 15; at += 1) expect((await read()).failure).toBeUndefined();
  expect(calls).toBeGreaterThan(0);
  const stopped = server[Symbol.asyncDispose]();
  for (let at = 0; at < 15; at += 1) expect((await read()).failure).toBeUndefined();
  await stopped;
  isFlooding = false;
  await Promise.all(floods);
  expect(await codeOf(client.getWorkflowStatus({ workflowRef }))).toBe("advisory_unavailable");
  expect((await read()).failure).toBeUndefined();
  expect((await counted("known")) - known).toBe(31);
  expect(await blocked(bed.metrics)).toBe(0);
  server = await serve();
}, 20_000);
