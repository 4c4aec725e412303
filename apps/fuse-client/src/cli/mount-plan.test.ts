import { expect, test } from "bun:test";
import { policyUsual } from "@kiseki/cache";
import { mountFlags } from "@kiseki/fuse-device";
import { CommandError } from "@kiseki/cli";
import { type MountWords, parseSource, planMount } from "./mount-plan.ts";
import { clampSettings } from "./settings.ts";

const words: MountWords = {
  target: "/mnt/data",
  connection: { dataAddr: "node1:9100,node2:9100", tenant: "lab", namespace: "data" },
  isReadOnly: false,
  options: [],
};
const withOptions = (...options: string[]): MountWords => ({ ...words, options });

function faultsOf(act: () => unknown): string {
  try {
    act();
  } catch (reason) {
    if (reason instanceof CommandError && reason.exit === 2) return reason.message;
    throw reason;
  }
  return "";
}

test("planMount() has the seed's defaults", () => {
  const plan = planMount(words, {});
  expect(plan.settings).toEqual({
    cacheMode: "organic",
    cacheDirectory: "/tmp/kiseki-cache",
    cacheL1Max: 256 * 1024 ** 2,
    cacheL2Max: 50 * 1024 ** 3,
    metaTtlMs: 5000,
  });
  expect(plan).toMatchObject({
    source: "node1:9100,node2:9100/lab/data",
    kernelOptions: ["default_permissions"],
    flags: mountFlags.noSuid | mountFlags.noDevices,
    isReadOnly: false,
    readerCount: 1,
    notes: [],
  });
});

test("planMount() takes -o before the environment; policy's ceilings hold for both", () => {
  const poolId = "0a".repeat(16);
  const environment = {
    KISEKI_CACHE_META_TTL_MS: "100",
    KISEKI_CACHE_L1_MAX: "64M",
    KISEKI_CACHE_POOL_ID: poolId,
  };
  const { settings } = planMount(withOptions("meta_ttl_ms=200"), environment);
  expect(settings).toMatchObject({ metaTtlMs: 200, cacheL1Max: 64 << 20, poolId });
  expect(clampSettings(settings, policyUsual)).toEqual({ settings, notes: [] });
  const narrow = { ...policyUsual, sizeMax: 1 << 20, metadataTtlMs: 60 };
  const clamped = clampSettings(settings, { ...narrow, modesAllowed: ["bypass"] });
  expect(clamped.settings).toMatchObject({
    ...{ cacheMode: "bypass", cacheL1Max: 1 << 20, cacheL2Max: 1 << 20, metaTtlMs: 60 },
  });
  expect(clamped.notes.join("\n")).toMatch(
    /cache_mode is bypass[\s\S]*cache_l1_max[\s\S]*meta_ttl_ms is 60/,
  );
  const disabled = clampSettings(settings, { ...policyUsual, isEnabled: false });
  expect(disabled.settings.cacheMode).toBe("bypass");
});

test("planMount() reads words of mount(8) and leaves those for others alone", () => {
  const ro = planMount(withOptions("defaults,_netdev,nofail,x-systemd.automount", "rw,ro"), {});
  expect([ro.isReadOnly, ro.flags & mountFlags.readOnly]).toEqual([true, 1]);
  expect(planMount(withOptions("ro,rw"), {}).isReadOnly).toBe(false);
  expect(planMount({ ...words, isReadOnly: true }, {}).flags & 1).toBe(1);
  const loose = planMount(withOptions("suid,dev,noexec,allow_other,no_default_permissions"), {});
  expect(loose.flags).toBe(mountFlags.noExecute);
  expect(loose.kernelOptions).toEqual(["allow_other"]);
  expect(planMount(withOptions("token_file=/t,ca=/c"), {}).identity).toMatchObject({
    tokenFile: "/t",
    ca: "/c",
  });
});

test("planMount() tells every fault at once", () => {
  const bad = withOptions(
    "cache_mode=lots,frobnicate,meta_ttl_ms,readers=9,timeout_s=0",
    "cache_l2_max=5X",
  );
  const text = faultsOf(() =>
    planMount(
      { ...bad, connection: { tenant: "" } },
      {
        KISEKI_CACHE_L1_MAX: "-1",
        KISEKI_CACHE_DIR: "relative",
      },
    ),
  );
  for (const part of [
    ...["--data-addr", "--tenant", "--namespace", "-o frobnicate is not known"],
    ...[
      "-o meta_ttl_ms needs a value",
      '-o cache_mode cannot be "lots"',
      "-o readers",
      "-o timeout_s is",
    ],
    ...['KISEKI_CACHE_L1_MAX cannot be "-1"', "-o cache_l2_max", "KISEKI_CACHE_DIR"],
  ])
    expect(text).toContain(part);
  const half = { ...words, connection: { ...words.connection, cert: "/c" } };
  expect(faultsOf(() => planMount(half, {}))).toContain("--cert and --key");
});

test("planMount() says what has no effect", () => {
  const environment = { KISEKI_CACHE_POOL_ID: "0a".repeat(16) };
  const plan = planMount(withOptions("cache_l1_max=0,cache_l2_max=100G"), environment);
  expect(plan.settings.cacheL2Max).toBe(100 * 1024 ** 3);
  expect(plan.notes).toHaveLength(1);
  expect(planMount(withOptions("cache_mode=bypass"), environment).notes).toHaveLength(1);
  const bad = { KISEKI_CACHE_POOL_ID: "../etc" };
  expect(faultsOf(() => planMount(words, bad))).toContain("KISEKI_CACHE_POOL_ID");
});

test("parseSource() takes host:port/tenant/namespace and nothing else", () => {
  expect(parseSource("[::1]:9100,b:1/t/n")).toEqual({
    dataAddr: "[::1]:9100,b:1",
    tenant: "t",
    namespace: "n",
  });
  for (const source of ["host:9100", "host:9100/t", "host/t/n/x", "/t/n", "host//n"])
    expect(faultsOf(() => parseSource(source))).toContain("host:9100/tenant/namespace");
});

test("planMount() takes a workflow of a UUID or hex digits, -o before the variable", () => {
  const id = "00112233-4455-6677-8899-aabbccddeeff";
  const environment = { KISEKI_WORKFLOW_REF: "00".repeat(16) };
  expect(planMount(words, environment).workflow).toBe("00".repeat(16));
  const said = planMount(withOptions(`workflow_ref=${id}`), environment);
  expect(said.workflow).toBe(id.replaceAll("-", ""));
  expect(planMount(words, {}).workflow).toBeUndefined();
  expect(faultsOf(() => planMount(withOptions("workflow_ref=mine"), {}))).toContain("workflow_ref");
});
