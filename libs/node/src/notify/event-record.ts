import { toUtf8 } from "@kiseki/base";
import type { NoticeRow } from "@kiseki/format";
import { notificationEventName } from "@kiseki/s3";
import { etagText } from "@kiseki/composition";
import type { Message } from "./target.ts";

/** Where in the log a notice stands: what orders the events of one key. */
export interface Place {
  readonly sequence: bigint;
  readonly index: number;
}

const hex = (value: bigint | number, size: number): string =>
  value.toString(16).toUpperCase().padStart(size, "0");
/** Greater for the later of two events of one key, as text of equal length. */
export const sequencerOf = ({ sequence, index }: Place): string =>
  `${hex(sequence, 16)}${hex(index, 4)}`;

/** The place in a sequencer; `undefined` for any other text. */
export function placeOf(sequencer: string): Place | undefined {
  if (!/^[0-9A-F]{20}$/.test(sequencer)) return undefined;
  const index = Number.parseInt(sequencer.slice(16), 16);
  return { sequence: BigInt(`0x${sequencer.slice(0, 16)}`), index };
}

/** As AWS writes keys into events: form encoding, byte by byte. */
function encodeKey(key: Uint8Array): string {
  let text = "";
  for (const byte of key) {
    const sign = String.fromCharCode(byte);
    if (/[A-Za-z0-9*._/-]/.test(sign)) text += sign;
    else text += byte === 0x20 ? "+" : `%${hex(byte, 2)}`;
  }
  return text;
}

/** Kinds that came with later versions of the event's form. */
const laterEvents = /^s3:(?:ObjectTagging|ObjectAcl|LifecycleExpiration|LifecycleTransition)/;

function objectOf(notice: NoticeRow, place: Place, versionId: (version: bigint) => string): object {
  const isGone = notice.event.startsWith("removed") || notice.event.startsWith("expired");
  const content = isGone ? {} : { size: notice.size, eTag: etagText(notice.etag) };
  const version = !notice.isVersioned
    ? {}
    : { versionId: notice.isNull ? "null" : versionId(notice.version) };
  return { key: encodeKey(notice.key), ...content, ...version, sequencer: sequencerOf(place) };
}

export interface EventScope {
  readonly region: string;
  readonly hostId: string;
  /** 64 hex digits that stand for the tenant. */
  readonly owner: string;
  readonly versionId: (version: bigint) => string;
}

/** One notice as AWS's event message, for the rule that wanted it. */
export function eventMessage(
  notice: NoticeRow,
  place: Place,
  ruleId: string,
  { region, hostId, owner, versionId }: EventScope,
): Message {
  const event = notificationEventName(notice.event);
  const record = {
    eventVersion: laterEvents.test(event) ? "2.3" : "2.1",
    eventSource: "aws:s3",
    awsRegion: region,
    eventTime: new Date(notice.time).toISOString(),
    eventName: event.slice("s3:".length),
    userIdentity: { principalId: notice.principal === "" ? "kiseki" : notice.principal },
    requestParameters: { sourceIPAddress: notice.address === "" ? "internal" : notice.address },
    responseElements: { "x-amz-request-id": notice.requestId, "x-amz-id-2": hostId },
    s3: {
      s3SchemaVersion: "1.0",
      configurationId: ruleId,
      bucket: {
        name: notice.bucket,
        ownerIdentity: { principalId: owner },
        arn: `arn:aws:s3:::${notice.bucket}`,
      },
      object: objectOf(notice, place, versionId),
    },
  };
  const body = toUtf8(JSON.stringify({ Records: [record] }));
  return { id: `${owner.slice(0, 16)}-${sequencerOf(place)}`, body };
}

/** What AWS sends to a destination when a bucket's configuration first names it. */
export function testMessage(
  bucket: string,
  requestId: string,
  hostId: string,
  time: number,
): Message {
  const body = {
    Service: "Amazon S3",
    Event: "s3:TestEvent",
    Time: new Date(time).toISOString(),
    Bucket: bucket,
    RequestId: requestId,
    HostId: hostId,
  };
  return { id: `test-${requestId}`, body: toUtf8(JSON.stringify(body)) };
}
