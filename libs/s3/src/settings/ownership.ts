/** Who owns objects that others write into a bucket, and whether ACLs mean anything there. */
import { s3Fault } from "../errors.ts";
import { readXml } from "../xml-read.ts";
import { s3Namespace, writeXml } from "../xml-write.ts";
import { defineSetting, encodeConfig } from "./bucket-setting.ts";

export const objectOwnerships = [
  "BucketOwnerEnforced",
  "BucketOwnerPreferred",
  "ObjectWriter",
] as const;
export type ObjectOwnership = (typeof objectOwnerships)[number];

export interface OwnershipControls {
  /** `undefined`: taken away, which means the same as `ObjectWriter`. */
  readonly ownership: ObjectOwnership | undefined;
}

export function isObjectOwnership(text: unknown): text is ObjectOwnership {
  return objectOwnerships.some((name) => name === text);
}

export const ownershipSetting = defineSetting<OwnershipControls>({
  subresource: "ownershipControls",
  stored: "ownership",
  documentSizeMax: 4096,
  isRemovable: false,
  unset: { config: { ownership: "BucketOwnerEnforced" } },
  parse(document) {
    const root = readXml(document, 32);
    const [rule, ...others] = root?.children ?? [];
    const [child, ...more] = rule?.children ?? [];
    const ownership = child?.text.trim();
    const isWhole =
      root?.name === "OwnershipControls" &&
      rule?.name === "Rule" &&
      child?.name === "ObjectOwnership" &&
      others.length + more.length === 0;
    return isWhole && isObjectOwnership(ownership) ? { ownership } : s3Fault("MalformedXML");
  },
  format: ({ ownership }) =>
    writeXml("OwnershipControls", s3Namespace, [["Rule", [["ObjectOwnership", ownership ?? ""]]]]),
  read({ ownership }) {
    if (ownership === null) return { ownership: undefined };
    return isObjectOwnership(ownership) ? { ownership } : undefined;
  },
});

/** What is kept when the rule is taken away. */
export function encodeNoOwnership(): Uint8Array {
  return encodeConfig({ ownership: null });
}
/** What is kept of a rule. */
export function encodeOwnership(ownership: ObjectOwnership): Uint8Array {
  return encodeConfig({ ownership });
}
