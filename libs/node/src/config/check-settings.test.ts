import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkServerSettings } from "./check-settings.ts";
import { ConfigError, parseSettings } from "./parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "./server-settings.ts";

function faultsOf(...words: string[]): readonly string[] {
  const sources = {
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  };
  const places = ["--data-dir", "/d", "--config-dir", "/c"];
  try {
    parseSettings(
      serverSettings,
      { ...sources, words: [...places, ...words] },
      checkServerSettings,
    );
  } catch (reason) {
    if (reason instanceof ConfigError) return reason.faults;
    throw reason;
  }
  return [];
}

test("checkServerSettings() has nothing to say of a node on loopback", () => {
  expect(faultsOf()).toEqual([]);
  expect(faultsOf("--s3-addr", "0.0.0.0:9000", "--allow-plaintext-s3")).toEqual([]);
});

test("checkServerSettings() names every fault between settings beside those within them", () => {
  const words = [
    "--s3-addr",
    "0.0.0.0:9000",
    "--data-addr",
    "[::]:9100",
    "--metrics-addr",
    "10.0.0.1:9090",
  ];
  const faults = faultsOf(
    ...words,
    "--key-path",
    "/no/such.pem",
    "--kek-ttl-s",
    "1",
    "--nonsense",
    "--wrong=1",
  );
  const begins = [
    "--nonsense is not a flag",
    "--wrong is not a flag",
    "--kek-ttl-s (KISEKI_KEK_TTL_S) cannot be",
    "--cert-path (KISEKI_CERT_PATH) and --key-path (KISEKI_KEY_PATH) are given together",
    "--key-path (KISEKI_KEY_PATH) /no/such.pem cannot be read: ENOENT",
    "--s3-addr (KISEKI_S3_ADDR) 0.0.0.0 is beyond this machine",
    "--metrics-addr (KISEKI_METRICS_ADDR) 10.0.0.1 is beyond",
    "--data-addr (KISEKI_DATA_ADDR) :: is beyond",
  ];
  expect(faults).toEqual(begins.map((begin) => expect.stringContaining(begin)));
});

test("checkServerSettings() lets bulk frames go beyond this machine under certificates, or where that is allowed", () => {
  const begin = "--bulk-addr (KISEKI_BULK_ADDR) 0.0.0.0 is beyond this machine: give --ca-path";
  expect(faultsOf("--bulk-addr", "0.0.0.0:9102")).toEqual([expect.stringContaining(begin)]);
  expect(faultsOf("--bulk-addr", "0.0.0.0:9102", "--allow-plaintext-s3")).toEqual([]);
});

test("checkServerSettings() wants the node secret apart from the data, and each folder once", () => {
  expect(faultsOf("--config-dir", "/d/config")).toEqual([expect.stringContaining("is inside /d:")]);
  expect(faultsOf("--mirror", "/m", "--config-dir", "/m")).toEqual([
    expect.stringContaining("is inside /m:"),
  ]);
  expect(faultsOf("--mirror", "/d/../d")).toEqual([expect.stringContaining("named twice")]);
  expect(faultsOf("--devices", "/x,/y,/x")).toEqual([expect.stringContaining("/x is named twice")]);
});

test("checkServerSettings() looks into the files that are named", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiseki-config-"));
  try {
    const path = join(folder, "no.pem");
    writeFileSync(path, "not a certificate");
    expect(faultsOf("--cert-path", path, "--key-path", path)).toEqual([
      expect.stringContaining(
        "--cert-path (KISEKI_CERT_PATH) with --key-path (KISEKI_KEY_PATH) cannot be used",
      ),
    ]);
    expect(faultsOf("--metrics-token-file", path)).toEqual([]);
    writeFileSync(path, "short\n");
    expect(faultsOf("--metrics-token-file", path)).toEqual([
      expect.stringContaining("holds no token"),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("parseSettings() says of each word on the command line what is wrong with it", () => {
  expect(faultsOf("--constructor", "x")[0]).toStartWith("--constructor is not a flag");
  expect(faultsOf("word", "--force=yes", "--s3-domains")).toEqual([
    '"word" is not a flag',
    "--force takes no value",
    "--s3-domains needs a value",
  ]);
});

test("checkServerSettings() takes addresses that clients are told, with a port", () => {
  expect(faultsOf("--advertise-data-addr", "storage.example.org:443")).toEqual([]);
  expect(faultsOf("--advertise-bulk-addr", "storage.example.org")).toHaveLength(1);
  expect(faultsOf("--advertise-s3-addr", "storage.example.org:0")).toHaveLength(1);
});
