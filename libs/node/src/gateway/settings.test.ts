/** Settings of buckets through the whole stack, and what is remembered of them. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";
import { BucketCache, type CallScope } from "./scope.ts";
import { deleteSetting, findSetting, putSetting } from "./settings.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);

beforeAll(async () => {
  bed = await Bed.open();
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const payer = (name: string): Call => ({
  body: `<RequestPaymentConfiguration><Payer>${name}</Payer></RequestPaymentConfiguration>`,
});

test("a setting is kept with its bucket, shown as it was set, and gone with it", async () => {
  const target = "/settings?requestPayment";
  expect((await call("PUT", target, payer("Requester"))).text).toContain("NoSuchBucket");
  expect((await call("GET", target)).text).toContain("NoSuchBucket");
  await call("PUT", "/settings");
  expect((await call("GET", target)).text).toContain("<Payer>BucketOwner</Payer>");
  expect((await call("PUT", target, payer("Requester"))).status).toBe(200);
  expect((await call("GET", target)).text).toContain("<Payer>Requester</Payer>");
  expect((await call("PUT", target, payer("Nobody"))).text).toContain("MalformedXML");
  expect((await call("PUT", target, { body: "x".repeat(5000) })).status).toBe(400);
  expect((await call("DELETE", target)).status).toBe(501);
  expect((await call("GET", target)).text).toContain("<Payer>Requester</Payer>");
  expect((await call("DELETE", "/settings")).status).toBe(204);
  await call("PUT", "/settings");
  expect((await call("GET", target)).text).toContain("<Payer>BucketOwner</Payer>");
});

test("findSetting() decodes once, and again after every change; what cannot be decoded fails", async () => {
  await call("PUT", "/remembered");
  const tenant = await bed.node.openDefaultTenant(new AbortController().signal);
  const parts: Partial<CallScope> = { ports: bed.node.ports, tenant, buckets: new BucketCache() };
  const scope = parts as CallScope;
  let decoded = 0;
  const setting = {
    stored: "website",
    decode(kept: Uint8Array) {
      decoded += 1;
      if (kept.byteLength === 0) throw new Error("damaged");
      return { text: fromUtf8(kept) };
    },
  } as const;
  const find = () => findSetting(scope, "remembered", setting);
  expect([find(), find()]).toEqual([undefined, undefined]);
  await putSetting(scope, "remembered", "website", toUtf8("a"));
  expect(find()).toEqual({ text: "a" });
  expect(find()).toBe(find());
  expect(decoded).toBe(1);
  await putSetting(scope, "remembered", "website", toUtf8("b"));
  expect(find()).toEqual({ text: "b" });
  await deleteSetting(scope, "remembered", "website");
  expect(find()).toBeUndefined();
  await putSetting(scope, "remembered", "website", toUtf8(""));
  expect(find).toThrow("damaged");
  expect(() => findSetting(scope, "not-there", setting)).toThrow("NoSuchBucket");
});
