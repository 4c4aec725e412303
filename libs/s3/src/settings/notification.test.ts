import { fromUtf8, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { isFault } from "../errors.ts";
import { matchNotification, notificationSetting, notificationTarget } from "./notification.ts";

const arn = "arn:kiseki:sqs::hook:webhook";
const document = (inner: string) =>
  toUtf8(`<NotificationConfiguration xmlns="x">${inner}</NotificationConfiguration>`);
const queue = (events: readonly string[], rest = "") =>
  `<QueueConfiguration>${rest}<Queue>${arn}</Queue>${events.map((event) => `<Event>${event}</Event>`).join("")}</QueueConfiguration>`;
const filter = (...rules: readonly (readonly [string, string])[]) =>
  `<Filter><S3Key>${rules.map(([name, value]) => `<FilterRule><Name>${name}</Name><Value>${value}</Value></FilterRule>`).join("")}</S3Key></Filter>`;
function faultOf(inner: string): string {
  const kept = notificationSetting.store(document(inner));
  return isFault(kept) ? `${kept.code}: ${kept.message ?? ""}` : "taken";
}

test("notificationSetting keeps what a client set and shows it again, ids given where none were", () => {
  const inner =
    queue(["s3:ObjectCreated:*"], `<Id>mine</Id>${filter(["Prefix", "a/"], ["suffix", ".jpg"])}`) +
    `<TopicConfiguration><Topic>arn:kiseki:sns:us-east-1:bus:nats</Topic><Event>s3:ObjectRemoved:Delete</Event></TopicConfiguration>` +
    `<CloudFunctionConfiguration><CloudFunction>arn:minio:lambda::x:webhook</CloudFunction><Event>s3:ObjectTagging:*</Event></CloudFunctionConfiguration>`;
  const kept = notificationSetting.store(document(inner)) as Uint8Array;
  const shown = fromUtf8(notificationSetting.show(kept) as Uint8Array);
  expect(shown).toContain(
    `<QueueConfiguration><Id>mine</Id><Queue>${arn}</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>a/</Value></FilterRule><FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter></QueueConfiguration>`,
  );
  expect(shown).toContain("<TopicConfiguration><Id>rule-1</Id>");
  expect(shown).toContain("<CloudFunctionConfiguration><Id>rule-2</Id>");
  expect(fromUtf8(notificationSetting.show(undefined) as Uint8Array)).toContain(
    "<NotificationConfiguration xmlns",
  );
  expect(notificationSetting.decode(notificationSetting.store(document("")) as Uint8Array)).toEqual(
    {
      rules: [],
    },
  );
});

test("notificationSetting refuses as AWS does", () => {
  const put = ["s3:ObjectCreated:Put"];
  const cases: readonly (readonly [string, string])[] = [
    ["<Other/>", "MalformedXML"],
    ["<QueueConfiguration><Event>s3:ObjectCreated:*</Event></QueueConfiguration>", "MalformedXML"],
    [queue([]), "MalformedXML"],
    [queue(put, "<Extra/>"), "MalformedXML"],
    [queue(put, "<Filter><Other/></Filter>"), "MalformedXML"],
    [queue(["s3:Nothing"]), "not supported"],
    [queue(["s3:ObjectCreated:put"]), "not supported"],
    [queue(put, filter(["infix", "a"])), "either prefix or suffix"],
    [queue(put, filter(["prefix", "a"], ["Prefix", "b"])), "more than one prefix"],
    [queue(put, filter(["prefix", "a".repeat(1025)])), "1024"],
    [queue(put, `<Id>${"i".repeat(256)}</Id>`), "Id length"],
    [queue(put, "<Id>a</Id>") + queue(["s3:ObjectRemoved:*"], "<Id>a</Id>"), "unique"],
    [queue(put).replace(":sqs:", ":sns:"), "ARN could not be parsed"],
    [queue(put).replace(arn, "arn:aws:sqs:us-east-1:1:queue"), "ARN could not be parsed"],
    [queue(put) + queue(["s3:ObjectCreated:*"]), "Configurations overlap"],
    [queue(put, filter(["prefix", "a"])) + queue(put, filter(["prefix", "ab"])), "ambiguously"],
    ["<EventBridgeConfiguration/>", "NotImplemented"],
    [queue(put, filter(["prefix", "a"])) + queue(put, filter(["prefix", "b"])), "taken"],
    [queue(put, filter(["suffix", "a"])) + queue(put, filter(["suffix", "b"])), "taken"],
    [queue(put) + queue(["s3:ObjectRemoved:*"]), "taken"],
  ];
  for (const [inner, wanted] of cases) expect(faultOf(inner)).toContain(wanted);
});

test("matchNotification() goes by event, prefix and suffix in bytes", () => {
  const config = notificationSetting.decode(
    notificationSetting.store(
      document(
        queue(["s3:ObjectCreated:*"], `<Id>1</Id>${filter(["prefix", "é/"], ["suffix", ".x"])}`) +
          queue(["s3:ObjectRemoved:DeleteMarkerCreated"], "<Id>2</Id>"),
      ),
    ) as Uint8Array,
  );
  const ids = (
    ...given: Parameters<typeof matchNotification> extends [unknown, ...infer R] ? R : never
  ) => matchNotification(config, ...given).map(({ id }) => id);
  expect(ids("created:post", toUtf8("é/a.x"))).toEqual(["1"]);
  expect(ids("created:copy", toUtf8("e/a.x"))).toEqual([]);
  expect(ids("created:copy", toUtf8("é/.x.y"))).toEqual([]);
  expect(ids("created:copy", toUtf8(".x"))).toEqual([]);
  expect(ids("removed:marker", toUtf8("anything"))).toEqual(["2"]);
  expect(ids("removed:delete", toUtf8("anything"))).toEqual([]);
});

test("notificationTarget() takes ARNs of this node and of MinIO apart", () => {
  expect(notificationTarget(arn)).toEqual({ service: "sqs", id: "hook", type: "webhook" });
  expect(notificationTarget("arn:minio:sns:eu:a_b:nats")).toMatchObject({
    id: "a_b",
    type: "nats",
  });
  for (const bad of [
    "",
    "arn:kiseki:sqs::a:webhook:x",
    "arn:kiseki:s3::a:webhook",
    "arn:kiseki:sqs:: :x",
  ]) {
    expect(notificationTarget(bad)).toBeUndefined();
  }
});
