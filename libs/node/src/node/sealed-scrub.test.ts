import { expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { systemClock } from "@kiseki/host";
import {
  makeBucket,
  makeDevices,
  never,
  openAt,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";

const pageSize = 4096;

async function fileIn(folder: string, name: string): Promise<string> {
  const file = (await readdir(folder)).find(
    (each) => each.startsWith(name) && each.endsWith(".db"),
  );
  if (file === undefined) throw new Error(`No ${name} in ${folder}`);
  return `${folder}/${file}`;
}
/** Changes a byte of a page, from 1. */
async function damage(path: string, page: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[(page - 1) * pageSize + 100]! ^= 0xff;
  await writeFile(path, bytes, { flag: "r+" });
}
function logs() {
  const errors: unknown[] = [];
  return { errors, log: { error: (fields: unknown) => void errors.push(fields) } };
}

test("SealedScrub.run() heals pages that nobody reads, and names what no member has", async () => {
  await using folder = await temporaryFolder();
  const devices = await makeDevices(folder.path, 1);
  {
    await using node = await openAt(folder.path, undefined, devices);
    await makeBucket(node);
  }
  await using node = await openAt(folder.path, undefined, devices); // the logs are in the files now
  const { scrub, members } = node.storage;
  const { errors, log } = logs();
  expect(await scrub.run(systemClock, log, never)).toBe(0);
  const before = members.status().healedPages;

  const catalog = await fileIn(`${folder.path}/mirror`, "catalog");
  const good = await readFile(catalog);
  const last = good.byteLength / pageSize;
  expect(last).toBeGreaterThan(16); // more than one step
  await damage(catalog, last);
  expect(await scrub.run(systemClock, log, never)).toBe(0);
  expect(members.status().healedPages).toBe(before + 1);
  expect((await readFile(catalog)).equals(good)).toBe(true);
  expect(errors).toEqual([]);

  for (const name of ["data", "mirror"]) {
    await damage(await fileIn(`${folder.path}/${name}`, "shard"), 2);
  }
  expect(await scrub.run(systemClock, log, never)).toBe(1);
  expect(errors).toMatchObject([{ page: 2, count: 1 }]);

  await node.tenants.close(node.defaultTenant); // its file is closed: nobody has its keys
  expect(await scrub.run(systemClock, log, never)).toBe(0);
  expect(errors.length).toBe(1);
});
