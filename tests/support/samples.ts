import { content, digest, type S3Client, S3Error } from "./s3-client.ts";

const bucket = "samples";
const sizes = [0, 1, 100, 4096, 4097, 9000, 70_000, 300_000, 1_500_000, 4_194_305];
const copies = 3;

/** What reading every sample came to. */
export interface Reading {
  readonly right: number;
  /** Keys that were refused with an error, or whose answer broke off. */
  readonly failed: readonly string[];
}

const keyOf = (size: number, copy: number): string => `directory ${copy}/size ${size}`;

/** Number of samples. */
export const sampleCount: number = sizes.length * copies;

/** Stores objects on both sides of each limit. */
export async function putSamples(client: S3Client): Promise<void> {
  await client.createBucket(bucket);
  for (let copy = 0; copy < copies; copy += 1) {
    await Promise.all(
      sizes.map((size) => {
        const key = keyOf(size, copy);
        return client.put(bucket, key, content(key, size), {
          headers: { "x-amz-meta-sample": key },
        });
      }),
    );
  }
}

/** Reads every sample and the listing. @throws {Error} when a wrong byte or name was served. */
export async function readSamples(client: S3Client): Promise<Reading> {
  const failed: string[] = [];
  let right = 0;
  for (let copy = 0; copy < copies; copy += 1) {
    for (const size of sizes) {
      const key = keyOf(size, copy);
      const isRight = await readSample(client, key, size);
      if (isRight) right += 1;
      else failed.push(key);
    }
  }
  const listing = await client.call("GET", bucket, "", { query: { "list-type": "2" } });
  if (listing.status >= 500) failed.push("the listing");
  else if ((await client.list(bucket)).size !== sampleCount) throw new Error("names are missing");
  return { right, failed };
}

async function readSample(client: S3Client, key: string, size: number): Promise<boolean> {
  let got: Uint8Array | undefined;
  try {
    got = await client.get(bucket, key);
  } catch (reason) {
    if (reason instanceof S3Error && reason.status < 500) throw reason;
    return false; // refused, or cut off before the end: the client sees that it failed
  }
  if (got === undefined) throw new Error(`${key} is said not to exist`);
  if (digest(got) !== digest(content(key, size))) throw new Error(`wrong bytes of ${key}`);
  return true;
}
