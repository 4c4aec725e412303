import { expect, test } from "bun:test";
import {
  ConfigError,
  describeSettings,
  parseSettings,
  type SettingSources,
} from "./parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "./server-settings.ts";
import { isLoopback, parseAddress, parseSize, showSize } from "./setting.ts";

const sources = (part: Partial<SettingSources>): SettingSources => ({
  words: [],
  environment: {},
  file: "",
  ignored: ignoredVariables,
  foreign: foreignVariables,
  ...part,
});
const required = ["--data-dir", "/d", "--config-dir", "/c"];

test("parseSettings() takes flags before the environment before the file before the default", () => {
  const read = (part: Partial<SettingSources>) =>
    parseSettings(serverSettings, sources({ words: required, ...part })).settings.threads;
  const file = "# a comment\nKISEKI_DATAPATH_THREADS=3\n";
  const environment = { KISEKI_DATAPATH_THREADS: "4" };
  expect(read({})).toBe(2);
  expect(read({ file })).toBe(3);
  expect(read({ file, environment })).toBe(4);
  expect(read({ file, environment, words: [...required, "--datapath-threads", "5"] })).toBe(5);
});

test("parseSettings() names every fault at once, with what was given and what may be", () => {
  const environment = { KISEKI_S3_ADDR: "nowhere", KISEKI_NO_SUCH: "1", KISEKI_NFS_ADDR: "x:1" };
  const words = ["--data-dir", "/d", "--kek-ttl-s", "4", "--log-level", "loud"];
  let faults: readonly string[] = [];
  try {
    parseSettings(serverSettings, sources({ words, environment, file: "nonsense\n" }));
  } catch (reason) {
    if (reason instanceof ConfigError) faults = reason.faults;
  }
  expect(faults).toEqual([
    "line 1 of the configuration file is not NAME=value",
    "KISEKI_NO_SUCH is not a variable of this program",
    "--config-dir (KISEKI_CONFIG_DIR) is required: folder of the node secret and credentials; never inside the data directory",
    '--s3-addr (KISEKI_S3_ADDR) cannot be "nowhere": it takes host:port',
    '--kek-ttl-s (KISEKI_KEK_TTL_S) cannot be "4": it takes an integer from 5 to 300',
    '--log-level (KISEKI_LOG_LEVEL) cannot be "loud": it takes debug, info, warn, error',
  ]);
});

test("parseSettings() warns of variables that mean nothing here and refuses unknown flags", () => {
  const { warnings } = parseSettings(
    serverSettings,
    sources({ words: required, environment: { KISEKI_RAFT_ADDR: "a:1", HOME: "/root" } }),
  );
  expect(warnings).toEqual(["KISEKI_RAFT_ADDR means nothing on a single node; ignored"]);
  expect(() => parseSettings(serverSettings, sources({ words: [...required, "--wrong"] }))).toThrow(
    "--wrong",
  );
});

test("parseSize(), parseAddress() and isLoopback() read what people write", () => {
  expect(["512", "64KiB", "64k", "1 GiB", "2t"].map((text) => parseSize(text))).toEqual([
    512, 65_536, 65_536, 1_073_741_824, 2_199_023_255_552,
  ]);
  expect(["", "-1", "1.5G", "10x", "99999999999999999999"].map((text) => parseSize(text))).toEqual(
    Array.from({ length: 5 }, () => undefined),
  );
  expect(parseAddress("[::1]:9000")).toEqual({ host: "::1", port: 9000 });
  expect(parseAddress("host:65536")).toBeUndefined();
  expect(parseAddress("9000")).toBeUndefined();
  expect(["127.0.0.1", "::1", "localhost", "127.9.9.9"].every(isLoopback)).toBe(true);
  expect(["0.0.0.0", "128.0.0.1", "127.0.0.1.example.org", "::"].some(isLoopback)).toBe(false);
});

test("describeSettings() has a line for each setting", () => {
  const lines = describeSettings(serverSettings).split("\n");
  expect(lines.length).toBe(Object.keys(serverSettings).length);
  expect(lines.every((line) => /^ {2}--[a-z0-9-]+/.test(line) && line.includes("[KISEKI_"))).toBe(
    true,
  );
});

test("showSize() writes what parseSize() reads", () => {
  const sizes = [0, 1, 1000, 1024, 1536, 128 * 1024 ** 2, 64 * 1024 ** 4, 3 * 1024 ** 3 + 1];
  expect(sizes.map((size) => parseSize(showSize(size)))).toEqual(sizes);
  expect(showSize(128 * 1024 ** 2)).toBe("128MiB");
});
