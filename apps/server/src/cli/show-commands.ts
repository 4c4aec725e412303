import { CommandError, exitCode, formatSize } from "@kiseki/cli";
import { formatDuration, formatQuota, formatTable, formatTime } from "./format.ts";
import { countOption, type Session, sizeOption, textOption, type Work } from "./session.ts";
import { readPolicy } from "./user-commands.ts";

interface KeyLimits {
  readonly requestsPerSecond?: number | undefined;
  readonly burst?: number | undefined;
  readonly bytesPerSecond?: bigint | undefined;
  readonly requestsAtOnce?: number | undefined;
}

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });

export const showStatus: Work = async (session) => {
  const { console } = session;
  const client = await session.client();
  const status = await client.getStatus({}, call(session));
  console.emit(status);
  const { capacity } = status;
  const rows: [string, string][] = [
    ["Node", `${status.nodeId}, version ${status.version}`],
    ["State", status.isReady ? "ready" : "not ready"],
    ["Up", `${formatDuration(status.nowUnixMs - status.startedUnixMs)}, start ${status.epoch}`],
    ["S3", status.s3Endpoint],
    [
      "Buckets",
      `${status.bucketCount}, ${status.objectCount} objects, ${formatSize(status.objectBytes)}`,
    ],
    ...(status.quota === undefined
      ? []
      : [["Quota", formatQuota(status.quota)] as [string, string]]),
    [
      "Devices",
      `${formatSize(capacity?.usedBytes ?? 0n)} of ${formatSize(capacity?.totalBytes ?? 0n)} used, ${capacity?.state ?? "unknown"}`,
    ],
    ["Chunks", `${status.chunkCount}, ${status.repairQueued} waiting for repair`],
  ];
  console.say(rows.map(([name, value]) => `${name.padEnd(9)}${value}`).join("\n"));
  if (status.pools.length > 1) console.say(`\n${poolTable(status.pools)}`);
  console.say(`\n${deviceTable(status.devices)}`);
  const members = status.members.map(({ directory, state }) => [directory, state]);
  console.say(`\n${formatTable(["DIRECTORY", "STATE"], members)}`);
  for (const alert of status.alerts) console.say(`\n! ${alert}`);
  return exitCode.ok;
};

interface ShownDevice {
  readonly deviceId: string;
  readonly path: string;
  readonly state: string;
  readonly reason: string;
  readonly totalBytes: bigint;
  readonly usedBytes: bigint;
  readonly faultCount: bigint;
  readonly pool: string;
}
interface ShownPool {
  readonly name: string;
  readonly storageClasses: readonly string[];
  readonly capacity?:
    { readonly usedBytes: bigint; readonly totalBytes: bigint; readonly state: string } | undefined;
  readonly profile: string;
}
const poolTable = (pools: readonly ShownPool[]): string =>
  formatTable(
    ["POOL", "STATE", "USED", "SIZE", "WRITES", "STORAGE CLASSES"],
    pools.map(({ name, storageClasses, capacity, profile }) => [
      name,
      capacity?.state ?? "unknown",
      formatSize(capacity?.usedBytes ?? 0n),
      formatSize(capacity?.totalBytes ?? 0n),
      profile === "" ? "refused" : profile,
      storageClasses.length === 0 ? "-" : storageClasses.join(", "),
    ]),
  );

function deviceTable(devices: readonly ShownDevice[]): string {
  return formatTable(
    ["DEVICE", "POOL", "STATE", "USED", "SIZE", "FAULTS", "PATH"],
    devices.map((device) => [
      device.deviceId,
      device.pool,
      device.reason === "" ? device.state : `${device.state} (${device.reason})`,
      formatSize(device.usedBytes),
      formatSize(device.totalBytes),
      String(device.faultCount),
      device.path === "" ? "-" : device.path,
    ]),
  );
}

export const listDevices: Work = async (session) => {
  const client = await session.client();
  const { devices } = await client.listDevices({}, call(session));
  for (const device of devices) session.console.emit(device);
  session.console.say(deviceTable(devices));
  return exitCode.ok;
};

