import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeRules, policyConservative, policyUsual } from "@kiseki/cache";
import { tenant } from "./cache-bed.test-helper.ts";
import { resolvePolicy } from "./persisted-policy.ts";

const asked = { ...policyUsual, sizeMax: 7, nodeSizeMax: 9 };
const silent = Promise.resolve(undefined);

async function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kiseki-policy-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("resolvePolicy() takes what the node says, else what it said last, else what allows little", async () => {
  await using at = await folder();
  const resolve = (policy: Promise<typeof asked | undefined>) =>
    resolvePolicy(policy, at.path, tenant);
  expect(await resolve(silent)).toEqual({ policy: policyConservative, source: "conservative" });
  expect(await resolve(Promise.resolve(asked))).toEqual({ policy: asked, source: "node" });
  expect(await resolve(silent)).toEqual({ policy: asked, source: "persisted" });
  // Of another tenant nothing is known.
  const other = await resolvePolicy(silent, at.path, "cd".repeat(16));
  expect(other.source).toBe("conservative");
  const path = join(at.path, tenant, "policy.json");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).toBe(encodeRules(asked));
});

test("resolvePolicy() believes no file that is damaged, too large, or open to others", async () => {
  await using at = await folder();
  const path = join(at.path, tenant, "policy.json");
  await mkdir(join(at.path, tenant), { mode: 0o700 });
  const whole = encodeRules(asked);
  for (const [text, mode] of [
    ["{", 0o600],
    ['{"version":1,"sizeMax":7}', 0o600],
    [whole + " ".repeat(70_000), 0o600],
    [whole, 0o622],
  ] as const) {
    await writeFile(path, text);
    await chmod(path, mode);
    const { policy, source } = await resolvePolicy(silent, at.path, tenant);
    expect([policy, source]).toEqual([policyConservative, "conservative"]);
  }
  await chmod(path, 0o600);
  expect((await resolvePolicy(silent, at.path, tenant)).policy).toEqual(asked);
});

test("resolvePolicy() needs no folder that it can write", async () => {
  await using at = await folder();
  await writeFile(join(at.path, tenant), "a file");
  const found = await resolvePolicy(Promise.resolve(asked), at.path, tenant);
  expect(found).toEqual({ policy: asked, source: "node" });
});
