import { expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { keyset, namespaceId, newBytes, operationId, prngFromSeed, sealId } from "@kiseki/base";
import { listObjects, lookupObject } from "@kiseki/composition";
import { openDatapath } from "@kiseki/datapath";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { deriveRoot, KeysetKeyring, type KeyTools } from "@kiseki/keys";
import { fragmentStride } from "@kiseki/ports";
import { openLogger, openMetrics } from "@kiseki/telemetry";
import { parseSettings } from "../config/parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "../config/server-settings.ts";
import { ContentReader } from "../object/read-content.ts";
import type { ContentSource } from "../object/types.ts";
import { writeContent } from "../object/write-content.ts";
import { openNode, type StorageNode } from "./open-node.ts";

const crypto = openCrypto();
const never = new AbortController().signal;

async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(`${tmpdir()}/kiseki-node-`);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function openAt(
  path: string,
  onRecoveryCode: (code: string) => void = () => {},
): Promise<StorageNode> {
  const words = ["--data-dir", `${path}/data`, "--config-dir", `${path}/config`];
  const { settings } = parseSettings(serverSettings, {
    words: [
      ...words,
      "--mirror",
      `${path}/mirror`,
      "--device-size",
      "128MiB",
      "--arena-size",
      "32MiB",
    ],
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  });
  return openNode({
    clock: systemClock,
    prng: systemPrng,
    crypto,
    metrics: openMetrics(),
    log: openLogger("silent"),
    settings,
    nativeDirectory,
    onRecoveryCode,
    onFatal(reason) {
      throw reason;
    },
  });
}

function sourceOf(bytes: Uint8Array): ContentSource {
  let offset = 0;
  return {
    async readInto(target) {
      const part = bytes.subarray(offset, offset + Math.min(target.byteLength, 100_000));
      target.set(part);
      offset += part.byteLength;
      return part.byteLength;
    },
  };
}

const namespace = namespaceId(newBytes(16).fill(3));
const attributes = { headers: [], userMetadata: [], checksums: [] };

async function put(node: StorageNode, key: string, bytes: Uint8Array): Promise<void> {
  const tenant = await node.openDefaultTenant(never);
  const id = operationId(systemPrng.fill(newBytes(16)));
  const request = {
    operationId: id,
    size: bytes.byteLength,
    algorithms: new Set([]),
    signal: never,
  };
  using written = await writeContent(node.ports, tenant, sourceOf(bytes), request);
  const outcome = await tenant.owner.submit(
    {
      kind: "put_object",
      namespace,
      key: Buffer.from(key),
      content: written.content,
      size: bytes.byteLength,
      etag: { md5: written.digests.get("md5")!, parts: 0 },
      attributes,
    },
    id,
  );
  expect(outcome.kind).toBe("done");
}

async function get(node: StorageNode, key: string): Promise<Uint8Array> {
  const tenant = await node.openDefaultTenant(never);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const place = tenant.readers.enter();
  const found = tenant.store.view((map) =>
    lookupObject(map, dirKeys, { namespace, key: Buffer.from(key) }),
  );
  if (found.kind !== "object") throw new Error(`Cannot find ${key}: ${found.kind}`);
  const end = found.entry.size;
  using reader = new ContentReader(node.ports, tenant, {
    found,
    start: 0,
    end,
    place,
    signal: never,
  });
  const parts: Uint8Array[] = [];
  for (let part = await reader.next(); part !== undefined; part = await reader.next()) {
    parts.push(part.slice());
  }
  return Buffer.concat(parts);
}

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
    const tenant = await node.openDefaultTenant(never);
    const id = operationId(newBytes(16));
    await tenant.owner.submit({ kind: "create_namespace", id: namespace, name: "bucket" }, id);
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

test("a second write of the same bytes is a dedup hit: nothing new is stored", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  const tenant = await node.openDefaultTenant(never);
  await tenant.owner.submit(
    { kind: "create_namespace", id: namespace, name: "bucket" },
    operationId(newBytes(16)),
  );
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
