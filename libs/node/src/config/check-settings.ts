import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import type { Settings } from "./parse-settings.ts";
import { serverSettings } from "./server-settings.ts";
import { isLoopback } from "./setting.ts";

/** Settings as far as each of them could be read by itself. */
type Given = Partial<Settings<typeof serverSettings>>;
type Name = keyof typeof serverSettings;

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
  return [...checkFolders(given), ...checkListeners(given), ...checkFiles(given)];
}

function* checkFolders({ dataDir, configDir, mirrors, devices }: Given): Generator<string> {
  const folders = [...(dataDir === undefined ? [] : [dataDir]), ...(mirrors ?? [])];
  for (const folder of folders) {
    if (configDir === undefined || !isWithin(configDir, folder)) continue;
    yield `${nameOf("configDir")} cannot be ${JSON.stringify(configDir)}: it takes a folder outside ${folder}, since who gets the data must not get its keys`;
  }
  for (const [name, paths] of [
    ["mirrors", folders],
    ["devices", devices ?? []],
  ] as const) {
    const seen = new Set<string>();
    for (const path of paths) {
      if (seen.has(resolve(path))) {
        yield `${nameOf(name)} cannot hold ${JSON.stringify(path)} twice: it takes places that are lost one at a time`;
      }
      seen.add(resolve(path));
    }
  }
}

function* checkListeners(given: Given): Generator<string> {
  const { certificate, certificateKey, clientAuthority, metricsToken } = given;
  if ((certificate === "") !== (certificateKey === "")) {
    yield `${nameOf("certificate")} and ${nameOf("certificateKey")} are given together or not at all`;
  }
  const beyond = (name: "s3Address" | "dataAddress" | "metricsAddress"): string | undefined => {
    const address = given[name];
    if (address === undefined || isLoopback(address.host)) return undefined;
    return `${nameOf(name)} ${address.host} is beyond this machine`;
  };
  const s3 = beyond("s3Address");
  if (s3 !== undefined && certificate === "" && given.allowPlaintext === false) {
    yield `${s3}: give ${nameOf("certificate")} and ${nameOf("certificateKey")}, or ${nameOf("allowPlaintext")}`;
  }
  const rpc = beyond("dataAddress");
  if (rpc !== undefined && [certificate, certificateKey, clientAuthority].includes("")) {
    yield `${rpc}: give ${nameOf("clientAuthority")}, ${nameOf("certificate")} and ${nameOf("certificateKey")}, so that clients show certificates`;
  }
  const metrics = beyond("metricsAddress");
  if (metrics !== undefined && metricsToken === "") {
    yield `${metrics}: give ${nameOf("metricsToken")}`;
  }
}

function* checkFiles(given: Given): Generator<string> {
  for (const name of [
    "certificate",
    "certificateKey",
    "clientAuthority",
    "metricsToken",
  ] as const) {
    const path = given[name];
    if (path === undefined || path === "") continue;
    try {
      accessSync(path, constants.R_OK);
    } catch (reason) {
      const why = reason instanceof Error && "code" in reason ? String(reason.code) : "unknown";
      yield `${nameOf(name)} cannot be ${JSON.stringify(path)}: it takes a file that can be read (${why})`;
    }
  }
}
