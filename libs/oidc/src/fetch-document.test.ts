// Goal: nobody can make this node fetch what is not his to see: no redirect, no inner address, no endless document.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { classOfAddress } from "./address-class.ts";
import { DocumentFetcher } from "./index.ts";
import { TestProvider } from "./provider.test-helper.ts";

let provider: TestProvider;
beforeAll(async () => {
  provider = await TestProvider.open();
  provider.answers.set("/good", (_, response) => void response.end('{"a":1}'));
  provider.answers.set(
    "/moved",
    (_, response) => void response.writeHead(302, { location: "/good" }).end(),
  );
  provider.answers.set("/text", (_, response) => void response.end("hello"));
  provider.answers.set(
    "/large",
    (_, response) => void response.end(`"${"a".repeat(1024 * 1024)}"`),
  );
  provider.answers.set("/cut", (_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{");
    setTimeout(() => response.destroy(), 10);
  });
});
afterAll(() => provider[Symbol.asyncDispose]());

const local = new DocumentFetcher({ allowLoopback: true });
const at = (path: string) => `http://127.0.0.1:${provider.port}${path}`;

test("fetchJson() gets a document of this machine where that is allowed", async () => {
  expect(await local.fetchJson(at("/good"), "loopback")).toEqual({
    json: { a: 1 },
    class: "loopback",
  });
  expect(
    await local.fetchJson(at("/good").replace("127.0.0.1", "localhost"), "loopback"),
  ).toMatchObject({ class: "loopback" });
});
test.each([
  ["/moved", "the status is 302"],
  ["/missing", "the status is 404"],
  ["/text", "no JSON"],
  ["/large", "too large"],
  ["/cut", "broke off|no connection|no JSON"],
])("fetchJson() of %s: %s", async (path, why) => {
  const asked = provider.asked.length;
  await expect(local.fetchJson(at(path), "loopback")).rejects.toThrow(new RegExp(why));
  expect(provider.asked.slice(asked)).toEqual([path]); // it went nowhere else
});
test("fetchJson() asks nothing nearer than it may", async () => {
  const plain = new DocumentFetcher({ allowLoopback: false });
  const asked = provider.asked.length;
  await expect(plain.fetchJson(at("/good"), "loopback")).rejects.toThrow("not of https");
  await expect(plain.fetchJson(at("/good").replace("http", "https"), "loopback")).rejects.toThrow(
    "may not be asked",
  );
  await expect(local.fetchJson(at("/good"), "private")).rejects.toThrow("may not be asked");
  await expect(local.fetchJson("https://10.1.2.3/", "public")).rejects.toThrow("may not be asked");
  await expect(local.fetchJson("http://10.1.2.3/", "loopback")).rejects.toThrow("not of https");
  await expect(local.fetchJson("https://[::ffff:169.254.169.254]/", "loopback")).rejects.toThrow(
    "may not be asked",
  );
  await expect(local.fetchJson("https://0/", "loopback")).rejects.toThrow("may not be asked");
  await expect(local.fetchJson("https://user:pass@id.example/", "public")).rejects.toThrow(
    "no URL",
  );
  await expect(local.fetchJson("ftp://id.example/", "public")).rejects.toThrow("not of https");
  await expect(local.fetchJson("https://nothing.invalid/", "public")).rejects.toThrow("no address");
  expect(provider.asked.length).toBe(asked);
});
test("fetchJson() verifies the certificate's name and authority, though it connects to the checked address", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-oidc-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const [key, cert] = [join(folder, "key.pem"), join(folder, "certificate.pem")] as const;
  const words =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost";
  const child = Bun.spawn(["openssl", ...words.split(" "), "-keyout", key, "-out", cert], {
    stdout: "ignore",
    stderr: "ignore",
  });
  expect(await child.exited).toBe(0);
  const [keyText, authority] = [await readFile(key, "utf8"), await readFile(cert, "utf8")];
  const server = createServer(
    { key: keyText, cert: authority },
    (_request, response) => void response.end("{}"),
  );
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const trusting = new DocumentFetcher({ allowLoopback: true, authority });
  const ask = (fetcher: DocumentFetcher, host: string) =>
    fetcher.fetchJson(`https://${host}:${port}/`, "loopback");
  expect(await ask(trusting, "localhost")).toEqual({ json: {}, class: "loopback" });
  await expect(ask(local, "localhost")).rejects.toThrow("no connection");
  await expect(ask(trusting, "127.0.0.1")).rejects.toThrow("no connection");
  server.closeAllConnections();
  server.close();
});
test.each([
  ["8.8.8.8", "public"],
  ["2a00::1", "public"],
  ["10.0.0.1", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.1", "public"],
  ["192.168.1.1", "private"],
  ["100.64.0.1", "private"],
  ["fd12::1", "private"],
  ["127.0.0.2", "loopback"],
  ["::1", "loopback"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:7f00:1", "never"],
  ["0.0.0.0", "never"],
  ["::", "never"],
  ["169.254.169.254", "never"],
  ["100.100.100.200", "never"],
  ["fd00:ec2::254", "never"],
  ["fe80::1", "never"],
  ["224.0.0.1", "never"],
  ["255.255.255.255", "never"],
  ["64:ff9b::7f00:1", "never"],
  ["name", "never"],
] as const)("classOfAddress(%s) is %s", (address, wanted) => {
  expect(classOfAddress(address)).toBe(wanted);
});