const marks: Readonly<Record<string, string>> = { ok: "ok", warning: "WARN", fault: "FAULT" };

/** Exit code 1 when a check found a fault; warnings leave it 0. */
export const runDoctor: Work = async (session) => {
  const { console } = session;
  const client = await session.client();
  const { findings } = await client.diagnose({}, call(session));
  for (const finding of findings) console.emit(finding);
  for (const { check, outcome, detail, advice } of findings) {
    console.say(`${(marks[outcome] ?? outcome).padEnd(6)}${check}: ${detail}`);
    if (advice !== "") console.say(`      ${advice}`);
  }
  const count = (wanted: string): number =>
    findings.filter(({ outcome }) => outcome === wanted).length;
  const faults = count("fault");
  console.say(`\n${findings.length} checks, ${faults} faults, ${count("warning")} warnings`);
  return faults > 0 ? exitCode.general : exitCode.ok;
};

/** Of this command and, when one answers, of the node. */
export function showVersion(own: string): Work {
  return async (session) => {
    const { console } = session;
    const ownRuntime = `Bun ${process.versions.bun ?? "unknown"}`;
    const client = await session.client().catch(() => undefined);
    const node = await client?.getVersion({}, call(session)).catch(() => undefined);
    console.emit({ version: own, runtime: ownRuntime, node: node ?? null });
    console.say(`kiseki ${own} (${ownRuntime})`);
    if (node === undefined) console.say("node: none answers");
    else {
      const fips = node.cryptoIsFips ? ", FIPS module" : "";
      console.say(`node ${node.version} (${node.runtime}), ${node.cryptoModule}${fips}`);
    }
    return exitCode.ok;
  };
}

export const listBuckets: Work = async (session) => {
  const { console } = session;
  const client = await session.client();
  const rows: string[][] = [];
  for (let after = ""; ;) {
    const { buckets, next } = await client.listBuckets({ after }, call(session));
    for (const bucket of buckets) {
      console.emit(bucket);
      rows.push([
        bucket.name,
        String(bucket.objectCount),
        formatSize(bucket.objectBytes),
        formatTime(bucket.createdUnixMs),
        bucket.quota === undefined ? "" : formatQuota(bucket.quota),
      ]);
    }
    if (next === "") break;
    after = next;
  }
  console.say(formatTable(["BUCKET", "OBJECTS", "SIZE", "CREATED", "QUOTA"], rows));
  return exitCode.ok;
};

export const createBucket: Work = async (session, name) => {
  const client = await session.client();
  const { bucket } = await client.createBucket({ name: name ?? "" }, call(session));
  session.console.emit(bucket);
  session.console.say(`Made bucket ${name}`);
  return exitCode.ok;
};

export const deleteBucket: Work = async (session, name) => {
  const client = await session.client();
  await client.deleteBucket({ name: name ?? "" }, call(session));
  session.console.emit({ name, isDeleted: true });
  session.console.say(`Deleted bucket ${name}`);
  return exitCode.ok;
};

export const listAccessKeys: Work = async (session) => {
  const client = await session.client();
  const { accessKeys } = await client.listAccessKeys({}, call(session));
  for (const key of accessKeys) session.console.emit(key);
  const rows = accessKeys.map((key) => [
    key.accessKeyId,
    key.user,
    key.isEnabled ? "enabled" : "disabled",
    formatTime(key.createdUnixMs),
    key.limits === undefined ? "" : limitsText(key.limits),
  ]);
  session.console.say(formatTable(["ACCESS KEY", "USER", "STATE", "CREATED", "LIMITS"], rows));
  return exitCode.ok;
};

export const createAccessKey: Work = async (session) => {
  const request = {
    user: textOption(session, "user") ?? "",
    policy: textOption(session, "policyFile") === undefined ? "" : await readPolicy(session),
    expiresUnixMs: expiresOption(session),
    description: textOption(session, "description") ?? "",
  };
  const client = await session.client();
  const { accessKey, secretAccessKey } = await client.createAccessKey(request, call(session));
  session.console.emit({ ...accessKey, secretAccessKey });
  session.console.say(`Access key  ${accessKey?.accessKeyId}\nSecret      ${secretAccessKey}`);
  session.console.note("The secret is shown this once and kept nowhere else that can be read.");
  return exitCode.ok;
};

