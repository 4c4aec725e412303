/** Quotas over real HTTP: each way in which content comes, and what frees room again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { lookupNamespace, lookupQuota } from "@kiseki/composition";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";
import { newOperationId } from "./scope.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
const partSize = 5 * 1024 * 1024;

beforeAll(async () => {
  bed = await Bed.open();
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

async function bucketWith(name: string, limits: { bytesMax?: number; objectsMax?: number }) {
  expect((await call("PUT", `/${name}`)).status).toBe(200);
  const tenant = await bed.node.openDefaultTenant(AbortSignal.timeout(5000));
  const namespace = tenant.store.view((map) => lookupNamespace(map, name))!.id;
  const operation = { kind: "set_quota", namespace, limits } as const;
  const outcome = await tenant.owner.submit(operation, newOperationId(bed.node.ports.prng));
  expect(outcome.kind).toBe("done");
  return () => tenant.store.view((map) => lookupQuota(map, namespace));
}
const codeOf = (reply: Reply): string => `${reply.status} ${element(reply.text, "Code")}`;

test("a put or copy beyond the quota is refused, before its body is asked for, and a smaller one goes on", async () => {
  const used = await bucketWith("puts", { bytesMax: 10_000, objectsMax: 2 });
  expect((await call("PUT", "/puts/a", { body: "x".repeat(6000) })).status).toBe(200);
  const expecting = await call("PUT", "/puts/b", {
    body: "x".repeat(4001),
    headers: { expect: "100-continue" },
  });
  expect(codeOf(expecting)).toBe("403 QuotaExceeded");
  expect(used()).toMatchObject({ bytes: 6000, objects: 1 });
  const copy = { headers: { "x-amz-copy-source": "/puts/a" } };
  expect(codeOf(await call("PUT", "/puts/b", copy))).toBe("403 QuotaExceeded");
  expect((await call("PUT", "/puts/b", { body: "x".repeat(4000) })).status).toBe(200);
  expect(codeOf(await call("PUT", "/puts/c", { body: "" }))).toBe("403 QuotaExceeded");
  expect((await call("PUT", "/puts/a", { body: "x".repeat(5999) })).status).toBe(200);
  expect((await call("DELETE", "/puts/b")).status).toBe(204);
  expect(used()).toMatchObject({ bytes: 5999, objects: 1 });
});

test("parts count while their upload is open, and no more once it was aborted", async () => {
  const used = await bucketWith("parts", { bytesMax: 2 * partSize });
  const created = await call("POST", "/parts/key?uploads");
  const id = element(created.text, "UploadId")!;
  const put = (part: number, size: number) =>
    call("PUT", `/parts/key?partNumber=${part}&uploadId=${id}`, { body: Buffer.alloc(size, part) });
  const first = await put(1, partSize);
  expect(first.status).toBe(200);
  const second = await put(2, 1000);
  expect(codeOf(await put(3, partSize))).toBe("403 QuotaExceeded");
  expect(codeOf(await call("PUT", "/parts/other", { body: Buffer.alloc(partSize) }))).toBe(
    "403 QuotaExceeded",
  );
  expect(used()).toMatchObject({ bytes: partSize + 1000, objects: 0 });
  const named = [first, second]
    .map(
      (reply, at) =>
        `<Part><PartNumber>${at + 1}</PartNumber><ETag>${reply.headers["etag"]}</ETag></Part>`,
    )
    .join("");
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  expect((await call("POST", `/parts/key?uploadId=${id}`, { body })).status).toBe(200);
  expect(used()).toMatchObject({ bytes: partSize + 1000, objects: 1 });
  const again = element((await call("POST", "/parts/key?uploads")).text, "UploadId")!;
  const target = `/parts/key?partNumber=1&uploadId=${again}`;
  expect((await call("PUT", target, { body: Buffer.alloc(1000, 9) })).status).toBe(200);
  expect(used()).toMatchObject({ bytes: partSize + 2000 });
  expect((await call("DELETE", `/parts/key?uploadId=${again}`)).status).toBe(204);
  expect(used()).toMatchObject({ bytes: partSize + 1000, objects: 1 });
});
