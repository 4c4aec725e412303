/** A client of STS that signs by hand. */
import { createHash, createHmac } from "node:crypto";
import { type Bed, type Reply, stampNow, type User } from "../bed.test-helper.ts";

export interface Session extends User {
  readonly token: string;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

export class StsClient {
  readonly #bed: Bed;
  constructor(bed: Bed) {
    this.#bed = bed;
  }

  /** Posts an action; unsigned without a `user`. */
  ask(
    user: User | Session | undefined,
    parameters: Readonly<Record<string, string>>,
    change: { readonly service?: string; readonly body?: string; readonly date?: string } = {},
  ): Promise<Reply> {
    const body = new URLSearchParams({ Version: "2011-06-15", ...parameters }).toString();
    const date = change.date ?? stampNow();
    const headers: Record<string, string> = {
      "content-type": "application/x-www-form-urlencoded; charset=utf-8",
      host: this.#bed.host,
    };
    if (user === undefined) return this.#bed.send("POST", "/", headers, body);
    headers["x-amz-date"] = date;
    if ("token" in user) headers["x-amz-security-token"] = user.token;
    const names = Object.keys(headers).toSorted();
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
    const canonical = `POST\n/\n\n${lines}\n${names.join(";")}\n${sha256(body)}`;
    const scope = `${date.slice(0, 8)}/us-east-1/${change.service ?? "sts"}/aws4_request`;
    let key: Buffer | string = `AWS4${user.secret}`;
    for (const step of scope.split("/")) key = createHmac("sha256", key).update(step).digest();
    const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
    const signature = createHmac("sha256", key).update(text).digest("hex");
    headers["authorization"] =
      `AWS4-HMAC-SHA256 Credential=${user.id}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
    return this.#bed.send("POST", "/", headers, change.body ?? body);
  }

  /** An action in a query, signed there, as EKS tokens are. */
  askByQuery(user: User | Session, parameters: Readonly<Record<string, string>>): Promise<Reply> {
    const date = stampNow();
    const scope = `${date.slice(0, 8)}/us-east-1/sts/aws4_request`;
    const query = Object.entries({
      Version: "2011-06-15",
      ...parameters,
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": `${user.id}/${scope}`,
      "X-Amz-Date": date,
      "X-Amz-Expires": "60",
      "X-Amz-SignedHeaders": "host",
      ...("token" in user ? { "X-Amz-Security-Token": user.token } : {}),
    })
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .toSorted()
      .join("&");
    const canonical = `GET\n/\n${query}\nhost:${this.#bed.host}\n\nhost\n${sha256("")}`;
    let key: Buffer | string = `AWS4${user.secret}`;
    for (const step of scope.split("/")) key = createHmac("sha256", key).update(step).digest();
    const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
    const signature = createHmac("sha256", key).update(text).digest("hex");
    return this.#bed.send("GET", `/?${query}&X-Amz-Signature=${signature}`, {
      host: this.#bed.host,
    });
  }

  /** Credentials that an action gave. */
  async session(
    user: User | Session | undefined,
    parameters: Readonly<Record<string, string>>,
  ): Promise<Session & { readonly expires: number; readonly text: string }> {
    const { status, text } = await this.ask(user, parameters);
    if (status !== 200) throw new Error(text);
    return {
      id: element(text, "AccessKeyId"),
      secret: element(text, "SecretAccessKey"),
      token: element(text, "SessionToken"),
      expires: Date.parse(element(text, "Expiration")),
      text,
    };
  }

  /** An S3 call with temporary credentials. */
  s3(session: Session, method: string, target: string, body?: string): Promise<Reply> {
    const headers = { "x-amz-security-token": session.token };
    return this.#bed.call(
      session,
      method,
      target,
      body === undefined ? { headers } : { headers, body },
    );
  }
}

export const element = (text: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? "";
/** Status and code of a refusal; the status alone of an answer. */
export const codeOf = ({ status, text }: Reply): string =>
  `${status} ${element(text, "Code")}`.trim();
