/**
 * Writes to a node until it is killed or the node is gone, and notes in a manifest what was sent and what was
 * answered. Runs as a process of its own: `bun load.ts PORT MANIFEST SEED ROUND WRITERS`, keys in the environment.
 */
import { type Prng, prngFromSeed } from "../../libs/base/src/index.ts";
import { BrokenConnectionError } from "../support/raw-http.ts";
import { content, digest, S3Client, S3Error } from "../support/s3-client.ts";
import { type Held, note, readManifest } from "./manifest.ts";

const [port = "", path = "", seed = "", round = "", writers = ""] = process.argv.slice(2);
const client = new S3Client(Number(port), {
  accessKey: process.env["LOAD_ACCESS_KEY"]!,
  secretKey: process.env["LOAD_SECRET_KEY"]!,
});
let counter = Number(round) * 1_000_000;
/** Versioning is on in it. */
const versionedBucket = "power-2";
/** By name, oldest first. */
const versions = new Map<string, string[]>();
const sizes = [0, 100, 3000, 4096, 5000, 20_000, 65_536, 200_000, 1_100_000, 4_300_000];
/** Few keys written again and again: zones empty, are compacted and used again under the cuts. */
const isChurn = process.env["LOAD_CHURN"] === "1";
const keysPerWriter = isChurn ? 2 : 16;

/** Notes a write, makes it, notes its answer; false: refused. A 503 leaves it open whether it happened. */
async function write(
  name: string,
  held: Held,
  send: () => Promise<string | undefined>,
): Promise<boolean> {
  const id = (counter += 1);
  note(path, { at: "sent", name, id, held });
  let versionId: string | undefined;
  try {
    versionId = await send();
  } catch (reason) {
    const isFull = reason instanceof S3Error && reason.status === 507; // refused before anything was done
    if (!(reason instanceof S3Error) || (reason.status >= 500 && !isFull)) throw reason;
    note(path, { at: "refused", name, id });
    if (isFull) await Bun.sleep(100);
    else console.error(`refused: ${name}: ${reason.message}`);
    return false;
  }
  note(path, { at: "acked", name, id });
  if (name.startsWith(`${versionedBucket}/`)) {
    if (versionId === undefined) throw new Error(`${name} was written and has no version id`);
    note(path, { at: "version", name, versionId, held });
    await trimVersions(name, versionId);
  }
  return true;
}

/** A key's last three versions stay: all of them would fill the devices. */
async function trimVersions(name: string, versionId: string): Promise<void> {
  const ids = versions.get(name) ?? [];
  versions.set(name, ids);
  ids.push(versionId);
  if (ids.length <= 3) return;
  const oldest = ids.shift()!;
  note(path, { at: "unversion", versionId: oldest });
  const slash = name.indexOf("/");
  await client.expect("DELETE", name.slice(0, slash), name.slice(slash + 1), {
    query: { versionId: oldest },
  });
}

/** Bodies that nobody else has, and now and then one that several have: dedup is under the cut too. */
function bodyOf(prng: Prng): Uint8Array {
  if (isChurn) return content(`own ${prng.below(2 ** 32)}`, 700_000 + prng.below(50));
  const isShared = prng.chance(1, 5);
  const largest = prng.chance(1, 12) ? sizes.length : 8;
  const name = isShared ? `shared ${prng.below(6)}` : `own ${prng.below(2 ** 32)}`;
  return content(name, isShared ? 30_000 : sizes[prng.below(largest)]! + prng.below(50));
}

async function multipart(prng: Prng, bucket: string, key: string): Promise<void> {
  const name = `${bucket}/${key}`;
  const uploadId = await client.createUpload(bucket, key);
  note(path, { at: "upload", name, uploadId });
  const parts = [
    content(`${uploadId} 1`, 5 * 1024 * 1024),
    content(`${uploadId} 2`, prng.below(9000) + 1),
  ];
  const etags: string[] = [];
  for (const [at, part] of parts.entries()) {
    const etag = await client.uploadPart(bucket, key, uploadId, at + 1, part);
    note(path, { at: "part", name, uploadId, part: at + 1, etag, digest: digest(part) });
    etags.push(etag);
  }
  if (prng.chance(1, 3)) return; // stays open: its parts must outlive the cut
  note(path, { at: "closing", name, uploadId });
  const whole = digest(Buffer.concat(parts));
  await write(name, whole, () => client.completeUpload(bucket, key, uploadId, etags));
}

/** What was acknowledged of the upload stays noted. */
async function waitWhenFull(reason: unknown): Promise<void> {
  if (!(reason instanceof S3Error) || reason.status !== 507) throw reason;
  await Bun.sleep(100);
}

async function writer(number: number): Promise<void> {
  const prng = prngFromSeed(Number(seed) * 1000 + Number(round) * 50 + number);
  const held = new Map<string, Uint8Array>();
  for (let step = 0; ; step += 1) {
    const bucket = `power-${prng.below(isChurn ? 1 : 3)}`;
    const at = prng.below(keysPerWriter);
    const key = `w${number}/${at % 3 === 0 ? "deep/er/" : ""}${at % 4 === 0 ? "" : "d/"}k${at}`;
    const name = `${bucket}/${key}`;
    const kind = prng.below(40);
    if (kind < 5) {
      await write(name, null, () => client.delete(bucket, key));
      held.delete(name);
    } else if (kind < 8 && held.size > 0) {
      const [from, body] = [...held][prng.below(held.size)]!;
      const source = from.slice(bucket.length + 1);
      if (!from.startsWith(bucket) || source === key) continue;
      const isDone = await write(name, digest(body), () => client.copy(bucket, source, key));
      if (isDone) held.set(name, body);
    } else if (kind === 8 && number < 2 && !isChurn) {
      await multipart(prng, bucket, `w${number}/multipart`).catch(waitWhenFull);
    } else if (kind === 9 && number === 0 && !isChurn) {
      const fresh = `power-r${round}-s${step}`;
      await client.createBucket(fresh);
      note(path, { at: "bucket", name: fresh });
    } else {
      const body = bodyOf(prng);
      const isDone = await write(name, digest(body), () => client.put(bucket, key, body));
      if (isDone) held.set(name, body);
    }
  }
}

const { buckets: known, uploads: old, versions: kept } = readManifest(path);
for (const [versionId, { name }] of kept) {
  versions.set(name, [...(versions.get(name) ?? []), versionId]);
}
for (const bucket of ["power-0", "power-1", "power-2"]) {
  if (known.has(bucket)) continue;
  await client.createBucket(bucket).catch((reason: unknown) => {
    // Made before the last cut, without an answer: one owner may make it again.
    if (!(reason instanceof S3Error) || !reason.code.startsWith("BucketAlready")) throw reason;
  });
  note(path, { at: "bucket", name: bucket });
}
await client.expect("PUT", versionedBucket, "", {
  query: { versioning: "" },
  body: "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
});
// Parts that outlived a cut have been seen; left for ever they would fill the devices.
for (const [uploadId, { name }] of old) {
  note(path, { at: "closing", name, uploadId });
  const slash = name.indexOf("/");
  await client.expect("DELETE", name.slice(0, slash), name.slice(slash + 1), {
    query: { uploadId },
  });
}
console.log("loading");
try {
  await Promise.all(Array.from({ length: Number(writers) }, (_, at) => writer(at)));
} catch (reason) {
  if (!(reason instanceof BrokenConnectionError)) console.error(`stopped: ${String(reason)}`);
}
process.exit(0);
