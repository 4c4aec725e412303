import { expect, test } from "bun:test";
import { Bed } from "../gateway/bed.test-helper.ts";

test("S3 requests carry a workflow of their tenant, which is counted and changes nothing", async () => {
  await using bed = await Bed.open("128MiB");
  const { node, main, other } = bed;
  const tenant = Buffer.from(node.defaultTenant).toString("hex");
  const ref = "0123456789abcdef".repeat(2);
  const words = { tenant, client: ref, profile: "", phase: 0n, tag: "", ttlSeconds: 0 };
  expect(node.workflows.book.declare(words, ref, 0)).toBe(3600);
  const list = async (user: typeof main, header: string): Promise<number> =>
    (await bed.call(user, "GET", "/", { headers: { "x-kiseki-workflow-ref": header } })).status;
  const uuid = ref.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  for (const header of [ref, uuid, "nonsense", "00".repeat(16)])
    expect(await list(main, header)).toBe(200);
  expect(await list(other, ref)).toBe(200);
  expect((await bed.send("GET", "/", { "x-kiseki-workflow-ref": ref })).status).toBe(403);
  const text = await bed.metrics.expose();
  for (const line of ['"known"} 2', '"unknown"} 3', '"malformed"} 1'])
    expect(text).toContain(`kiseki_workflow_refs_total{protocol="s3",result=${line}`);
});
