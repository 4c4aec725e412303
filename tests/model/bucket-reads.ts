import {
  digest,
  listedName,
  percentEncode,
  type S3Client,
  xmlValues,
} from "../support/s3-client.ts";
import type { BucketModel, ListedVersion, Version } from "./bucket-model.ts";
import type { Command } from "./commands.ts";

/** A bucket as its node shows it now, and the model that it is held against. */
export interface Shown {
  readonly client: S3Client;
  readonly bucket: string;
  readonly model: BucketModel;
}

export function check(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Error(what);
}

/** Values of `<name>` percent-decoded, as latin1 of their bytes. */
export const decoded = (text: string): string =>
  listedName(
    Buffer.from(
      text
        .replaceAll("+", " ")
        .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
          String.fromCharCode(Number.parseInt(digits, 16)),
        ),
      "latin1",
    ),
  );

export const tagName = "colour";
export const otherEtag = `"${"0".repeat(32)}"`;

export async function readKey({ client, bucket, model }: Shown, key: string): Promise<void> {
  const expected = model.current(key);
  const answer = await client.call("GET", bucket, key);
  if (expected === undefined) {
    check(answer.status === 404, `${key}: ${answer.status}, and it is not there`);
    const hasMarker = model.versionsOf(key).length > 0;
    const isMarker = answer.headers.get("x-amz-delete-marker") === "true";
    check(isMarker === hasMarker, `${key}: told a marker: ${isMarker}`);
    return;
  }
  check(answer.status === 200, `${key}: ${answer.status}`);
  check(digest(answer.body) === expected.content!.hash, `${key}: other bytes`);
  const id = answer.headers.get("x-amz-version-id");
  const isTold = model.versioning !== "off" || expected.id !== "null";
  if (isTold) check(id === expected.id, `${key}: version ${id}, not ${expected.id}`);
}

/** ETag of the current object, as the node tells it. */
export async function etagOf({ client, bucket, model }: Shown, key: string): Promise<string> {
  if (model.current(key) === undefined) return otherEtag;
  const answer = await client.call("HEAD", bucket, key);
  check(answer.status === 200, `${key}: HEAD answers ${answer.status}`);
  return answer.headers.get("etag")!;
}

export async function readIf(
  shown: Shown,
  { key, isRight }: Extract<Command, { op: "read_if" }>,
): Promise<void> {
  const { client, bucket, model } = shown;
  const etag = isRight ? await etagOf(shown, key) : otherEtag;
  const isThere = model.current(key) !== undefined;
  for (const [name, wanted] of [
    ["if-match", isRight ? 200 : 412],
    ["if-none-match", isRight ? 304 : 200],
  ] as const) {
    const { status } = await client.call("GET", bucket, key, { headers: { [name]: etag } });
    check(status === (isThere ? wanted : 404), `${key} under ${name} ${etag}: ${status}`);
  }
}

export async function readVersion(shown: Shown, key: string, at: number): Promise<void> {
  const version = shown.model.chosen(key, at);
  const difference = await differenceOf(shown, key, version);
  check(difference === undefined, difference ?? "");
}

/** What of a version is not as the model has it: its content, tag or lock. */
async function differenceOf(
  { client, bucket, model }: Shown,
  key: string,
  version: Version | undefined,
): Promise<string | undefined> {
  const query = { versionId: version?.id ?? "null" };
  const name = `${key} ${query.versionId}`;
  const answer = await client.call("GET", bucket, key, { query });
  const wanted = version === undefined ? 404 : version.content === undefined ? 405 : 200;
  if (answer.status !== wanted) return `${name}: ${answer.status}, not ${wanted}`;
  if (version?.content === undefined) return undefined;
  if (digest(answer.body) !== version.content.hash) return `${name}: other bytes`;
  const { body } = await client.expect("GET", bucket, key, { query: { ...query, tagging: "" } });
  const [tag = ""] = xmlValues(body, "Value");
  if (tag !== version.tag) return `${name}: tag ${tag}, not ${version.tag}`;
  if (!model.isLockEnabled) return undefined;
  const { headers } = answer;
  const isHeld = headers.get("x-amz-object-lock-legal-hold") === "ON";
  const isRetained = headers.get("x-amz-object-lock-mode") === "GOVERNANCE";
  const isSame = isHeld === version.isHeld && isRetained === version.isRetained;
  return isSame ? undefined : `${name}: held ${isHeld}, retained ${isRetained}`;
}

