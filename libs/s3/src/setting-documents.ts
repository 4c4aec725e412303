/** Documents of settings that are the same for all, and of GetObjectAttributes. */
import { unreachable } from "@kiseki/base";
import { aclDocument } from "./acl.ts";
import type { Checksum, ObjectChecksum } from "./attributes.ts";
import { checksumLabel, formatChecksum, toBase64 } from "./checksum.ts";
import type { FixedSettingCall } from "./call.ts";
import type { S3Result } from "./result.ts";
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
  if (result.kind === "acl") return aclDocument(result.acl);
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
    default:
      return unreachable(setting);
  }
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
