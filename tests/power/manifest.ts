import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { digest, listedName, type S3Client, S3Error, xmlValues } from "../support/s3-client.ts";

/** What a key may hold: the SHA-256 of its bytes, or nothing. */
export type Held = string | null;

/**
 * One line of the manifest, written before a request is sent (`sent`), when it was answered (`acked`), when it was
 * refused with nothing done (`refused`), and when the state after a restart was seen (`seen`).
 */
export type Line =
  | {
      readonly at: "sent" | "seen";
      readonly name: string;
      readonly id: number;
      readonly held: Held;
    }
  | { readonly at: "acked" | "refused"; readonly name: string; readonly id: number }
  /** The power goes with the next instruction: answers noted from here to `up` promise nothing. */
  | { readonly at: "cut" }
  | { readonly at: "up" }
  | { readonly at: "bucket"; readonly name: string }
  /** An answer named the version that it made. */
  | {
      readonly at: "version";
      readonly name: string;
      readonly versionId: string;
      readonly held: Held;
    }
  /** About to be removed by its id: there or not from here on. */
  | { readonly at: "unversion"; readonly versionId: string }
  | { readonly at: "upload"; readonly name: string; readonly uploadId: string }
  | {
      readonly at: "part";
      readonly name: string;
      readonly uploadId: string;
      readonly part: number;
      readonly etag: string;
      readonly digest: string;
    }
  | { readonly at: "closing"; readonly name: string; readonly uploadId: string };

/** Appends to the manifest; each line is in the kernel before the call returns, so a killed writer loses none. */
export const note = (path: string, line: Line): void =>
  appendFileSync(path, `${JSON.stringify(line)}\n`);

/** A multipart upload that was begun and that nobody has tried to end. */
export interface OpenUpload {
  readonly name: string;
  readonly parts: ReadonlyMap<number, { readonly etag: string; readonly digest: string }>;
}

interface Key {
  /** What the last acknowledged write left, or the last look saw. */
  settled: Held;
  /** Sent since and not answered: each may have happened, in the order sent. */
  pending: Map<number, Held>;
}

/** What the manifest promises. */
export interface Promised {
  readonly buckets: ReadonlySet<string>;
  /** `bucket/key` → every state that it may be in. */
  readonly keys: ReadonlyMap<string, ReadonlySet<Held>>;
  readonly uploads: ReadonlyMap<string, OpenUpload>;
  /** By version id: what must be read under it; nothing is a delete marker. */
  readonly versions: ReadonlyMap<string, { readonly name: string; readonly held: Held }>;
  /** Answered writes. */
  readonly acked: number;
  /** Requests in flight when the lines ended. */
  readonly inFlight: number;
}

type KeyLine = Extract<Line, { readonly id: number }>;

function takeKeyLine(keys: Map<string, Key>, line: KeyLine): void {
  const key = keys.get(line.name) ?? { settled: null, pending: new Map<number, Held>() };
  keys.set(line.name, key);
  switch (line.at) {
    case "sent":
      key.pending.set(line.id, line.held);
      return;
    case "refused":
      key.pending.delete(line.id);
      return;
    case "acked":
      // One writer per key: what was sent before it and never answered came before it, or never comes.
      key.settled = key.pending.get(line.id) ?? null;
      key.pending.clear();
      return;
    case "seen":
      key.settled = line.held;
      key.pending.clear();
  }
}

/** Reads a manifest; what the loader was killed in the middle of writing does not count. */
export function readManifest(path: string): Promised {
  const keys = new Map<string, Key>();
  const buckets = new Set<string>();
  const uploads = new Map<
    string,
    OpenUpload & { parts: Map<number, { etag: string; digest: string }> }
  >();
  const versions = new Map<string, { name: string; held: Held }>();
  let acked = 0;
  let isCut = false;
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
  for (const line of lines.map((text) => JSON.parse(text) as Line)) {
    if (line.at === "cut" || line.at === "up") isCut = line.at === "cut";
    else if (line.at === "closing") uploads.delete(line.uploadId);
    else if (line.at === "unversion") versions.delete(line.versionId);
    else if (line.at === "sent" || line.at === "refused" || line.at === "seen") {
      takeKeyLine(keys, line);
    } else if (!isCut) {
      acked += 1;
      if (line.at === "bucket") buckets.add(line.name);
      else if (line.at === "version") versions.set(line.versionId, line);
      else if (line.at === "upload")
        uploads.set(line.uploadId, { name: line.name, parts: new Map() });
      else if (line.at === "part") uploads.get(line.uploadId)!.parts.set(line.part, line);
      else takeKeyLine(keys, line);
    }
  }
  const allowed = [...keys].map(
    ([name, { settled, pending }]) =>
      [name, new Set<Held>([settled, ...pending.values()])] as const,
  );
  const inFlight = [...keys.values()].reduce((sum, { pending }) => sum + pending.size, 0);
  return { buckets, keys: new Map(allowed), uploads, versions, acked, inFlight };
}

