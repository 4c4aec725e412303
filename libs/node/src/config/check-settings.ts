import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import type { Settings } from "./parse-settings.ts";
import { serverSettings } from "./server-settings.ts";
import { parseNetworks } from "../front/forwarded.ts";
import { readTargets } from "../notify/read-targets.ts";
import { readPools, readStorageClasses, sharedDevices } from "./pools.ts";
import { isLoopback } from "./setting.ts";

/** Settings as far as each of them could be read by itself. */
type Given = Partial<Settings<typeof serverSettings>>;
type Name = keyof typeof serverSettings;

const tokenSizeMin = 16;

const nameOf = (name: Name): string => {
  const { flag, variable } = serverSettings[name];
  return `--${flag} (${variable})`;
};
/** Whether `path` is `folder` or lies below it. */
const isWithin = (path: string, folder: string): boolean =>
  `${resolve(path)}/`.startsWith(`${resolve(folder)}/`);

/**
 * What is wrong with settings that are right each by itself: all of it, before a file, key or device is made.
 * Settings that could not be read are left out; they have a fault of their own.
 */
export function checkServerSettings(given: Given): readonly string[] {
  return [
    ...checkFolders(given),
    ...checkPools(given),
    ...checkFiles(given),
    ...checkListeners(given),
  ];
}

function* checkFolders({ dataDir, configDir, mirrors, devices }: Given): Generator<string> {
  const folders = [...(dataDir === undefined ? [] : [dataDir]), ...(mirrors ?? [])];
  for (const folder of folders) {
    if (configDir === undefined || !isWithin(configDir, folder)) continue;
    yield `${nameOf("configDir")} ${configDir} is inside ${folder}: who gets the data must not get its keys`;
  }
  for (const [name, paths] of [
    ["mirrors", folders],
    ["devices", devices ?? []],
  ] as const) {
    const seen = new Set<string>();
    for (const path of paths) {
      if (seen.has(resolve(path))) {
        yield `${nameOf(name)} ${path} is named twice: each takes a place that is lost by itself`;
      }
      seen.add(resolve(path));
    }
  }
}

function* checkPools({ devices, pools: text, storageClasses }: Given): Generator<string> {
  const pools = readPools(text ?? "");
  for (const fault of pools.faults) yield `${nameOf("pools")} ${fault}`;
  for (const path of sharedDevices(devices ?? [], pools.value)) {
    yield `${nameOf("pools")} ${path} is named twice: a device belongs to one pool`;
  }
  for (const fault of readStorageClasses(storageClasses ?? [], pools.value).faults) {
    yield `${nameOf("storageClasses")} ${fault}`;
  }
}

function* checkListeners(given: Given): Generator<string> {
  if (parseNetworks(given.trustedProxies ?? []) === undefined) {
    yield `${nameOf("trustedProxies")} ${given.trustedProxies?.join(",")} is no list of addresses and networks such as 10.0.0.0/8,fd00::/8`;
  }
  const { certificate, certificateKey, clientAuthority, metricsToken } = given;
  type Listener =
    "s3Address" | "dataAddress" | "advisoryAddress" | "bulkAddress" | "metricsAddress";
  const beyond = (name: Listener): string | undefined => {
    const address = given[name];
    if (address === undefined || isLoopback(address.host)) return undefined;
    return `${nameOf(name)} ${address.host} is beyond this machine`;
  };
  const s3 = beyond("s3Address");
  if (s3 !== undefined && certificate === "" && given.allowPlaintext === false) {
    yield `${s3}: give ${nameOf("certificate")} and ${nameOf("certificateKey")}, or ${nameOf("allowPlaintext")}`;
  }
  const metrics = beyond("metricsAddress");
  if (metrics !== undefined && metricsToken === "") {
    yield `${metrics}: give ${nameOf("metricsToken")}`;
  }
  const bulk = beyond("bulkAddress");
  const isOpen = [certificate, certificateKey, clientAuthority].includes("");
  if (bulk !== undefined && isOpen && given.allowPlaintext === false) {
    yield `${bulk}: give ${nameOf("clientAuthority")}, ${nameOf("certificate")} and ${nameOf("certificateKey")}, or ${nameOf("allowPlaintext")}`;
  }
  for (const name of ["dataAddress", "advisoryAddress"] as const) {
    const rpc = beyond(name);
    if (rpc === undefined || !isOpen) continue;
    yield `${rpc}: give ${nameOf("clientAuthority")}, ${nameOf("certificate")} and ${nameOf("certificateKey")}, so that clients show certificates`;
  }
}

const reasonOf = (reason: unknown): string =>
  reason instanceof Error ? ("code" in reason ? String(reason.code) : reason.message) : "unknown";

function* checkFiles(given: Given): Generator<string> {
  for (const fault of readTargets(given.notificationTargets ?? "").faults) {
    yield `${nameOf("notificationTargets")}: ${fault}`;
  }
  const { certificate, certificateKey } = given;
  if ((certificate === "") !== (certificateKey === "")) {
    yield `${nameOf("certificate")} and ${nameOf("certificateKey")} are given together or not at all`;
  }
  const texts = new Map<Name, string>();
  for (const name of [
    "certificate",
    "certificateKey",
    "clientAuthority",
    "metricsToken",
  ] as const) {
    const path = given[name] ?? "";
    if (path === "") continue;
    try {
      texts.set(name, readFileSync(path, "utf8"));
    } catch (reason) {
      yield `${nameOf(name)} ${path} cannot be read: ${reasonOf(reason)}`;
    }
  }
  const [cert, key] = [texts.get("certificate"), texts.get("certificateKey")];
  if (cert !== undefined && key !== undefined) {
    try {
      createSecureContext({ cert, key });
    } catch (reason) {
      yield `${nameOf("certificate")} with ${nameOf("certificateKey")} cannot be used: ${reasonOf(reason)}`;
    }
  }
  const token = texts.get("metricsToken");
  if (token !== undefined && token.trim().length < tokenSizeMin) {
    yield `${nameOf("metricsToken")} ${given.metricsToken} holds no token: it takes ${tokenSizeMin} characters or more`;
  }
}
