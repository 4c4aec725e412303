import { expect, test } from "bun:test";
import { cryptoContract } from "@kiseki/ports/contract";
import { openAwsLc } from "./aws-lc.ts";

const awsLc = openAwsLc(`${import.meta.dir}/../../../build/native`);
cryptoContract("AWS-LC", awsLc);

test("openAwsLc() names module and version", () => {
  expect(awsLc.version).toMatch(/^AWS-LC \d+\.\d+/);
});

test("openSecret() gives locked memory that throws after disposal", async () => {
  const status = async () =>
    Number(/VmLck:\s+(\d+) kB/.exec(await Bun.file("/proc/self/status").text())![1]);
  const lockedBefore = await status();
  const secret = awsLc.openSecret(64);
  secret.bytes.fill(7);
  expect(secret.bytes.byteLength).toBe(64);
  expect(await status()).toBe(lockedBefore + 4);
  secret[Symbol.dispose]();
  expect(() => secret.bytes).toThrow("the secret is still held");
  expect(await status()).toBe(lockedBefore);
});