function expiresOption(session: Session): bigint {
  const text = textOption(session, "expires");
  if (text === undefined) return 0n;
  const time = Date.parse(text);
  if (Number.isNaN(time) || time <= Date.now()) {
    throw new CommandError(
      exitCode.arguments,
      `Cannot let a key expire at ${JSON.stringify(text)}: it is a time to come, such as 2030-01-31T00:00:00Z`,
    );
  }
  return BigInt(time);
}

export const showAccessKey: Work = async (session, id) => {
  const client = await session.client();
  const { accessKeys } = await client.listAccessKeys({}, call(session));
  const key = accessKeys.find(({ accessKeyId }) => accessKeyId === id);
  if (key === undefined) {
    throw new CommandError(
      exitCode.general,
      `There is no access key ${JSON.stringify(id ?? "")}`,
      '"kiseki access-key list" shows all',
    );
  }
  const { console } = session;
  console.emit(key);
  console.say(`Access key  ${key.accessKeyId}\nUser        ${key.user}`);
  console.say(`State       ${key.isEnabled ? "enabled" : "disabled"}`);
  console.say(`Expires     ${key.expiresUnixMs === 0n ? "never" : formatTime(key.expiresUnixMs)}`);
  if (key.description !== "") console.say(`For         ${key.description}`);
  if (key.limits !== undefined) console.say(`Limits      ${limitsText(key.limits)}`);
  if (key.policy !== "") console.say(key.policy.trim());
  return exitCode.ok;
};

export function setAccessKeyState(isEnabled: boolean): Work {
  return async (session, id) => {
    const client = await session.client();
    const request = { accessKeyId: id ?? "", isEnabled };
    const { accessKey } = await client.setAccessKeyState(request, call(session));
    session.console.emit(accessKey);
    session.console.say(`${isEnabled ? "Enabled" : "Disabled"} access key ${id}`);
    return exitCode.ok;
  };
}

/** What is left out follows the node's flags from then on; 0 is no limit. */
export const limitAccessKey: Work = async (session, id) => {
  const client = await session.client();
  const bytesPerSecond = sizeOption(session, "bytesPerSecond");
  const counts = {
    requestsPerSecond: countOption(session, "requestsPerSecond"),
    burst: countOption(session, "burst"),
    requestsAtOnce: countOption(session, "requestsAtOnce"),
  };
  const limits = Object.fromEntries(
    Object.entries(counts).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Number(value)]],
    ),
  );
  const request = {
    accessKeyId: id ?? "",
    limits: { ...limits, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) },
  };
  const { accessKey } = await client.setAccessKeyLimits(request, call(session));
  session.console.emit(accessKey);
  session.console.say(`Access key ${id}: ${limitsText(accessKey?.limits)}`);
  return exitCode.ok;
};

function limitsText(limits: KeyLimits | undefined): string {
  if (limits === undefined) return "as the node's flags say";
  const shown = (value: number | bigint | undefined, unit: string): string[] =>
    value === undefined ? [] : [Number(value) === 0 ? `${unit} unlimited` : `${value} ${unit}`];
  return [
    ...shown(limits.requestsPerSecond, "requests/s"),
    ...shown(limits.burst, "in a burst"),
    ...shown(limits.bytesPerSecond, "bytes/s"),
    ...shown(limits.requestsAtOnce, "at once"),
  ].join(", ");
}

export const deleteAccessKey: Work = async (session, id) => {
  const client = await session.client();
  await client.deleteAccessKey({ accessKeyId: id ?? "" }, call(session));
  session.console.emit({ accessKeyId: id, isDeleted: true });
  session.console.say(`Deleted access key ${id}`);
  return exitCode.ok;
};
