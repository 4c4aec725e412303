/** How new objects of a bucket are encrypted when their request does not say. */
import { s3Fault, type S3Fault } from "../errors.ts";
import { readXml, type XmlElement } from "../xml-read.ts";
import { s3Namespace, writeXml } from "../xml-write.ts";
import { defineSetting } from "./bucket-setting.ts";

const keyIdSizeMax = 2048;

interface DefaultEncryption {
  readonly algorithm: "AES256" | "aws:kms";
  /** As it was set; S3 does not look whether there is such a key. */
  readonly keyId?: string;
  readonly isBucketKey: boolean;
  /** New objects under customers' keys are refused. */
  readonly isCustomerKeyBlocked?: true;
}

const childrenOf = (element: XmlElement | undefined, names: readonly string[]) => {
  const found = new Map<string, XmlElement>();
  for (const child of element?.children ?? []) {
    if (!names.includes(child.name) || found.has(child.name)) return undefined;
    found.set(child.name, child);
  }
  return element === undefined || element.text.trim() !== "" ? undefined : found;
};
const textOf = (element: XmlElement | undefined): string | undefined =>
  element === undefined || element.children.length > 0 ? undefined : element.text.trim();

function parse(document: Uint8Array): DefaultEncryption | S3Fault {
  const malformed = s3Fault("MalformedXML");
  const root = document.byteLength === 0 ? undefined : readXml(document, 64);
  if (root?.name !== "ServerSideEncryptionConfiguration") return malformed;
  const rule = childrenOf(root, ["Rule"])?.get("Rule");
  const parts = childrenOf(rule, [
    "ApplyServerSideEncryptionByDefault",
    "BlockedEncryptionTypes",
    "BucketKeyEnabled",
  ]);
  const blocked = parseBlocked(parts?.get("BlockedEncryptionTypes"));
  if (blocked === undefined) return malformed;
  const applied = parts?.get("ApplyServerSideEncryptionByDefault");
  const fields = childrenOf(applied, ["SSEAlgorithm", "KMSMasterKeyID"]);
  const bucketKey = parts?.has("BucketKeyEnabled")
    ? textOf(parts.get("BucketKeyEnabled"))?.toLowerCase()
    : "false";
  if (fields === undefined || (bucketKey !== "true" && bucketKey !== "false")) return malformed;
  const algorithm = textOf(fields.get("SSEAlgorithm"));
  const keyId = textOf(fields.get("KMSMasterKeyID"));
  if (fields.has("KMSMasterKeyID") && (keyId ?? "") === "") return malformed;
  if (algorithm === "aws:kms:dsse") return s3Fault("NotImplemented");
  if (algorithm !== "AES256" && algorithm !== "aws:kms") return malformed;
  if (algorithm === "AES256" && keyId !== undefined) {
    const why = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms";
    return s3Fault("InvalidArgument", why);
  }
  if (keyId !== undefined && keyId.length > keyIdSizeMax) return malformed;
  const isBucketKey = bucketKey === "true";
  return {
    algorithm,
    ...(keyId === undefined ? {} : { keyId }),
    isBucketKey,
    ...(blocked.has("SSE-C") ? { isCustomerKeyBlocked: true as const } : {}),
  };
}

/** What may not be asked for: `SSE-C`, or `NONE` of them. */
function parseBlocked(element: XmlElement | undefined): ReadonlySet<string> | undefined {
  if (element === undefined) return new Set();
  const types = element.children.map((child) =>
    child.name === "EncryptionType" ? textOf(child) : undefined,
  );
  const [first, ...others] = types;
  const isKnown = (first === "NONE" || first === "SSE-C") && others.length === 0;
  return isKnown && element.text.trim() === "" ? new Set([first]) : undefined;
}

export const encryptionSetting = defineSetting<DefaultEncryption>({
  subresource: "encryption",
  stored: "encryption",
  documentSizeMax: 64 * 1024,
  isRemovable: true,
  unset: { config: { algorithm: "AES256", isBucketKey: false } },
  parse,
  format: ({ algorithm, keyId, isBucketKey, isCustomerKeyBlocked }) =>
    writeXml("ServerSideEncryptionConfiguration", s3Namespace, [
      [
        "Rule",
        [
          [
            "ApplyServerSideEncryptionByDefault",
            [
              ["SSEAlgorithm", algorithm],
              ...(keyId === undefined ? [] : ([["KMSMasterKeyID", keyId]] as const)),
            ],
          ],
          ["BucketKeyEnabled", isBucketKey],
          ...(isCustomerKeyBlocked
            ? ([["BlockedEncryptionTypes", [["EncryptionType", "SSE-C"]]]] as const)
            : []),
        ],
      ],
    ]),
  read({ algorithm, keyId, isBucketKey, isCustomerKeyBlocked }) {
    if (algorithm !== "AES256" && algorithm !== "aws:kms") return undefined;
    if (typeof isBucketKey !== "boolean") return undefined;
    if (isCustomerKeyBlocked !== undefined && isCustomerKeyBlocked !== true) return undefined;
    const blocked = isCustomerKeyBlocked === true ? { isCustomerKeyBlocked: true as const } : {};
    if (keyId === undefined) return { algorithm, isBucketKey, ...blocked };
    return typeof keyId === "string" && algorithm === "aws:kms"
      ? { algorithm, keyId, isBucketKey, ...blocked }
      : undefined;
  },
});
