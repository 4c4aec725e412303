/** Which events of a bucket's objects go to which targets: PutBucketNotificationConfiguration. */
import { toUtf8 } from "@kiseki/base";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "../errors.ts";
import { readXml, type XmlElement } from "../xml-read.ts";
import { s3Namespace, writeXml, type XmlNode } from "../xml-write.ts";
import { defineSetting } from "./bucket-setting.ts";

/** Kinds of destinations, by the element that configures one and the service in its ARN. */
const kinds = [
  { kind: "topic", element: "TopicConfiguration", arn: "Topic", service: "sns" },
  { kind: "queue", element: "QueueConfiguration", arn: "Queue", service: "sqs" },
  {
    kind: "function",
    element: "CloudFunctionConfiguration",
    arn: "CloudFunction",
    service: "lambda",
  },
] as const;
type Kind = (typeof kinds)[number]["kind"];

/** Every event that AWS lets a bucket subscribe to; `*` stands for all with that beginning. */
export const notificationEvents = [
  "s3:IntelligentTiering",
  "s3:LifecycleExpiration:*",
  "s3:LifecycleExpiration:Delete",
  "s3:LifecycleExpiration:DeleteMarkerCreated",
  "s3:LifecycleTransition",
  "s3:ObjectAcl:Put",
  "s3:ObjectCreated:*",
  "s3:ObjectCreated:CompleteMultipartUpload",
  "s3:ObjectCreated:Copy",
  "s3:ObjectCreated:Post",
  "s3:ObjectCreated:Put",
  "s3:ObjectRemoved:*",
  "s3:ObjectRemoved:Delete",
  "s3:ObjectRemoved:DeleteMarkerCreated",
  "s3:ObjectRestore:*",
  "s3:ObjectRestore:Completed",
  "s3:ObjectRestore:Delete",
  "s3:ObjectRestore:Post",
  "s3:ObjectTagging:*",
  "s3:ObjectTagging:Delete",
  "s3:ObjectTagging:Put",
  "s3:ReducedRedundancyLostObject",
  "s3:Replication:*",
  "s3:Replication:OperationFailedReplication",
  "s3:Replication:OperationMissedThreshold",
  "s3:Replication:OperationNotTracked",
  "s3:Replication:OperationReplicatedAfterThreshold",
] as const;
const eventNames: ReadonlySet<string> = new Set(notificationEvents);

export interface NotificationRule {
  readonly id: string;
  readonly kind: Kind;
  /** As the client wrote it; `notificationTarget` takes it apart. */
  readonly arn: string;
  readonly events: readonly string[];
  readonly prefix: string;
  readonly suffix: string;
}
export interface NotificationConfig {
  readonly rules: readonly NotificationRule[];
}

const rulesMax = 100;
const textSizeMax = 1024;
const idSizeMax = 255;

/** The target in an ARN such as `arn:kiseki:sqs::hook:webhook`; MinIO's have another first word. */
export function notificationTarget(
  arn: string,
): { readonly service: string; readonly id: string; readonly type: string } | undefined {
  const match =
    /^arn:(?:kiseki|minio):(sqs|sns|lambda):[A-Za-z0-9-]{0,64}:([A-Za-z0-9_-]{1,64}):([a-z]{1,32})$/.exec(
      arn,
    );
  return match === null ? undefined : { service: match[1]!, id: match[2]!, type: match[3]! };
}

const malformed = s3Fault("MalformedXML");
const textOf = (element: XmlElement, name: string): string | undefined =>
  element.children.find((child) => child.name === name)?.text;

