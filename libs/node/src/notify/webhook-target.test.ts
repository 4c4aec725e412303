/** A webhook's answers, and its certificate, over real sockets. */
import { toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { selfSigned } from "../front/self-signed.test-helper.ts";
import { DeliveryError } from "./target.ts";
import { openWebhook, type WebhookSpec } from "./webhook-target.ts";

const message = { id: "1", body: toUtf8("{}") };
async function outcome(url: string, spec: Partial<WebhookSpec> = {}): Promise<string> {
  const parts = {
    type: "webhook",
    id: "hook",
    url,
    token: undefined,
    authority: undefined,
  } as const;
  await using target = openWebhook({ ...parts, timeoutMs: 500, ...spec });
  try {
    await target.send(message, new AbortController().signal);
    return "sent";
  } catch (reason) {
    if (reason instanceof DeliveryError) return reason.kind;
    throw reason;
  }
}

test("send() takes any 2xx, and tells passing trouble from a refusal", async () => {
  let status = 200;
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response("x".repeat(1 << 20), { status, headers: { location: "/elsewhere" } }),
  });
  const url = `http://127.0.0.1:${server.port}/`;
  const wanted = [
    [200, "sent"],
    [202, "sent"],
    [302, "failed"], // never followed: the token would go elsewhere
    [400, "refused"],
    [401, "unreachable"],
    [413, "refused"],
    [429, "unreachable"],
    [500, "failed"],
    [503, "unreachable"],
  ] as const;
  for (const [code, kind] of wanted) {
    status = code;
    expect([code, await outcome(url)]).toEqual([code, kind]);
  }
});

test("send() gives up on who is silent or not there, and rejects with the signal's reason when it is aborted", async () => {
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Promise<Response>(() => undefined),
  });
  const url = `http://127.0.0.1:${server.port}/`;
  expect(await outcome(url, { timeoutMs: 50 })).toBe("unreachable");
  expect(await outcome("http://127.0.0.1:1/")).toBe("unreachable");
  const abort = new AbortController();
  const parts = {
    type: "webhook",
    id: "hook",
    url,
    token: undefined,
    authority: undefined,
  } as const;
  const sending = openWebhook({ ...parts, timeoutMs: 5000 }).send(message, abort.signal);
  abort.abort(new Error("stopping"));
  expect(sending).rejects.toThrow("stopping");
  await sending.catch(() => undefined);
  await server.stop(true);
});

test("send() trusts the authority that is named, and no other", async () => {
  const { certificate, key } = await selfSigned();
  const other = await selfSigned();
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: certificate, key },
    fetch: () => new Response(""),
  });
  const url = `https://localhost:${server.port}/`;
  expect(await outcome(url, { authority: certificate })).toBe("sent");
  expect(await outcome(url, { authority: other.certificate })).toBe("unreachable");
  expect(await outcome(url)).toBe("unreachable");
});
