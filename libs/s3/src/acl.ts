/** ACLs of requests and answers: canned names, grant headers, and the document. */
import {
  type Acl,
  type AclGroup,
  aclGroups,
  type CannedAcl,
  cannedAcls,
  type Grant,
  type Grantee,
  type Permission,
  permissions,
} from "@kiseki/policy";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";
import { readXml, type XmlElement } from "./xml-read.ts";
import { s3Namespace, writeXml, type XmlNode } from "./xml-write.ts";

/** An ACL as it was asked for; names of accounts are not yet known to be any. */
export type AclRequest =
  | { readonly kind: "canned"; readonly name: CannedAcl }
  | { readonly kind: "grants"; readonly grants: readonly Grant[] };

/** AWS's limit of an ACL. */
const grantsMax = 100;
export const aclDocumentSizeMax = 64 * 1024;
const groupUris: Readonly<Record<AclGroup, string>> = {
  AllUsers: "http://acs.amazonaws.com/groups/global/AllUsers",
  AuthenticatedUsers: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
  LogDelivery: "http://acs.amazonaws.com/groups/s3/LogDelivery",
};
const grantHeaders: readonly (readonly [name: string, Permission])[] = [
  ["x-amz-grant-read", "READ"],
  ["x-amz-grant-write", "WRITE"],
  ["x-amz-grant-read-acp", "READ_ACP"],
  ["x-amz-grant-write-acp", "WRITE_ACP"],
  ["x-amz-grant-full-control", "FULL_CONTROL"],
];

const malformed = (): S3Fault => s3Fault("MalformedACLError");

function parseUri(uri: string): Grantee | S3Fault {
  const group = aclGroups.find((name) => groupUris[name] === uri);
  if (group !== undefined) return { kind: "group", group };
  return invalidArgument("uri", uri.slice(0, 256), "Invalid group uri");
}
function parseId(id: string): Grantee | S3Fault {
  if (/^[0-9a-f]{64}$/.test(id)) return { kind: "canonical", id, displayName: "" };
  return invalidArgument("CanonicalUser/ID", id.slice(0, 256), "Invalid id");
}

function parseHeaderGrantee(text: string): Grantee | S3Fault {
  const [, kind = "", value = ""] = /^\s*(\w+)\s*=\s*"?([^"]*)"?\s*$/.exec(text) ?? [];
  switch (kind.toLowerCase()) {
    case "id":
      return parseId(value);
    case "uri":
      return parseUri(value);
    case "emailaddress":
      return s3Fault("UnresolvableGrantByEmailAddress");
    default:
      return invalidArgument("x-amz-grant", text.slice(0, 256), "Argument format not recognized");
  }
}

/** What the headers ask for; `undefined`: nothing. */
export function parseAclHeaders(fields: Fields): AclRequest | S3Fault | undefined {
  const canned = fields.get("x-amz-acl");
  const grants: Grant[] = [];
  for (const [name, permission] of grantHeaders) {
    const value = fields.get(name);
    for (const piece of value?.split(",", grantsMax + 1) ?? []) {
      const grantee = parseHeaderGrantee(piece);
      if (isFault(grantee)) return grantee;
      grants.push({ grantee: grantee as Grantee, permission });
    }
  }
  if (grants.length > grantsMax) return malformed();
  if (canned === undefined) return grants.length === 0 ? undefined : { kind: "grants", grants };
  if (grants.length > 0) {
    return s3Fault(
      "InvalidRequest",
      "Specifying both Canned ACLs and Header Grants is not allowed",
    );
  }
  const name = cannedAcls.find((each) => each === canned);
  if (name === undefined) return invalidArgument("x-amz-acl", canned.slice(0, 256), "");
  return { kind: "canned", name };
}

const textOf = (element: XmlElement | undefined): string | undefined =>
  element === undefined || element.children.length > 0 ? undefined : element.text.trim();
const childOf = (element: XmlElement | undefined, name: string): XmlElement | undefined =>
  element?.children.find((child) => child.name === name);

function parseGrant(element: XmlElement): Grant | S3Fault {
  const grantee = childOf(element, "Grantee");
  const text = textOf(childOf(element, "Permission"));
  const permission = permissions.find((name) => name === text);
  if (element.name !== "Grant" || grantee === undefined || permission === undefined) {
    return malformed();
  }
  const uri = textOf(childOf(grantee, "URI"));
  const id = textOf(childOf(grantee, "ID"));
  if (childOf(grantee, "EmailAddress")) return s3Fault("UnresolvableGrantByEmailAddress");
  const parsed = uri !== undefined ? parseUri(uri) : id !== undefined ? parseId(id) : malformed();
  return isFault(parsed) ? parsed : { grantee: parsed as Grantee, permission };
}

/** AccessControlPolicy of a request: its owner must be who it is, which the caller compares. */
export function parseAclDocument(
  source: Uint8Array,
): { readonly owner: string | undefined; readonly grants: readonly Grant[] } | S3Fault {
  const root = readXml(source, 2048);
  const list = childOf(root, "AccessControlList");
  if (root?.name !== "AccessControlPolicy" || list === undefined) return malformed();
  if (list.children.length > grantsMax) return malformed();
  const grants: Grant[] = [];
  for (const child of list.children) {
    const grant = parseGrant(child);
    if (isFault(grant)) return grant;
    grants.push(grant as Grant);
  }
  return { owner: textOf(childOf(childOf(root, "Owner"), "ID")), grants };
}

/** Stand for the one element with an attribute: whose kind of name the grantee's is. */
const markers = { canonical: "GranteeCanonicalUser", group: "GranteeGroup" } as const;

export function aclDocument({ owner, grants }: Acl): Uint8Array {
  // Groups first, as clients that were written against other servers expect; S3 promises no order.
  const rank = ({ grantee }: Grant): number => (grantee.kind === "group" ? 0 : 1);
  const sorted = grants.toSorted((a, b) => rank(a) - rank(b));
  const nodes = sorted.map(({ grantee, permission }): XmlNode => {
    const name: readonly XmlNode[] =
      grantee.kind === "group"
        ? [["URI", groupUris[grantee.group]]]
        : [
            ["ID", grantee.id],
            ["DisplayName", grantee.displayName],
          ];
    return [
      "Grant",
      [
        [markers[grantee.kind], name],
        ["Permission", permission],
      ],
    ];
  });
  const text = new TextDecoder().decode(
    writeXml("AccessControlPolicy", s3Namespace, [
      [
        "Owner",
        [
          ["ID", owner.id],
          ["DisplayName", owner.displayName],
        ],
      ],
      ["AccessControlList", nodes],
    ]),
  );
  const space = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"';
  return new TextEncoder().encode(
    text.replaceAll(/<(\/?)Grantee(CanonicalUser|Group)>/g, (_, slash: string, kind: string) =>
      slash === "/" ? "</Grantee>" : `<Grantee ${space} xsi:type="${kind}">`,
    ),
  );
}
