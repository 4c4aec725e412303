import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTargets } from "./read-targets.ts";

function read(json: unknown, files: Readonly<Record<string, string>> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "kiseki-targets-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const text =
      typeof json === "string" ? json : JSON.stringify(json).replaceAll("@/", `${folder}/`);
    writeFileSync(join(folder, "targets"), text);
    return readTargets(join(folder, "targets"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const hook = { id: "hook", type: "webhook", url: "https://example.org/" };
const bus = { id: "bus", type: "nats", servers: ["nats://127.0.0.1:4222"], subject: "a.b" };

test("readTargets() reads both kinds, and secrets from the files that are named", () => {
  const targets = [
    { ...hook, token_file: "@/token", timeout_s: 3 },
    { ...bus, user: "u", password_file: "@/password" },
  ];
  const { specs, faults } = read({ targets }, { token: "t0ken\n", password: "pass\n" });
  expect(faults).toEqual([]);
  expect(specs).toMatchObject([
    { type: "webhook", id: "hook", token: "t0ken", timeoutMs: 3000 },
    { type: "nats", servers: ["127.0.0.1:4222"], isJetStream: true, password: "pass" },
  ]);
  expect(readTargets("")).toEqual({ specs: [], faults: [] });
});

test("readTargets() tells every fault, and no secret", () => {
  const bad: readonly unknown[] = [
    { ...hook, url: "ftp://x/" },
    { ...hook, url: "https://user:secret@x/" },
    { ...hook, token: "secret" },
    { ...hook, token_file: "relative" },
    { ...hook, token_file: "@/missing" },
    { ...hook, timeout_s: 61 },
    { ...hook, id: "a b" },
    { ...hook, type: "mail" },
    { ...bus, servers: [] },
    { ...bus, servers: ["a b"] },
    { ...bus, subject: "a.>" },
    { ...bus, jetstream: "yes" },
    "text",
    hook,
    hook,
  ];
  const { specs, faults } = read({ targets: bad });
  expect(specs).toHaveLength(1);
  expect(faults).toHaveLength(bad.length - 1);
  expect(faults.join()).not.toContain("secret");
  for (const json of ["{", "[]", "null", { targets: 1 }, { targets: Array(33).fill(hook) }]) {
    expect(read(json).faults).toHaveLength(1);
  }
});