function parseFilter(
  filter: XmlElement | undefined,
): Pick<NotificationRule, "prefix" | "suffix"> | S3Fault {
  const found = { prefix: "", suffix: "" };
  const given = new Set<string>();
  if (filter === undefined) return found;
  const [key, ...others] = filter.children;
  if (others.length > 0 || (key !== undefined && key.name !== "S3Key")) return malformed;
  for (const rule of key?.children ?? []) {
    const name = textOf(rule, "Name")?.trim().toLowerCase();
    const value = textOf(rule, "Value") ?? "";
    if (rule.name !== "FilterRule" || name === undefined) return malformed;
    if (name !== "prefix" && name !== "suffix") {
      const why = "filter rule name must be either prefix or suffix";
      return invalidArgument("FilterRule.Name", name.slice(0, 256), why);
    }
    if (given.has(name)) {
      const why = `Cannot specify more than one ${name} rule in a filter.`;
      return invalidArgument("FilterRule.Name", name, why);
    }
    if (toUtf8(value).byteLength > textSizeMax) {
      const why = "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation";
      return invalidArgument("FilterRule.Value", value.slice(0, 256), why);
    }
    given.add(name);
    found[name] = value;
  }
  return found;
}

function parseRule(
  element: XmlElement,
): (Omit<NotificationRule, "id"> & { id: string | undefined }) | S3Fault {
  const kind = kinds.find((candidate) => candidate.element === element.name)!;
  const id = textOf(element, "Id");
  const arn = textOf(element, kind.arn)?.trim();
  const named = element.children.filter(({ name }) => name === "Event");
  const events = [...new Set(named.map(({ text }) => text.trim()))];
  const known = new Set<string>(["Id", kind.arn, "Event", "Filter"]);
  if (element.children.some(({ name }) => !known.has(name))) return malformed;
  if (arn === undefined || events.length === 0) return malformed;
  for (const event of events) {
    if (eventNames.has(event)) continue;
    return invalidArgument(
      "Event",
      event.slice(0, 256),
      "The event is not supported for notifications",
    );
  }
  if (id !== undefined && id.length > idSizeMax) {
    return invalidArgument("Id", id.slice(0, 256), "Id length cannot exceed 255");
  }
  if (notificationTarget(arn)?.service !== kind.service) {
    return invalidArgument(kind.arn, arn.slice(0, 256), "The ARN could not be parsed");
  }
  const filters = element.children.filter(({ name }) => name === "Filter");
  if (filters.length > 1) return malformed;
  const filter = parseFilter(filters[0]);
  if (isFault(filter)) return filter;
  return { ...filter, id: id === "" ? undefined : id, kind: kind.kind, arn, events };
}

const base = (event: string): string => (event.endsWith("*") ? event.slice(0, -1) : event);
const shareEvent = (a: NotificationRule, b: NotificationRule): boolean =>
  a.events.some((one) =>
    b.events.some((other) => {
      if (!one.endsWith("*") && !other.endsWith("*")) return one === other;
      return base(one).startsWith(base(other)) || base(other).startsWith(base(one));
    }),
  );

/** AWS takes no two rules that one key and event could both meet. */
function overlapFault(rules: readonly NotificationRule[]): S3Fault | undefined {
  for (const [at, a] of rules.entries()) {
    for (const b of rules.slice(at + 1)) {
      const arePrefixes = a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix);
      const areSuffixes = a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix);
      if (!arePrefixes || !areSuffixes || !shareEvent(a, b)) continue;
      const isPlain = [a.prefix, a.suffix, b.prefix, b.suffix].every((text) => text === "");
      return s3Fault(
        "InvalidArgument",
        isPlain
          ? "Configurations overlap. Configurations on the same bucket cannot share a common event type."
          : "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.",
      );
    }
  }
  return undefined;
}

function parse(document: Uint8Array): NotificationConfig | S3Fault {
  const root = readXml(document, 8192);
  if (root?.name !== "NotificationConfiguration") return malformed;
  if (root.children.length > rulesMax) return malformed;
  const parsed: (Omit<NotificationRule, "id"> & { id: string | undefined })[] = [];
  for (const element of root.children) {
    if (element.name === "EventBridgeConfiguration") {
      return s3Fault("NotImplemented", "There is no EventBridge here.");
    }
    if (!kinds.some((kind) => kind.element === element.name)) return malformed;
    const rule = parseRule(element);
    if (isFault(rule)) return rule;
    parsed.push(rule);
  }
  const ids = new Set<string>();
  for (const { id } of parsed) {
    if (id !== undefined && ids.has(id)) {
      const why = "Same ID used for multiple configurations. IDs must be unique";
      return invalidArgument("Id", id, why);
    }
    if (id !== undefined) ids.add(id);
  }
  let next = 1;
  const rules = parsed.map((rule): NotificationRule => {
    while (rule.id === undefined && ids.has(`rule-${next}`)) next += 1;
    return { ...rule, id: rule.id ?? `rule-${next++}` };
  });
  return overlapFault(rules) ?? { rules };
}

