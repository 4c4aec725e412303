import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cached } from "./tools.ts";
import { plainEnvironment } from "./node-process.ts";

const startMs = 400_000; // a quarter of a minute on an idle machine

const password = "admin-of-the-test";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** A Keycloak of its own, on loopback, with nothing on disk but its log; ended by its process group. */
export class Keycloak implements AsyncDisposable {
  readonly address: string;
  readonly #child: ReturnType<typeof spawnKeycloak>;
  readonly #folder: string;

  private constructor(address: string, child: ReturnType<typeof spawnKeycloak>, folder: string) {
    this.address = address;
    this.#child = child;
    this.#folder = folder;
  }

  static async started(): Promise<Keycloak> {
    const [port, management] = [await freePort(), await freePort()];
    const folder = await mkdtemp(join(tmpdir(), "kiseki-keycloak-"));
    const child = spawnKeycloak(port, management, folder);
    const keycloak = new Keycloak(`http://127.0.0.1:${port}`, child, folder);
    const end = Date.now() + startMs;
    while (!(await keycloak.#isReady())) {
      if (Date.now() > end || child.exitCode !== null) {
        const log = await Bun.file(join(folder, "log")).text();
        await keycloak[Symbol.asyncDispose]();
        throw new Error(`Keycloak does not start:\n${log.slice(-2000)}`);
      }
      await Bun.sleep(500);
    }
    return keycloak;
  }
  async #isReady(): Promise<boolean> {
    const answer = await fetch(`${this.address}/realms/master`).catch(() => undefined);
    return answer?.ok === true;
  }

  /** Administration over REST. */
  async admin(method: string, path: string, body?: object): Promise<unknown> {
    const token = await this.token("master", "admin-cli", "admin", password);
    const answer = await fetch(`${this.address}/admin/realms${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  /** A realm with the user `ann` and public clients whose tokens carry audience and policy as they are told. */
  async addRealm(realm: string, clients: readonly string[], policy: string): Promise<void> {
    const mapper = (name: string, kind: string, config: Record<string, string>) => ({
      ...{ name, protocol: "openid-connect", protocolMapper: kind },
      config: { "access.token.claim": "true", "id.token.claim": "true", ...config },
    });
    await this.admin("POST", "", {
      realm,
      enabled: true,
      users: [
        {
          ...{ username: "ann", enabled: true, email: "ann@a.example", emailVerified: true },
          ...{ firstName: "Ann", lastName: "A" },
          credentials: [{ type: "password", value: "secret", temporary: false }],
        },
      ],
      clients: clients.map((clientId) => ({
        ...{ clientId, publicClient: true, directAccessGrantsEnabled: true },
        protocolMappers: [
          mapper("policy", "oidc-hardcoded-claim-mapper", {
            ...{ "claim.name": "policy", "claim.value": policy, "jsonType.label": "String" },
          }),
        ],
      })),
    });
  }

  /** An access token by user and password. */
  async token(realm: string, client: string, username = "ann", secret = "secret"): Promise<string> {
    const answer = await fetch(`${this.address}/realms/${realm}/protocol/openid-connect/token`, {
      method: "POST",
      body: new URLSearchParams({
        ...{
          grant_type: "password",
          client_id: client,
          username,
          password: secret,
          scope: "openid",
        },
      }),
    });
    const json = (await answer.json()) as { readonly access_token?: string };
    if (json.access_token === undefined) throw new Error(JSON.stringify(json));
    return json.access_token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) process.kill(-this.#child.pid, "SIGKILL");
    await this.#child.exited;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function spawnKeycloak(port: number, management: number, folder: string) {
  const program = cached("keycloak-26.4.0/bin/kc.sh", "--tests-full");
  const words = [
    // `scripts/setup` has built it for a database in memory.
    ...["start", "--optimized", "--http-enabled=true", "--hostname-strict=false", "--cache=local"],
    ...["--http-host=127.0.0.1", `--http-port=${port}`, `--http-management-port=${management}`],
  ];
  // A session of its own, so that the shell and its Java end together.
  return Bun.spawn(["setsid", "bash", program, ...words], {
    env: {
      ...plainEnvironment(),
      KC_BOOTSTRAP_ADMIN_USERNAME: "admin",
      KC_BOOTSTRAP_ADMIN_PASSWORD: password,
      JAVA_OPTS_KC_HEAP: "-Xms64m -Xmx384m",
    },
    stdin: "ignore",
    stdout: Bun.file(join(folder, "log")),
    stderr: Bun.file(join(folder, "log")),
  });
}
