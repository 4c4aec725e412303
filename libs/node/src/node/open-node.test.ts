import { expect, test } from "bun:test";
import { open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { keyset, newBytes, prngFromSeed, sealId } from "@kiseki/base";
import { listObjects } from "@kiseki/composition";
import { openDatapath } from "@kiseki/datapath";
import { nativeDirectory, systemPrng } from "@kiseki/host";
import { deriveRoot, KeysetKeyring, type KeyTools } from "@kiseki/keys";
import { fragmentStride } from "@kiseki/ports";
import {
  crypto,
  get,
  makeBucket,
  namespace,
  never,
  openAt,
  put,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";

test("openNode() keeps what was stored over a stop and a start, and gives its recovery code once", async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(5);
  const contents = [0, 1, 4096, 4097, 100_000, 4_194_304, 9_000_001].map((size) =>
    prng.fill(newBytes(size)),
  );
  const codes: string[] = [];
  let credentials: unknown;
  {
    await using node = await openAt(folder.path, (code) => codes.push(code));
    credentials = node.credentials;
    await makeBucket(node);
    for (const [i, content] of contents.entries()) await put(node, `dir/${i}`, content);
    for (const [i, content] of contents.entries())
      expect(await get(node, `dir/${i}`)).toEqual(Buffer.from(content));
  }
  await using node = await openAt(folder.path, (code) => codes.push(code));
  expect(codes.length).toBe(1);
  expect(node.credentials).toEqual(credentials as typeof node.credentials);
  expect(node.epoch).toBe(2n as typeof node.epoch);
  for (const [i, content] of contents.entries())
    expect(await get(node, `dir/${i}`)).toEqual(Buffer.from(content));
  const tenant = await node.openDefaultTenant(never);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const page = tenant.store.view((map) =>
    listObjects(map, dirKeys, {
      namespace,
      prefix: newBytes(0),
      delimiter: Buffer.from("/"),
      countMax: 10,
    }),
  );
  expect(page.kind === "page" && page.items.map(({ kind }) => kind)).toEqual(["prefix"]);
  expect((await stat(`${folder.path}/config/credentials.json`)).mode & 0o777).toBe(0o600);
});

test("openNode() formats devices again whose first format was cut short, and no others", async () => {
  await using folder = await temporaryFolder();
  await (await openAt(folder.path))[Symbol.asyncDispose]();
  const note = `${folder.path}/config/devices`;
  const unfinished = `${folder.path}/config/formatting.json`;
  const device = `${folder.path}/data/device-0`;
  expect(await readFile(note, "utf8")).toBe("formatted\n");
  expect(await Bun.file(unfinished).exists()).toBe(false);
  await rm(note);
  await writeFile(unfinished, `${JSON.stringify({ paths: [device] })}\n`);
  const file = await open(device, "r+");
  await file.write(newBytes(4096), 0, 4096, 0);
  await file.write(newBytes(2048).fill(7), 0, 2048, 61_440 + 1024);
  await file.close();
  await using node = await openAt(folder.path);
  expect(await readFile(note, "utf8")).toBe("formatted\n");
  await makeBucket(node);
  const bytes = prngFromSeed(8).fill(newBytes(10_000));
  await put(node, "key", bytes);
  expect(await get(node, "key")).toEqual(Buffer.from(bytes));
});

test("a second write of the same bytes is a dedup hit: nothing new is stored", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  const bytes = prngFromSeed(6).fill(newBytes(5_000_000));
  await put(node, "one", bytes);
  const { chunks } = node.ports.chunkStore.status();
  await put(node, "two", bytes);
  expect(node.ports.chunkStore.status().chunks).toBe(chunks);
  expect(await get(node, "two")).toEqual(Buffer.from(bytes));
});

test("equal plaintext is stored as different bytes in two tenants, in two keysets, and sealed twice", async () => {
  await using datapath = openDatapath({
    directory: nativeDirectory,
    arenaSize: 16 * 1024 * 1024,
    computeThreads: 1,
    deviceThreads: 1,
  });
  const tools: KeyTools = { crypto, openSecret: (size) => crypto.openSecret(size) };
  const random = (size: number) => systemPrng.fill(newBytes(size));
  const keyringOf = (number: number) =>
    new KeysetKeyring(
      tools,
      random(16) as never,
      keyset(number),
      deriveRoot(crypto, random(32), random(32)),
    );
  const [first, second, nextKeyset] = [keyringOf(1), keyringOf(1), keyringOf(2)];
  const size = 200_000;
  const profile = { kind: "copies", copies: 1 } as const;
  using source = datapath.arena.lend(size)!;
  prngFromSeed(1).fill(source.bytes.subarray(0, size));
  const chunkId = random(32) as never;
  const seal = async (keyring: KeysetKeyring, seal: Uint8Array): Promise<Buffer> => {
    using target = datapath.arena.lend(fragmentStride(profile, size, 0))!;
    const identity = {
      chunkId,
      sealId: sealId(seal),
      dek: keyring.chunkDek(chunkId, sealId(seal), "none"),
    };
    const [fragment] = await datapath.seal({
      source: { lease: source, offset: 0, size },
      identity,
      profile,
      headerRoom: 0,
      target,
    });
    return Buffer.from(target.bytes.slice(fragment!.offset, fragment!.offset + fragment!.size));
  };
  const same = random(16);
  const base = await seal(first, same);
  expect(await seal(first, same)).toEqual(base); // the comparison can tell: all equal gives equal bytes
  for (const other of [
    await seal(second, same),
    await seal(nextKeyset, same),
    await seal(first, random(16)),
  ]) {
    expect(other.length).toBe(base.length);
    // Nonces are counters and equal; no run of 16 ciphertext bytes is.
    for (let offset = 12; offset + 16 <= base.length; offset += 4096) {
      expect(other.subarray(offset, offset + 16).equals(base.subarray(offset, offset + 16))).toBe(
        false,
      );
    }
  }
});