function format({ rules }: NotificationConfig): Uint8Array {
  const nodes = rules.map((rule): XmlNode => {
    const kind = kinds.find((candidate) => candidate.kind === rule.kind)!;
    const filters = (["prefix", "suffix"] as const)
      .filter((name) => rule[name] !== "")
      .map((name): XmlNode => [
        "FilterRule",
        [
          ["Name", name],
          ["Value", rule[name]],
        ],
      ]);
    return [
      kind.element,
      [
        ["Id", rule.id],
        [kind.arn, rule.arn],
        ...rule.events.map((event): XmlNode => ["Event", event]),
        ...(filters.length === 0 ? [] : [["Filter", [["S3Key", filters]]] as XmlNode]),
      ],
    ];
  });
  return writeXml("NotificationConfiguration", s3Namespace, nodes);
}

const isText = (value: unknown): value is string => typeof value === "string";
function readRule(json: unknown): NotificationRule | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { id, kind, arn, events, prefix, suffix } = json as Record<string, unknown>;
  const known = kinds.find((candidate) => candidate.kind === kind);
  if (known === undefined || ![id, arn, prefix, suffix].every(isText)) return undefined;
  if (!Array.isArray(events) || !events.every(isText)) return undefined;
  return {
    id: id as string,
    kind: known.kind,
    arn: arn as string,
    events,
    prefix: prefix as string,
    suffix: suffix as string,
  };
}

export const notificationSetting = defineSetting<NotificationConfig>({
  subresource: "notification",
  stored: "notification",
  documentSizeMax: 256 * 1024,
  isRemovable: false,
  unset: { config: { rules: [] } },
  parse,
  format,
  read({ rules }) {
    if (!Array.isArray(rules)) return undefined;
    const read = rules.map(readRule);
    return read.every((rule) => rule !== undefined) ? { rules: read } : undefined;
  },
});

/** Names of events as rules have them, by what happened. */
const eventOf = {
  "created:put": "s3:ObjectCreated:Put",
  "created:post": "s3:ObjectCreated:Post",
  "created:copy": "s3:ObjectCreated:Copy",
  "created:complete": "s3:ObjectCreated:CompleteMultipartUpload",
  "removed:delete": "s3:ObjectRemoved:Delete",
  "removed:marker": "s3:ObjectRemoved:DeleteMarkerCreated",
  "tagging:put": "s3:ObjectTagging:Put",
  "tagging:delete": "s3:ObjectTagging:Delete",
  "acl:put": "s3:ObjectAcl:Put",
  "expired:delete": "s3:LifecycleExpiration:Delete",
  "expired:marker": "s3:LifecycleExpiration:DeleteMarkerCreated",
  transition: "s3:LifecycleTransition",
} as const satisfies Readonly<Record<string, (typeof notificationEvents)[number]>>;
export type NotificationCause = keyof typeof eventOf;
/** `s3:ObjectCreated:Put`. */
export const notificationEventName = (cause: NotificationCause): string => eventOf[cause];

/** The rules that want it, in their order. */
export function matchNotification(
  { rules }: NotificationConfig,
  cause: NotificationCause,
  key: Uint8Array,
): readonly NotificationRule[] {
  const event = eventOf[cause];
  return rules.filter((rule) => {
    const prefix = toUtf8(rule.prefix);
    const suffix = toUtf8(rule.suffix);
    const isWanted = rule.events.some((each) =>
      each.endsWith("*") ? event.startsWith(base(each)) : each === event,
    );
    return (
      isWanted && hasAt(key, prefix, 0) && hasAt(key, suffix, key.byteLength - suffix.byteLength)
    );
  });
}
const hasAt = (key: Uint8Array, part: Uint8Array, start: number): boolean =>
  start >= 0 && part.every((byte, at) => key[start + at] === byte);
