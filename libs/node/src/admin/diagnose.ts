import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { toUuid } from "@kiseki/base";
import type { PoolStatus } from "@kiseki/chunk-store";
import { checkSpace } from "./check-space.ts";
import { adviceOn } from "./status.ts";
import type { AdminParts } from "./types.ts";

export interface Finding {
  readonly check: string;
  readonly outcome: "ok" | "warning" | "fault";
  readonly detail: string;
  /** What to do; empty when all is well. */
  readonly advice: string;
}

const ok = (check: string, detail: string): Finding => ({
  check,
  outcome: "ok",
  detail,
  advice: "",
});
const warning = (check: string, detail: string, advice: string): Finding => ({
  check,
  outcome: "warning",
  detail,
  advice,
});
const fault = (check: string, detail: string, advice: string): Finding => ({
  check,
  outcome: "fault",
  detail,
  advice,
});

const dayMs = 86_400_000;
const certificateWarnDays = 30;
/** No clock that is right shows less: the day this was written. */
const earliestTime = Date.UTC(2026, 10, 20);
const lockedSizeMin = 8 * 1024 * 1024;
const openFilesSpare = 256;

/** Every check, in the order in which somebody would mend things. A check that cannot be made says so. */
export async function diagnose(parts: AdminParts, signal: AbortSignal): Promise<Finding[]> {
  const checks: readonly [string, () => Promise<readonly Finding[]> | readonly Finding[]][] = [
    ["config directory", () => checkConfigDirectory(parts)],
    ["keys", () => checkKeys(parts, signal)],
    ["members", () => checkMembers(parts)],
    ["free space", () => diagnoseSpace(parts)],
    ["devices", () => checkDevices(parts)],
    ["content", () => checkContent(parts)],
    ["clock", () => checkClock(parts)],
    ["limits", () => checkLimits(parts)],
    ["certificates", () => checkCertificates(parts)],
  ];
  const findings: Finding[] = [];
  for (const [name, check] of checks) {
    try {
      findings.push(...(await check()));
    } catch (reason) {
      const detail = reason instanceof Error ? reason.message : "unknown";
      findings.push(warning(name, `could not be checked: ${detail}`, "Look at the node's log."));
    }
  }
  return findings;
}

