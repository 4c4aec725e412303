/** Where a bucket's access log goes: PutBucketLogging. */
import { toUtf8 } from "@kiseki/base";
import { invalidArgument, s3Fault, type S3Fault } from "../errors.ts";
import { readXml, type XmlElement } from "../xml-read.ts";
import { s3Namespace, writeXml, type XmlNode } from "../xml-write.ts";
import { defineSetting } from "./bucket-setting.ts";

/** `simple`: prefix and time; the others sort by account, region, bucket and day. */
export type LogKeyFormat = "simple" | "event_time" | "delivery_time";
/** Without a target there is no log. */
export interface LoggingConfig {
  readonly target?: {
    readonly bucket: string;
    readonly prefix: string;
    readonly format: LogKeyFormat;
  };
}

const prefixSizeMax = 800;
const malformed = s3Fault("MalformedXML");
const dateSources: Readonly<Record<string, LogKeyFormat>> = {
  EventTime: "event_time",
  DeliveryTime: "delivery_time",
};

function parseFormat(element: XmlElement | undefined): LogKeyFormat | undefined {
  if (element === undefined) return "simple";
  const [choice, ...others] = element.children;
  if (choice === undefined || others.length > 0) return undefined;
  if (choice.name === "SimplePrefix") return choice.children.length === 0 ? "simple" : undefined;
  if (choice.name !== "PartitionedPrefix") return undefined;
  const [source] = choice.children;
  if (source === undefined) return "delivery_time";
  const name = source.text.trim();
  return source.name === "PartitionDateSource" && Object.hasOwn(dateSources, name)
    ? dateSources[name]
    : undefined;
}

function parse(document: Uint8Array): LoggingConfig | S3Fault {
  const root = readXml(document, 256);
  const [enabled, ...others] = root?.children ?? [];
  if (root?.name !== "BucketLoggingStatus" || others.length > 0) return malformed;
  if (enabled === undefined) return {};
  if (enabled.name !== "LoggingEnabled") return malformed;
  const children = new Map(enabled.children.map((child) => [child.name, child]));
  const known = new Set(["TargetBucket", "TargetGrants", "TargetObjectKeyFormat", "TargetPrefix"]);
  const isKnown = [...children.keys()].every((name) => known.has(name));
  if (!isKnown || children.size !== enabled.children.length) return malformed;
  const bucket = children.get("TargetBucket")?.text.trim();
  const prefix = children.get("TargetPrefix")?.text;
  const format = parseFormat(children.get("TargetObjectKeyFormat"));
  if (bucket === undefined || prefix === undefined || format === undefined) return malformed;
  if ((children.get("TargetGrants")?.children.length ?? 0) > 0) {
    const why = "Grants are not taken: the log belongs to the owner of the target bucket.";
    return s3Fault("InvalidArgument", why, [["ArgumentName", "TargetGrants"]]);
  }
  if (toUtf8(prefix).byteLength > prefixSizeMax) {
    const why = `TargetPrefix is longer than ${prefixSizeMax} bytes`;
    return invalidArgument("TargetPrefix", prefix.slice(0, 256), why);
  }
  return { target: { bucket, prefix, format } };
}

function formatNodes(format: LogKeyFormat): XmlNode {
  const source = Object.keys(dateSources).find((name) => dateSources[name] === format);
  const choice: XmlNode =
    source === undefined
      ? ["SimplePrefix", ""]
      : ["PartitionedPrefix", [["PartitionDateSource", source]]];
  return ["TargetObjectKeyFormat", [choice]];
}
function format({ target }: LoggingConfig): Uint8Array {
  if (target === undefined) return writeXml("BucketLoggingStatus", s3Namespace, "");
  return writeXml("BucketLoggingStatus", s3Namespace, [
    [
      "LoggingEnabled",
      [
        ["TargetBucket", target.bucket],
        ["TargetPrefix", target.prefix],
        formatNodes(target.format),
      ],
    ],
  ]);
}

const isFormat = (value: unknown): value is LogKeyFormat =>
  value === "simple" || value === "event_time" || value === "delivery_time";

export const loggingSetting = defineSetting<LoggingConfig>({
  subresource: "logging",
  stored: "logging",
  documentSizeMax: 64 * 1024,
  isRemovable: false,
  unset: { config: {} },
  parse,
  format,
  read({ target }) {
    if (target === undefined) return {};
    if (typeof target !== "object" || target === null) return undefined;
    const { bucket, prefix, format: kind } = target as Record<string, unknown>;
    if (typeof bucket !== "string" || typeof prefix !== "string" || !isFormat(kind))
      return undefined;
    return { target: { bucket, prefix, format: kind } };
  },
});
