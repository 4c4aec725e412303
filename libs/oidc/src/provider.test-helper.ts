/** An identity provider with real keys on a port of this machine. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

/** Making an RSA key takes a while. */
let shared: Promise<Key> | undefined;

export class TestProvider implements AsyncDisposable {
  readonly keys: Key[] = [];
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** What is answered instead, by path. */
  readonly answers = new Map<
    string,
    (request: IncomingMessage, response: ServerResponse) => void
  >();
  readonly #server = createServer((request, response) => this.#answer(request, response));

  /** With a key that all providers of the process share, unless it is to be `fresh`. */
  static async open(isFresh = false): Promise<TestProvider> {
    const provider = new TestProvider();
    await new Promise<void>((done) => provider.#server.listen(0, "127.0.0.1", done));
    if (isFresh) await provider.addKey("RS256");
    else provider.keys.push(await (shared ??= provider.#newKey("RS256")));
    return provider;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get issuer(): string {
    return `http://127.0.0.1:${this.port}/realms/test`;
  }

  async addKey(alg: string): Promise<Key> {
    const key = await this.#newKey(alg);
    this.keys.push(key);
    return key;
  }
  async #newKey(alg: string): Promise<Key> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `${alg}-${this.keys.length}`;
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: "sig" };
    return { kid, alg, privateKey, jwk };
  }

  /** A token of the last key; `change` replaces claims, `undefined` takes one out. */
  async token(
    change: Readonly<Record<string, unknown>> = {},
    key = this.keys.at(-1)!,
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: this.issuer,
      sub: "ann",
      aud: "app",
      iat: now,
      exp: now + 300,
      ...change,
    };
    return new SignJWT(claims as JWTPayload)
      .setProtectedHeader({ alg: key.alg, kid: key.kid })
      .sign(key.privateKey);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    this.asked.push(path);
    const own = this.answers.get(path);
    if (own !== undefined) return own(request, response);
    const documents: Readonly<Record<string, unknown>> = {
      "/realms/test/.well-known/openid-configuration": {
        issuer: this.issuer,
        jwks_uri: `${this.issuer}/certs`,
      },
      "/realms/test/certs": { keys: this.keys.map(({ jwk }) => jwk) },
    };
    const json = documents[path];
    response.statusCode = json === undefined ? 404 : 200;
    response.end(JSON.stringify(json ?? {}));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
