/** What becomes of MinIO's users, groups, policies and service accounts. Pure. */
import { type ExportFiles, type Json, objectsOf, parseObject, textOf } from "./export-files.ts";
import type { NotCarried } from "./report.ts";

export interface PlannedPolicy {
  readonly name: string;
  /** JSON. */
  readonly document: string;
}
export interface PlannedKey {
  readonly id: string;
  readonly secret: string;
  readonly isDisabled: boolean;
  /** JSON of what narrows it; empty: nothing does. */
  readonly policy: string;
  readonly description: string;
  /** Unix milliseconds; 0: never. */
  readonly expires: number;
}
export interface PlannedUser {
  /** Empty: the root user. */
  readonly name: string;
  readonly isDisabled: boolean;
  /** Names, those of its groups too. */
  readonly policies: readonly string[];
  readonly keys: readonly PlannedKey[];
}
export interface IdentityPlan {
  readonly policies: readonly PlannedPolicy[];
  readonly users: readonly PlannedUser[];
  readonly notCarried: readonly NotCarried[];
}

/** There from the start, of the same names and meaning as MinIO's. */
const builtIn = new Set(["consoleAdmin", "diagnostics", "readonly", "readwrite", "writeonly"]);

interface Reading {
  readonly files: ExportFiles;
  readonly notCarried: NotCarried[];
}

function readTable(reading: Reading, name: string): readonly (readonly [string, Json])[] {
  const text = reading.files.get(`iam-assets/${name}.json`);
  if (text === undefined) return [];
  const table = parseObject(text);
  if (table !== undefined) return objectsOf(table);
  reading.notCarried.push({ kind: "file", name: `${name}.json`, reason: "it is not JSON" });
  return [];
}

const namesOf = (text: string): string[] =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

/** Policies that MinIO maps to users or groups, by their names. */
const readMappings = (reading: Reading, name: string): ReadonlyMap<string, readonly string[]> =>
  new Map(readTable(reading, name).map(([who, row]) => [who, namesOf(textOf(row["policy"]))]));

/** Policies that users have by their groups; Kiseki has no groups, so members get them themselves. */
function readGroups(reading: Reading): ReadonlyMap<string, readonly string[]> {
  const mapped = readMappings(reading, "group_mappings");
  const gained = new Map<string, string[]>();
  for (const [name, group] of readTable(reading, "groups")) {
    const policies = mapped.get(name) ?? [];
    const isOff = group["status"] === "disabled";
    const members = Array.isArray(group["members"]) ? group["members"].map(textOf) : [];
    if (!isOff) {
      for (const member of members) {
        gained.set(member, [...(gained.get(member) ?? []), ...policies]);
      }
    }
    const what = isOff
      ? "it was disabled, so its members do not get its policies"
      : "there are no groups; each member got its policies";
    reading.notCarried.push({ kind: "group", name, reason: what });
  }
  return gained;
}

function readKey(id: string, row: Json): PlannedKey {
  const expires = Date.parse(textOf(row["expiration"]));
  const policy = row["sessionPolicy"];
  return {
    id,
    secret: textOf(row["secretKey"]),
    isDisabled: row["status"] === "off",
    policy: typeof policy === "object" && policy !== null ? JSON.stringify(policy) : "",
    description: [textOf(row["name"]), textOf(row["description"])]
      .filter((text) => text !== "")
      .join(": ")
      .slice(0, 256),
    expires: Number.isNaN(expires) || expires <= 0 ? 0 : expires,
  };
}

/** Service accounts by their parents. */
function readServiceAccounts(reading: Reading): Map<string, PlannedKey[]> {
  const keys = new Map<string, PlannedKey[]>();
  for (const [id, row] of readTable(reading, "svcaccts")) {
    const parent = textOf(row["parent"]);
    keys.set(parent, [...(keys.get(parent) ?? []), readKey(id, row)]);
  }
  return keys;
}

/** `rootUser`: MINIO_ROOT_USER, whose service accounts become the root's; no export names it. */
export function planIdentities(files: ExportFiles, rootUser: string | undefined): IdentityPlan {
  const reading: Reading = { files, notCarried: [] };
  const policies = readTable(reading, "policies")
    .filter(([name]) => !builtIn.has(name))
    .map(([name, document]) => ({ name, document: JSON.stringify(document) }));
  const mapped = readMappings(reading, "user_mappings");
  const gained = readGroups(reading);
  const accounts = readServiceAccounts(reading);
  const users = readTable(reading, "users").map(([name, row]): PlannedUser => {
    const own = { id: name, secret: textOf(row["secretKey"]), isDisabled: false, policy: "" };
    const keys = [{ ...own, description: "", expires: 0 }, ...(accounts.get(name) ?? [])];
    accounts.delete(name);
    const all = [...(mapped.get(name) ?? []), ...(gained.get(name) ?? [])];
    const isDisabled = row["status"] === "disabled";
    return { name, isDisabled, policies: [...new Set(all)], keys };
  });
  const rootKeys = rootUser === undefined ? [] : (accounts.get(rootUser) ?? []);
  if (rootKeys.length > 0) {
    accounts.delete(rootUser!);
    users.push({ name: "", isDisabled: false, policies: [], keys: rootKeys });
  }
  noteStrangers(reading, accounts);
  return { policies, users, notCarried: reading.notCarried };
}

/** What belongs to users that are kept by LDAP or OpenID, or to a root that was not named. */
function noteStrangers(
  reading: Reading,
  accounts: ReadonlyMap<string, readonly PlannedKey[]>,
): void {
  const advice = "if it is the root user, name it with --root-user";
  for (const [parent, keys] of accounts) {
    for (const { id } of keys) {
      const reason = `its parent ${parent} is not among the users; ${advice}`;
      reading.notCarried.push({ kind: "service account", name: id, reason });
    }
  }
  for (const table of ["stsuser_mappings", "stsgroup_mappings"]) {
    for (const [name] of readTable(reading, table)) {
      const reason = "users of LDAP or OpenID are not kept here; use roles";
      reading.notCarried.push({ kind: "policy mapping", name, reason });
    }
  }
}