const split = (name: string): [bucket: string, key: string] => {
  const slash = name.indexOf("/");
  return [name.slice(0, slash), name.slice(slash + 1)];
};

async function inParallel<T>(all: Iterable<T>, run: (one: T) => Promise<void>): Promise<void> {
  const queue = [...all];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let one = queue.pop(); one !== undefined; one = queue.pop()) await run(one);
    }),
  );
}

interface Seen {
  readonly held: Held;
  readonly size: number;
  readonly etag: string;
}

async function look(client: S3Client, name: string): Promise<Seen> {
  const [bucket, key] = split(name);
  const { status, body, headers } = await client.call("GET", bucket, key);
  const code = status === 200 ? "" : xmlValues(body, "Code")[0];
  if (code === "NoSuchKey" || code === "NoSuchBucket") return { held: null, size: 0, etag: "" };
  if (status !== 200) throw new S3Error(status, code ?? "", Buffer.from(body).toString("utf8"));
  return { held: digest(body), size: body.byteLength, etag: headers.get("etag")! };
}

async function checkUpload(client: S3Client, uploadId: string, upload: OpenUpload) {
  const [bucket, key] = split(upload.name);
  const answer = await client.call("GET", bucket, key, { query: { uploadId } });
  if (answer.status !== 200) return [`upload of ${upload.name}: ${answer.status}`];
  const etags = xmlValues(answer.body, "ETag");
  const numbers = xmlValues(answer.body, "PartNumber");
  return [...upload.parts]
    .filter(([part, { etag }]) => etags[numbers.indexOf(String(part))] !== etag)
    .map(([part]) => `part ${part} of the upload of ${upload.name} is lost`);
}

async function checkVersion(
  client: S3Client,
  versionId: string,
  { name, held }: { readonly name: string; readonly held: Held },
): Promise<string[]> {
  const [bucket, key] = split(name);
  const { status, body } = await client.call("GET", bucket, key, { query: { versionId } });
  if (held === null) return status === 405 ? [] : [`marker ${versionId} of ${name}: ${status}`];
  const isThere = status === 200 && digest(body) === held;
  return isThere ? [] : [`version ${versionId} of ${name}: ${status}, or another content`];
}

/**
 * Reads and hashes everything that the manifest names and compares the listings with it. Returns what is wrong, a
 * line each. What was seen is noted: from then on it may not change by itself.
 */
export async function checkPromises(client: S3Client, path: string): Promise<string[]> {
  const promised = readManifest(path);
  const faults: string[] = [];
  const seen = new Map<string, Seen>();
  await inParallel(promised.keys, async ([name, allowed]) => {
    try {
      const found = await look(client, name);
      seen.set(name, found);
      if (allowed.has(found.held)) return;
      const wanted = [...allowed].map((held) => held?.slice(0, 12) ?? "nothing").join(" or ");
      faults.push(`${name}: ${found.held?.slice(0, 12) ?? "nothing"} instead of ${wanted}`);
    } catch (reason) {
      faults.push(`${name}: ${String(reason)}`);
    }
  });
  for (const bucket of promised.buckets) {
    try {
      const listed = await client.list(bucket, 100);
      const there = [...seen].filter(
        ([name, { held }]) => held !== null && split(name)[0] === bucket,
      );
      for (const [name, { size, etag }] of there) {
        const row = listed.get(listedName(split(name)[1]));
        if (row?.size !== size || row.etag !== etag)
          faults.push(`${name}: listed as ${JSON.stringify(row)}`);
      }
      if (listed.size !== there.length)
        faults.push(`${bucket}: ${listed.size} keys listed, ${there.length} are there`);
    } catch (reason) {
      faults.push(`listing ${bucket}: ${String(reason)}`);
    }
  }
  for (const [uploadId, upload] of promised.uploads)
    faults.push(...(await checkUpload(client, uploadId, upload)));
  await inParallel(promised.versions, async ([versionId, version]) => {
    faults.push(...(await checkVersion(client, versionId, version)));
  });
  for (const [name, { held }] of seen) note(path, { at: "seen", name, id: 0, held });
  return faults;
}
