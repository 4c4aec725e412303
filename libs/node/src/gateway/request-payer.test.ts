/** Buckets whose requesters pay: who must say so, and who is told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const payer = { "x-amz-request-payer": "requester" };
const charged = (reply: Reply) => [reply.status, reply.headers["x-amz-request-charged"]];
async function setPayer(name: string): Promise<void> {
  const body = `<RequestPaymentConfiguration><Payer>${name}</Payer></RequestPaymentConfiguration>`;
  expect((await bed.call(bed.main, "PUT", "/paid?requestPayment", { body })).status).toBe(200);
}

beforeAll(async () => {
  bed = await Bed.open();
  await bed.call(bed.main, "PUT", "/paid");
  await bed.call(bed.main, "PUT", "/paid/k", { body: "content" });
  const body = JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: "*",
        Action: "s3:*",
        Resource: ["arn:aws:s3:::paid", "arn:aws:s3:::paid/*"],
      },
    ],
  });
  expect((await bed.call(bed.main, "PUT", "/paid?policy", { body })).status).toBe(204);
  await setPayer("Requester");
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

test("who is not the owner says that it pays, and is told so", async () => {
  const get = (headers: Record<string, string>) =>
    bed.call(bed.other, "GET", "/paid/k", { headers });
  expect(charged(await get({}))).toEqual([403, undefined]);
  expect(charged(await get({ "x-amz-request-payer": "me" }))).toEqual([403, undefined]);
  const paid = await get(payer);
  expect([paid.status, paid.text]).toEqual([200, "content"]);
  expect(charged(paid)).toEqual([200, "requester"]);
  const put = await bed.call(bed.other, "PUT", "/paid/by-other", { body: "x", headers: payer });
  expect(charged(put)).toEqual([200, "requester"]);
  const presigned = bed.presign(bed.other, "GET", "/paid/k", {
    "x-amz-request-payer": "requester",
  });
  expect(charged(await bed.send("GET", presigned, { host: bed.host }))).toEqual([200, "requester"]);
  const missing = await bed.call(bed.other, "GET", "/paid/none", { headers: payer });
  expect(charged(missing)).toEqual([404, undefined]);
});

test("the owner pays as ever, and nobody cannot", async () => {
  expect(charged(await bed.call(bed.main, "GET", "/paid/k"))).toEqual([200, undefined]);
  expect(charged(await bed.call(bed.main, "GET", "/paid/k", { headers: payer }))).toEqual([
    200,
    undefined,
  ]);
  expect(charged(await bed.send("GET", "/paid/k", payer))).toEqual([403, undefined]);
});

test("where the owner pays, nobody has to say anything", async () => {
  await setPayer("BucketOwner");
  expect(charged(await bed.call(bed.other, "GET", "/paid/k"))).toEqual([200, undefined]);
  expect(charged(await bed.call(bed.other, "GET", "/paid/k", { headers: payer }))).toEqual([
    200,
    undefined,
  ]);
  expect(charged(await bed.send("GET", "/paid/k", {}))).toEqual([200, undefined]);
  await setPayer("Requester");
});
