import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type NatsSpec, openNats } from "./nats-target.ts";
import type { NotificationTarget } from "./target.ts";
import { openWebhook, type WebhookSpec } from "./webhook-target.ts";

export type TargetSpec = WebhookSpec | NatsSpec;

const targetsMax = 32;
const fileSizeMax = 1024 * 1024;
const timeoutDefault = 10;
const timeoutMax = 60;

class SpecError extends Error {}

/** One object of the file; every field that was asked for is known, the rest is a fault. */
class Fields {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();
  constructor(json: unknown) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new SpecError("is no object");
    }
    this.#json = json as Record<string, unknown>;
  }
  text(name: string): string | undefined {
    this.#asked.add(name);
    const value = this.#json[name];
    if (value !== undefined && (typeof value !== "string" || value === "")) {
      throw new SpecError(`${name} is no text`);
    }
    return value as string | undefined;
  }
  needed(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new SpecError(`lacks ${name}`);
    return value;
  }
  texts(name: string): readonly string[] {
    this.#asked.add(name);
    const value = this.#json[name];
    const isList = Array.isArray(value) && value.every((each) => typeof each === "string");
    if (!isList || value.length === 0) throw new SpecError(`${name} is no list of texts`);
    return value as string[];
  }
  flag(name: string, missing: boolean): boolean {
    this.#asked.add(name);
    const value = this.#json[name] ?? missing;
    if (typeof value !== "boolean") throw new SpecError(`${name} is neither true nor false`);
    return value;
  }
  seconds(name: string): number {
    this.#asked.add(name);
    const value = this.#json[name] ?? timeoutDefault;
    if (typeof value !== "number" || !(value > 0 && value <= timeoutMax)) {
      throw new SpecError(`${name} is no number of seconds up to ${timeoutMax}`);
    }
    return value;
  }
  /** Text of the file that `name` names. */
  file(name: string): string | undefined {
    const path = this.text(name);
    if (path === undefined) return undefined;
    if (!isAbsolute(path)) throw new SpecError(`${name} is no absolute path`);
    return readText(path);
  }
  end(): void {
    const unknown = Object.keys(this.#json).find((name) => !this.#asked.has(name));
    if (unknown !== undefined) throw new SpecError(`has an unknown field ${unknown}`);
  }
}

function readText(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > fileSizeMax) throw new SpecError(`${path} is too large`);
    return text;
  } catch (reason) {
    if (reason instanceof SpecError) throw reason;
    const code = reason instanceof Error && "code" in reason ? String(reason.code) : "unknown";
    throw new SpecError(`${path} cannot be read: ${code}`);
  }
}

function webhookSpec(id: string, fields: Fields): WebhookSpec {
  const url = fields.needed("url");
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["http:", "https:"].includes(parsed.protocol)) {
    throw new SpecError("url is no http or https address");
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new SpecError("url holds credentials: give token_file");
  }
  return {
    type: "webhook",
    id,
    url,
    token: fields.file("token_file")?.trim(),
    authority: fields.file("ca_file"),
    timeoutMs: fields.seconds("timeout_s") * 1000,
  };
}

function natsSpec(id: string, fields: Fields): NatsSpec {
  const servers = fields.texts("servers").map((server) => server.replace(/^(?:nats|tls):\/\//, ""));
  if (
    servers.some((server) => !/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/.test(server))
  ) {
    throw new SpecError("servers are no host:port");
  }
  const subject = fields.needed("subject");
  if (!/^[^\s.*>]+(?:\.[^\s.*>]+)*$/.test(subject) || subject.length > 256) {
    throw new SpecError("subject is no subject that can be published to");
  }
  return {
    type: "nats",
    id,
    servers,
    subject,
    isJetStream: fields.flag("jetstream", true),
    user: fields.text("user"),
    password: fields.file("password_file")?.trim(),
    token: fields.file("token_file")?.trim(),
    credentials: fields.file("credentials_file"),
    authority: fields.file("ca_file"),
    certificate: fields.file("cert_file"),
    certificateKey: fields.file("key_file"),
    timeoutMs: fields.seconds("timeout_s") * 1000,
  };
}

function readSpec(json: unknown): TargetSpec {
  const fields = new Fields(json);
  const id = fields.needed("id");
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id))
    throw new SpecError("id is not 1 to 64 letters, digits, - or _");
  const type = fields.needed("type");
  if (type !== "webhook" && type !== "nats")
    throw new SpecError("type is neither webhook nor nats");
  const spec = type === "webhook" ? webhookSpec(id, fields) : natsSpec(id, fields);
  fields.end();
  return spec;
}

/**
 * Targets of the file at `path` (JSON: `{"targets": [...]}`, see `docs/operations.md`), with every fault in it. An
 * empty path means no targets. Files that it names are read now: secrets are not in it.
 */
export function readTargets(path: string): {
  readonly specs: readonly TargetSpec[];
  readonly faults: readonly string[];
} {
  if (path === "") return { specs: [], faults: [] };
  const specs: TargetSpec[] = [];
  const faults: string[] = [];
  const attempt = (what: string, act: () => void): void => {
    try {
      act();
    } catch (reason) {
      const isTold = reason instanceof SpecError || reason instanceof SyntaxError;
      if (!isTold) throw reason;
      faults.push(`${what} ${reason instanceof SyntaxError ? "is no JSON" : reason.message}`);
    }
  };
  attempt(path, () => {
    const root: unknown = JSON.parse(readText(path));
    const targets =
      typeof root === "object" && root !== null && "targets" in root ? root.targets : undefined;
    if (!Array.isArray(targets) || targets.length > targetsMax) {
      throw new SpecError(`has no list "targets" of at most ${targetsMax}`);
    }
    for (const [at, json] of targets.entries()) {
      attempt(`target ${at + 1} of ${path}`, () => {
        const spec = readSpec(json);
        if (specs.some(({ id }) => id === spec.id))
          throw new SpecError(`has the id ${spec.id} of another`);
        specs.push(spec);
      });
    }
  });
  return { specs, faults };
}

export const openTarget = (spec: TargetSpec): NotificationTarget =>
  spec.type === "webhook" ? openWebhook(spec) : openNats(spec);