/** Whether the versions of `key` are the model's: listings tell neither content nor tags and locks. */
export async function isKeyAsModelled(shown: Shown, key: string): Promise<boolean> {
  for (const version of shown.model.versionsOf(key)) {
    if ((await differenceOf(shown, key, version)) !== undefined) return false;
  }
  return true;
}

export async function readList(
  { client, bucket, model }: Shown,
  { prefix, delimiter, page }: Omit<Extract<Command, { op: "list" }>, "op">,
): Promise<void> {
  const shown: string[] = [];
  for (let token: string | undefined = ""; token !== undefined;) {
    const query: Record<string, string> = {
      "list-type": "2",
      "encoding-type": "url",
      "max-keys": String(page),
      prefix,
    };
    if (delimiter !== "") query["delimiter"] = delimiter;
    if (token !== "") query["continuation-token"] = token;
    const { body } = await client.expect("GET", bucket, "", { query });
    const text = Buffer.from(body).toString();
    const groups = [...text.matchAll(/<CommonPrefixes>(.*?)<\/CommonPrefixes>/gs)];
    const names = [
      ...xmlValues(text, "Key"),
      ...groups.flatMap(([, piece]) => xmlValues(piece!, "Prefix")),
    ];
    check(names.length <= page, `a page of ${page} shows ${names.length}`);
    shown.push(...names.map(decoded).toSorted());
    token = xmlValues(text, "NextContinuationToken")[0];
  }
  const expected = model.list(prefix, delimiter);
  const isEqual = JSON.stringify(shown) === JSON.stringify(expected);
  check(isEqual, `listed ${JSON.stringify(shown)}, there are ${JSON.stringify(expected)}`);
}

export async function listVersions(
  { client, bucket }: Shown,
  page: number,
): Promise<ListedVersion[]> {
  const listed: ListedVersion[] = [];
  let markers: Record<string, string> | undefined = {};
  while (markers !== undefined) {
    const query: Record<string, string> = {
      versions: "",
      "encoding-type": "url",
      "max-keys": String(page),
      ...markers,
    };
    const { body } = await client.expect("GET", bucket, "", { query });
    const text = Buffer.from(body).toString();
    for (const [, kind, piece] of text.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)) {
      const one = (name: string): string => xmlValues(piece!, name)[0]!;
      listed.push({
        key: decoded(one("Key")),
        id: one("VersionId"),
        isLatest: one("IsLatest") === "true",
        size: kind === "Version" ? Number(one("Size")) : undefined,
      });
    }
    const isTruncated = xmlValues(text, "IsTruncated")[0] === "true";
    const [keyMarker = ""] = xmlValues(text, "NextKeyMarker");
    const [versionMarker = ""] = xmlValues(text, "NextVersionIdMarker");
    markers = isTruncated
      ? {
          "key-marker": Buffer.from(decoded(keyMarker), "latin1").toString("utf8"),
          "version-id-marker": versionMarker,
        }
      : undefined;
  }
  return listed;
}

/** Everything, in small pages. */
export async function compareAll(shown: Shown): Promise<void> {
  const { model } = shown;
  const listed = await listVersions(shown, 3);
  check(model.matches(listed), `in the end listed ${JSON.stringify(listed)}`);
  await readList(shown, { prefix: "", delimiter: "", page: 2 });
  await readList(shown, { prefix: "", delimiter: "/", page: 2 });
  for (const name of model.keys.keys()) {
    const key = Buffer.from(name, "latin1").toString("utf8");
    await readKey(shown, key);
    for (const [at, version] of model.versionsOf(key).entries()) {
      if (version.isHeld || version.isRetained) await checkLocked(shown, key, version);
      await readVersion(shown, key, at);
    }
  }
}

/** A locked version refuses to go: under a legal hold whoever asks, under governance whoever asks for no bypass. */
async function checkLocked({ client, bucket }: Shown, key: string, version: Version) {
  const query = { versionId: version.id! };
  const headers: Record<string, string> = version.isHeld
    ? { "x-amz-bypass-governance-retention": "true" }
    : {};
  const { status } = await client.call("DELETE", bucket, key, { query, headers });
  check(status === 403, `${key} ${version.id} is locked, and a delete answers ${status}`);
}

/** `x-amz-copy-source` of a key, or of one of its versions. */
export const copySource = (bucket: string, key: string, versionId?: string): string =>
  `/${bucket}/${percentEncode(key, true)}${versionId === undefined ? "" : `?versionId=${percentEncode(versionId, false)}`}`;
