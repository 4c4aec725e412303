// Goal: a client that died while the node was away loses its locks and open files; one that came back keeps them.
// Method: two clients with a lock and an unlinked open file each, a restart, one of them taken up again.
import { newBytes, toUtf8 } from "@kiseki/base";
import { systemPrng } from "@kiseki/host";
import { expect, test } from "bun:test";
import { type Mount, NativeBed } from "./bed.test-helper.ts";

type Draft = NonNullable<Parameters<Mount["client"]["files"]["apply"]>[0]["operations"]>[number];
const draft = (kind: string, value: object): Draft =>
  ({ operationId: systemPrng.fill(newBytes(16)), kind: { case: kind, value } }) as Draft;
const lock = { kind: "range", isExclusive: true, start: 0n, end: 10n, owner: 1n, process: 42 };

/** A file without a name that the client holds open and has locked. */
async function holdSome({ client, at, root }: Mount, name: string) {
  const place = { parent: root, name: toUtf8(name) };
  const owner = { uid: 0, gid: 0 };
  const make = { ...place, type: "file", mode: 0o600, owner, isExclusive: true, isOpened: true };
  const answer = await client.files.apply({ ...at, operations: [draft("create", make)] });
  const { home, inode } = answer.results[0]!.attributes!;
  const file = { home, inode };
  const operations = [draft("takeLock", { file, lock }), draft("unlink", place)];
  const held = await client.files.apply({ ...at, operations });
  expect(held.results.map(({ failure }) => failure)).toEqual([undefined, undefined]);
  return file;
}

test("sessions that do not come back after a restart are ended, with all that they held", async () => {
  await using bed = await NativeBed.open({ graceMs: 300 });
  const back = await bed.mount();
  const lost = await bed.mount();
  const files = [await holdSome(back, "back"), await holdSome(lost, "lost")];
  await bed.restart();
  const again = await bed.mount("", back.clientId as Uint8Array<ArrayBuffer>);
  const links = async (): Promise<readonly unknown[]> => {
    const found: unknown[] = [];
    for (const file of files) {
      const { failure, attributes } = await again.client.files.getAttributes({ ...again.at, file });
      found.push(failure?.code ?? attributes?.links);
    }
    return found;
  };
  expect(await links()).toEqual([0, 0]);
  for (let i = 0; i < 100 && (await links())[1] === 0; i++) await Bun.sleep(50);
  expect(await links()).toEqual([0, "stale_file"]);
  const other = await bed.mount();
  const [file] = files;
  const tried = await other.client.files.testLock({ ...other.at, file: file!, lock });
  expect(tried.conflict).toMatchObject({ start: 0n, end: 10n });
});
