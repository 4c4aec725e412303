/** AssumeRoleWithWebIdentity with tokens of a real Keycloak, whose keys change; in the full run alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { kiseki } from "../support/cli.ts";
import { Keycloak } from "../support/keycloak.ts";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";

let keycloak: Keycloak;
let node: NodeProcess;
let client: S3Client;

async function prepare(): Promise<void> {
  [keycloak, node] = await Promise.all([
    Keycloak.started(),
    NodeProcess.started(
      { devices: 1, mirrors: 0, deviceSize: "256MiB" },
      { words: ["--oidc-allow-loopback"] },
    ),
  ]);
  client = await S3Client.of(node);
  await client.createBucket("box");
  await client.put("box", "k", "content");
  await keycloak.addRealm("ours", ["kiseki", "stranger"], "readonly");
  await keycloak.addRealm("theirs", ["kiseki"], "readwrite");
  const issuer = `${keycloak.address}/realms/ours`;
  const words = ["oidc", "add", "keycloak", issuer, "--client-ids", "kiseki"];
  expect((await kiseki(["--config-dir", node.configDirectory, ...words])).code).toBe(0);
}

interface Answer {
  readonly code: string;
  readonly text: string;
}
async function assume(token: string): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${node.s3Port}/`, {
    method: "POST",
    body: new URLSearchParams({
      ...{ Action: "AssumeRoleWithWebIdentity", Version: "2011-06-15", WebIdentityToken: token },
    }),
  });
  const text = await answer.text();
  return { code: /<Code>(\w+)</.exec(text)?.[1] ?? String(answer.status), text };
}
const element = (text: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)<`).exec(text)?.[1] ?? "";

/** An S3 call of Bun's own client with what STS gave. */
function s3Of({ text }: Answer): Bun.S3Client {
  return new Bun.S3Client({
    accessKeyId: element(text, "AccessKeyId"),
    secretAccessKey: element(text, "SecretAccessKey"),
    sessionToken: element(text, "SessionToken"),
    endpoint: `http://127.0.0.1:${node.s3Port}`,
    bucket: "box",
    region: "us-east-1",
  });
}

if (isFull) {
  beforeAll(prepare, 450_000);
  afterAll(async () => {
    client?.[Symbol.dispose]();
    await node?.[Symbol.asyncDispose]();
    await keycloak?.[Symbol.asyncDispose]();
  });

  test("a token of Keycloak gives what its claim names, of this realm and client alone", async () => {
    const token = await keycloak.token("ours", "kiseki");
    const given = await assume(token);
    expect(given.code).toBe("200");
    expect(element(given.text, "Audience")).toBe("kiseki");
    const s3 = s3Of(given);
    expect(await s3.file("k").text()).toBe("content");
    await expect(s3.write("new", "x")).rejects.toThrow();

    expect((await assume(await keycloak.token("theirs", "kiseki"))).code).toBe(
      "InvalidIdentityToken",
    );
    expect((await assume(await keycloak.token("ours", "stranger"))).code).toBe(
      "InvalidIdentityToken",
    );
    const [head, body, signature] = token.split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, policy: "readwrite" })).toString(
      "base64url",
    );
    expect((await assume(`${head}.${forged}.${signature}`)).code).toBe("InvalidIdentityToken");
    expect((await assume(`${head}.${body}.${signature.slice(0, -6)}AAAAAA`)).code).toBe(
      "InvalidIdentityToken",
    );
  }, 20_000);

  test("a token of Keycloak that is over is refused", async () => {
    await keycloak.admin("PUT", "/ours", { accessTokenLifespan: 1 });
    const token = await keycloak.token("ours", "kiseki");
    await keycloak.admin("PUT", "/ours", { accessTokenLifespan: 300 });
    const { exp } = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as {
      exp: number;
    };
    await Bun.sleep(exp * 1000 + 31_000 - Date.now()); // the leeway, and a second
    expect((await assume(token)).code).toBe("ExpiredTokenException");
  }, 60_000);

  test("a new key of Keycloak is followed", async () => {
    const kidOf = (token: string): string =>
      (JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()) as { kid: string })
        .kid;
    const old = await keycloak.token("ours", "kiseki");
    expect((await assume(old)).code).toBe("200");
    await keycloak.admin("POST", "/ours/components", {
      ...{
        name: "newer",
        providerId: "rsa-generated",
        providerType: "org.keycloak.keys.KeyProvider",
      },
      config: { priority: ["200"], enabled: ["true"], active: ["true"], keySize: ["2048"] },
    });
    const token = await keycloak.token("ours", "kiseki");
    expect(kidOf(token)).not.toBe(kidOf(old));
    let given = await assume(token);
    for (let tries = 0; given.code !== "200" && tries < 12; tries++) {
      expect(given.code).toBe("InvalidIdentityToken"); // it was asked less than ten seconds ago
      await Bun.sleep(1000);
      given = await assume(token);
    }
    expect(given.code).toBe("200");
    expect((await assume(old)).code).toBe("200"); // still published
  }, 40_000);
}
