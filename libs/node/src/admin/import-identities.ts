/** Users, policies and keys that another store brings. Each call can be made again. */
import { wallTime } from "@kiseki/base";
import { CatalogError } from "@kiseki/catalog";
import { RpcError } from "@kiseki/rpc";
import type { AdminParts } from "./types.ts";

interface BroughtKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly isDisabled: boolean;
  readonly policy: string;
  readonly description: string;
  readonly expiresUnixMs: bigint;
}
interface BroughtUser {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly policies: readonly string[];
  readonly keys: readonly BroughtKey[];
}
/** What was not done, and why; the message names no secret. */
interface ImportRefusal {
  readonly what: "policy" | "access key";
  readonly name: string;
  readonly reason: string;
}

/** @throws {RpcError} `exists`: another one of this name. @throws {CatalogError} `invalid`. */
export function importPolicy(parts: AdminParts, name: string, document: string): void {
  const { catalog } = parts.node.storage;
  const tenant = parts.node.defaultTenant;
  const known = catalog.policies(tenant).find((policy) => policy.name === name);
  if (known === undefined) catalog.putPolicy(tenant, name, document);
  else if (known.document !== document) {
    throw new RpcError("exists", "There is another policy of this name");
  }
}

/** @throws {CatalogError} `invalid`: the name. */
export function importUser(parts: AdminParts, brought: BroughtUser): readonly ImportRefusal[] {
  const { catalog } = parts.node.storage;
  const tenant = parts.node.defaultTenant;
  const refusals: ImportRefusal[] = [];
  const attempt = (what: ImportRefusal["what"], name: string, work: () => void): void => {
    try {
      work();
    } catch (reason) {
      if (!(reason instanceof CatalogError)) throw reason;
      refusals.push({ what, name, reason: reason.message });
    }
  };
  const { name, policies, keys } = brought;
  const known = catalog
    .users(tenant)
    .find((user) => (name === "" ? user.isRoot : user.name === name));
  const user = known ?? catalog.createUser(tenant, name);
  // Off until all of it is there, so that no moment lets it do what a policy still to come denies.
  if (known === undefined) catalog.setUserDisabled(user.id, true);
  for (const policy of policies)
    attempt("policy", policy, () => catalog.attachPolicy(user.id, policy));
  const isWhole = refusals.length === 0;
  for (const key of keys)
    attempt("access key", key.accessKeyId, () => importKey(parts, user.id, key));
  if (known === undefined && isWhole && !brought.isDisabled)
    catalog.setUserDisabled(user.id, false);
  if (known !== undefined && !known.isRoot && !isWhole) catalog.setUserDisabled(user.id, true);
  return refusals;
}

/** @throws {CatalogError} */
function importKey(parts: AdminParts, user: string, key: BroughtKey): void {
  const { catalog } = parts.node.storage;
  const { accessKeyId: id, secretAccessKey: secret, policy, description, expiresUnixMs } = key;
  const known = catalog.accessKeys(parts.node.defaultTenant).find((each) => each.id === id);
  if (known !== undefined) {
    if (known.user === user) return; // brought by an earlier call
    throw new CatalogError("exists", "There is an access key of this id of another user");
  }
  catalog.createAccessKey(user, {
    credentials: { id, secret },
    description,
    ...(policy === "" ? {} : { policy }),
    ...(expiresUnixMs === 0n ? {} : { expires: wallTime(Number(expiresUnixMs)) }),
  });
  if (key.isDisabled) catalog.setAccessKeyDisabled(id, true);
}
