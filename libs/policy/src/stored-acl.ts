/** ACLs as rows keep them: JSON with a version; names are not kept, they follow from the ids. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { type Acl, aclGroups, type Grant, permissions } from "./acl.ts";
import { parseStrictJson } from "./strict-json.ts";

export function encodeAcl({ owner, grants }: Acl): Uint8Array {
  const list = grants.map(({ grantee, permission }) =>
    grantee.kind === "group"
      ? { group: grantee.group, permission }
      : { id: grantee.id, permission },
  );
  return toUtf8(JSON.stringify({ version: 1, owner: owner.id, grants: list }));
}

const idForm = /^[0-9a-f]{64}$/;

/** The ACL, without names; `undefined` for what cannot be read. Never throws. */
export function decodeAcl(kept: Uint8Array): Acl | undefined {
  const json = parseStrictJson(fromUtf8(kept) ?? "");
  const { version, owner, grants }: Readonly<Record<string, unknown>> =
    typeof json === "object" && json !== null ? { ...json } : {};
  if (version !== 1 || typeof owner !== "string" || !idForm.test(owner) || !Array.isArray(grants)) {
    return undefined;
  }
  const list: Grant[] = [];
  for (const each of grants as readonly unknown[]) {
    const grant = readGrant(each);
    if (grant === undefined) return undefined;
    list.push(grant);
  }
  return { owner: { id: owner, displayName: "" }, grants: list };
}

function readGrant(json: unknown): Grant | undefined {
  const fields: Readonly<Record<string, unknown>> =
    typeof json === "object" && json !== null ? { ...json } : {};
  const permission = permissions.find((name) => name === fields["permission"]);
  const group = aclGroups.find((name) => name === fields["group"]);
  const { id } = fields;
  if (permission === undefined) return undefined;
  if (group !== undefined) return { grantee: { kind: "group", group }, permission };
  if (typeof id !== "string" || !idForm.test(id)) return undefined;
  return { grantee: { kind: "canonical", id, displayName: "" }, permission };
}
