/** Documents of settings that are the same for all, and of GetObjectAttributes. */
import { unreachable } from "@kiseki/base";
import type { Checksum, ObjectChecksum } from "./attributes.ts";
import { checksumLabel, formatChecksum, toBase64 } from "./checksum.ts";
import type { FixedSettingCall } from "./call.ts";
import type { Owner, S3Result } from "./result.ts";
import { formatDocument } from "./settings/document.ts";
import { objectTagging } from "./settings/tags.ts";
import { s3Namespace, writeXml, type XmlNode } from "./xml-write.ts";

type ResultOf<Kind extends S3Result["kind"]> = Extract<S3Result, { readonly kind: Kind }>;

/** A checksum as documents have it. */
export function checksumNodes(checksum: ObjectChecksum | undefined): readonly XmlNode[] {
  if (checksum === undefined) return [];
  return [
    [`Checksum${checksumLabel(checksum.algorithm)}`, formatChecksum(checksum)],
    ["ChecksumType", checksum.type],
  ];
}

/** Of one part, whose type is the object's. */
const partChecksumNodes = (checksum: Checksum | undefined): readonly XmlNode[] =>
  checksum === undefined
    ? []
    : [[`Checksum${checksumLabel(checksum.algorithm)}`, toBase64(checksum.value)]];

export function settingDocument(
  result: ResultOf<"fixed_setting" | "acl" | "object_tags">,
): Uint8Array {
  if (result.kind === "acl") return aclDocument(result.owner);
  if (result.kind === "object_tags") {
    return formatDocument(objectTagging, { tagSet: { tags: result.tags } });
  }
  return fixedDocument(result.setting);
}

const emptyList = (root: string): Uint8Array =>
  writeXml(root, s3Namespace, [["IsTruncated", false]]);

function fixedDocument(setting: FixedSettingCall["setting"]): Uint8Array {
  switch (setting) {
    case "accelerate":
      return writeXml("AccelerateConfiguration", s3Namespace, "");
    case "analytics":
      return emptyList("ListBucketAnalyticsConfigurationResult");
    case "intelligent-tiering":
      return emptyList("ListBucketIntelligentTieringConfigurationsOutput");
    case "inventory":
      return emptyList("ListInventoryConfigurationsResult");
    case "metrics":
      return emptyList("ListMetricsConfigurationsResult");
    case "ownershipControls":
      return writeXml("OwnershipControls", s3Namespace, [
        ["Rule", [["ObjectOwnership", "BucketOwnerEnforced"]]],
      ]);
    default:
      return unreachable(setting);
  }
}

/** The one element with an attribute: whose kind of name the grantee's is. */
function aclDocument(owner: Owner): Uint8Array {
  const identity: readonly XmlNode[] = [
    ["ID", owner.id],
    ["DisplayName", owner.displayName],
  ];
  const marker = "Grantee";
  const text = new TextDecoder().decode(
    writeXml("AccessControlPolicy", s3Namespace, [
      ["Owner", identity],
      [
        "AccessControlList",
        [
          [
            "Grant",
            [
              [marker, identity],
              ["Permission", "FULL_CONTROL"],
            ],
          ],
        ],
      ],
    ]),
  );
  const type = `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"`;
  return new TextEncoder().encode(text.replace(`<${marker}>`, `<${marker} ${type}>`));
}

/** Whether a bucket's policy lets in everyone. */
export function policyStatusDocument(isPublic: boolean): Uint8Array {
  return writeXml("PolicyStatus", s3Namespace, [["IsPublic", isPublic]]);
}

export function attributesDocument(result: ResultOf<"object_attributes">): Uint8Array {
  const { call, view, parts } = result;
  const { wanted } = call;
  const nodes: XmlNode[] = [];
  if (wanted.has("ETag")) nodes.push(["ETag", view.etag]);
  if (wanted.has("Checksum") && view.checksum !== undefined) {
    nodes.push(["Checksum", checksumNodes(view.checksum)]);
  }
  if (wanted.has("ObjectParts") && parts !== undefined) {
    const { partNumberMarker, maxParts } = call;
    const last = parts.listed.at(-1)?.number ?? partNumberMarker;
    nodes.push([
      "ObjectParts",
      [
        ["IsTruncated", parts.isTruncated],
        ["MaxParts", maxParts],
        ["NextPartNumberMarker", last],
        ["PartNumberMarker", partNumberMarker],
        ...parts.listed.map(({ number, size, checksum }): XmlNode => [
          "Part",
          [["PartNumber", number], ["Size", size], ...partChecksumNodes(checksum)],
        ]),
        ["PartsCount", parts.count],
      ],
    ]);
  }
  if (wanted.has("StorageClass")) nodes.push(["StorageClass", view.storageClass]);
  if (wanted.has("ObjectSize")) nodes.push(["ObjectSize", view.size]);
  return writeXml("GetObjectAttributesOutput", s3Namespace, nodes);
}
