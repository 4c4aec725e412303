/** Four switches that keep a bucket from being opened to everyone. */
import { s3Fault } from "../errors.ts";
import { readXml } from "../xml-read.ts";
import { s3Namespace, writeXml } from "../xml-write.ts";
import { defineSetting } from "./bucket-setting.ts";

export interface PublicAccessBlock {
  /** PUTs of public ACLs are refused. */
  readonly blockPublicAcls: boolean;
  /** Public grants of ACLs count for nothing. */
  readonly ignorePublicAcls: boolean;
  /** PUTs of public policies are refused. */
  readonly blockPublicPolicy: boolean;
  /** A public policy lets in the bucket's own account alone. */
  readonly restrictPublicBuckets: boolean;
}

const elements = [
  ["BlockPublicAcls", "blockPublicAcls"],
  ["IgnorePublicAcls", "ignorePublicAcls"],
  ["BlockPublicPolicy", "blockPublicPolicy"],
  ["RestrictPublicBuckets", "restrictPublicBuckets"],
] as const;
const allOff: PublicAccessBlock = {
  blockPublicAcls: false,
  ignorePublicAcls: false,
  blockPublicPolicy: false,
  restrictPublicBuckets: false,
};

export const publicAccessBlockSetting = defineSetting<PublicAccessBlock>({
  subresource: "publicAccessBlock",
  stored: "public-access-block",
  documentSizeMax: 4096,
  isRemovable: true,
  unset: "NoSuchPublicAccessBlockConfiguration",
  parse(document) {
    const root = readXml(document, 32);
    if (root?.name !== "PublicAccessBlockConfiguration") return s3Fault("MalformedXML");
    const config: Record<keyof PublicAccessBlock, boolean> = { ...allOff };
    const seen = new Set<string>();
    for (const { name, text } of root.children) {
      const field = elements.find(([element]) => element === name)?.[1];
      const value = text.trim().toLowerCase();
      if (field === undefined || seen.has(name) || (value !== "true" && value !== "false")) {
        return s3Fault("MalformedXML");
      }
      seen.add(name);
      config[field] = value === "true";
    }
    return config;
  },
  format: (config) =>
    writeXml(
      "PublicAccessBlockConfiguration",
      s3Namespace,
      elements.map(([name, field]) => [name, config[field]] as const),
    ),
  read(json) {
    const config: Record<keyof PublicAccessBlock, boolean> = { ...allOff };
    for (const [, field] of elements) {
      const value = json[field];
      if (typeof value !== "boolean") return undefined;
      config[field] = value;
    }
    return config;
  },
});