async function checkConfigDirectory({ node }: AdminParts): Promise<readonly Finding[]> {
  const { config } = node.storage;
  const findings: Finding[] = [];
  for (const [name, wanted] of [
    ["", 0o700],
    ["node-secret", 0o600],
    ["credentials.json", 0o600],
    ["rpc-token", 0o600],
    ["rpc-key.pem", 0o600],
  ] as const) {
    const path = name === "" ? config.path : config.file(name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) {
      if (name !== "node-secret") continue;
      findings.push(
        fault(
          "config directory",
          `${path} is missing`,
          'Stop the node and run "kiseki encryption recover": without it the node cannot start again.',
        ),
      );
    } else if ((found.mode & 0o777 & ~wanted) !== 0) {
      const mode = (found.mode & 0o777).toString(8);
      const advice = `Run: chmod ${wanted.toString(8)} ${path}`;
      findings.push(fault("config directory", `${path} has mode ${mode}`, advice));
    }
  }
  if (node.storage.directories.some((directory) => `${config.path}/`.startsWith(`${directory}/`))) {
    findings.push(
      fault(
        "config directory",
        `${config.path} lies inside the data`,
        "Move it elsewhere: who gets the disk would get its keys.",
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [ok("config directory", `${config.path}, for its owner alone`)];
}

async function checkKeys({ node }: AdminParts, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    await node.openDefaultTenant(signal);
  } catch (reason) {
    const detail = reason instanceof Error ? reason.message : "unknown";
    return [
      fault(
        "keys",
        `the default tenant does not open: ${detail}`,
        "Bring its key manager back; the node tries again at each request.",
      ),
    ];
  }
  const missing: string[] = [];
  for (const directory of node.storage.directories) {
    const found = await stat(`${directory}/cluster-key`).catch(() => undefined);
    if (found === undefined) missing.push(directory);
  }
  if (missing.length === 0)
    return [ok("keys", "the default tenant is open; every copy of the cluster key is there")];
  return [
    warning(
      "keys",
      `no copy of the cluster key in ${missing.join(", ")}`,
      "Restart the node: it writes missing copies.",
    ),
  ];
}

function checkMembers({ node }: AdminParts): readonly Finding[] {
  const { members, damagedPages, healedPages } = node.storage.members.status();
  const bad = members.filter(({ state }) => state === "absent" || state === "lost");
  const findings = bad.map(({ directory, state }) =>
    fault(
      "members",
      `${directory} is ${state}`,
      "Bring its disk back and restart the node: it is then copied anew.",
    ),
  );
  if (damagedPages > 0) {
    findings.push(
      fault(
        "members",
        `${damagedPages} pages are damaged in every member`,
        "Restore the data directory from a copy; until then some requests fail.",
      ),
    );
  }
  if (findings.length > 0) return findings;
  const healed = healedPages > 0 ? `, ${healedPages} pages healed` : "";
  if (members.length > 1)
    return [ok("members", `${members.length} directories, all good${healed}`)];
  return [
    warning(
      "members",
      "names and keys are in one directory only",
      "Give --mirror with a directory on another disk.",
    ),
  ];
}

async function diagnoseSpace({ node }: AdminParts): Promise<readonly Finding[]> {
  return (await checkSpace(node.storage.directories)).map(({ taken, detail }) =>
    taken === "all"
      ? ok("free space", detail)
      : fault("free space", detail, "Free space on its disk."),
  );
}

const checkDevices = ({ node }: AdminParts): readonly Finding[] =>
  node.ports.chunkStore.pools().flatMap(checkPool);

function checkPool({ number, name: pool, status, reason }: PoolStatus): readonly Finding[] {
  const check = number === 0 ? "devices" : `devices of pool ${pool}`;
  if (status === undefined) {
    const advice = "Bring its devices back and restart the node.";
    return [fault(check, `the pool is absent: ${reason ?? "unknown"}`, advice)];
  }
  const { devices, profile, capacity } = status;
  const findings: Finding[] = [];
  for (const device of devices) {
    const faults = Object.values(device.faults).reduce((sum, count) => sum + count, 0);
    const name = `${toUuid(device.id)} ${device.path ?? ""}`.trim();
    if (device.state === "missing" || device.state === "failed") {
      findings.push(
        fault(
          check,
          `${name} is ${device.state}: ${device.reason ?? "unknown"}`,
          adviceOn(device, devices.length),
        ),
      );
    } else if (device.state !== "healthy" || faults > 0) {
      findings.push(
        warning(
          check,
          `${name} is ${device.state}, ${faults} faults since the start`,
          "Look at the disk's own health; replace it when faults grow.",
        ),
      );
    }
  }
  if (profile === undefined) {
    findings.push(
      fault(
        check,
        "too few can take content: writes are refused",
        "Replace devices or free space.",
      ),
    );
  }
  if (capacity !== "healthy") {
    findings.push(warning(check, `space is ${capacity}`, "Delete objects or add a device."));
  }
  if (findings.length > 0) return findings;
  if (devices.length > 1) return [ok(check, `${devices.length}, all healthy`)];
  return [
    warning(
      check,
      "there is one device: content survives damaged records, not its loss",
      "Give --devices with several.",
    ),
  ];
}

function checkContent({ node }: AdminParts): readonly Finding[] {
  const { repairQueued, damaged, candidates, chunks } = node.ports.chunkStore.status();
  if (damaged === 0 && repairQueued === 0) {
    const waiting = candidates > 0 ? `, ${candidates} to be matched with the log` : "";
    return [ok("content", `${chunks} chunks, none known to be damaged${waiting}`)];
  }
  return [
    warning(
      "content",
      `${damaged} records were found damaged, ${repairQueued} chunks wait for repair`,
      'Run "kiseki verify": it names objects that cannot be read.',
    ),
  ];
}

function checkClock({ node, clock }: AdminParts): readonly Finding[] {
  const now = clock.realtime();
  const created = node.storage.catalog.tenant(node.defaultTenant)?.created ?? 0;
  const shown = new Date(now).toISOString();
  if (now >= earliestTime && now >= created) return [ok("clock", shown)];
  return [
    fault(
      "clock",
      `${shown} is in the past`,
      "Set the clock (chrony, systemd-timesyncd): signatures are checked against it.",
    ),
  ];
}

async function checkLimits({ settings }: AdminParts): Promise<readonly Finding[]> {
  const text = await readFile("/proc/self/limits", "utf8");
  const limit = (name: string): number => {
    const value = new RegExp(`^${name}\\s+(\\S+)`, "m").exec(text)?.[1];
    return value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value);
  };
  const findings: Finding[] = [];
  const locked = limit("Max locked memory");
  if (locked < lockedSizeMin) {
    findings.push(
      warning(
        "limits",
        `${locked} bytes of memory may be locked`,
        `Raise it (ulimit -l, LimitMEMLOCK) to ${lockedSizeMin} or more: keys live in locked memory.`,
      ),
    );
  }
  const files = limit("Max open files");
  if (files < settings.connectionsMax + openFilesSpare) {
    findings.push(
      warning(
        "limits",
        `${files} files may be open, ${settings.connectionsMax} connections are allowed`,
        "Raise it (ulimit -n, LimitNOFILE), or lower --s3-connections-max.",
      ),
    );
  }
  const core = limit("Max core file size");
  if (core > 0) {
    findings.push(
      warning(
        "limits",
        "core dumps are allowed: they hold plaintext",
        "Start without --allow-core-dumps, or switch them off (ulimit -c 0, LimitCORE=0).",
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [ok("limits", "locked memory, open files and core dumps are set well")];
}

function checkCertificates({ certificates, clock }: AdminParts): readonly Finding[] {
  const now = clock.realtime();
  return certificates.map(({ listener, pem }) => {
    const end = Date.parse(new X509Certificate(pem).validTo);
    const days = Math.floor((end - now) / dayMs);
    const detail = `${listener}: valid until ${new Date(end).toISOString().slice(0, 10)}`;
    if (days < 0)
      return fault("certificates", `${detail}, which is over`, "Renew it and restart the node.");
    if (days >= certificateWarnDays) return ok("certificates", detail);
    return warning("certificates", `${detail}, in ${days} days`, "Renew it and restart the node.");
  });
}
