import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { openListener, s3Listener } from "./open-listener.ts";

const socket = { data: () => undefined };

test("openListener() says which port is taken, by which flag, and what to do", async () => {
  const first = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
  const { port } = first;
  const address = { host: "127.0.0.1", port };
  const attempts = [
    () => Bun.listen({ hostname: "127.0.0.1", port, socket }),
    () => Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response() }),
    () =>
      new Promise((resolve, reject) => {
        const server = createServer().once("error", reject);
        server.listen(port, "127.0.0.1", () => resolve(server.close()));
      }),
  ];
  for (const attempt of attempts) {
    await expect(openListener<unknown>(s3Listener, address, attempt)).rejects.toThrow(
      `Cannot listen for S3 on 127.0.0.1:${port}: the port is taken. "ss -ltnp sport = :${port}" names who listens there; stop it, or give another --s3-addr (KISEKI_S3_ADDR)`,
    );
  }
  first.stop();
});

test("openListener() leaves other faults as they are, and hands on what was opened", async () => {
  const address = { host: "::1", port: 1 };
  const fault = new Error("the PEM files make no TLS context");
  const attempt = openListener(s3Listener, address, () => Promise.reject(fault));
  await expect(attempt).rejects.toBe(fault);
  expect(await openListener(s3Listener, address, () => 7)).toBe(7);
  const lacking = openListener(s3Listener, address, () => {
    throw Object.assign(new Error("x"), { code: "EADDRNOTAVAIL" });
  });
  await expect(lacking).rejects.toThrow("on [::1]:1: this machine has no such address");
});
