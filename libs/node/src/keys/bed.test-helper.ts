/** A whole node in a folder of its own, with objects put and read through the object path. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { namespaceId, newBytes, operationId, type TenantId } from "@kiseki/base";
import { lookupObject } from "@kiseki/composition";
import type { KeyNeed } from "@kiseki/kms";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { Clock } from "@kiseki/ports";
import { openLogger, openMetrics } from "@kiseki/telemetry";
import { parseSettings } from "../config/parse-settings.ts";
import { foreignVariables, ignoredVariables, serverSettings } from "../config/server-settings.ts";
import { openNode, type StorageNode } from "../node/open-node.ts";
import { ContentReader } from "../object/read-content.ts";
import type { ContentCipher, ContentSource, DataPorts, OpenTenant } from "../object/types.ts";
import { writeContent } from "../object/write-content.ts";

export const crypto = openCrypto();
export const never = new AbortController().signal;
export const namespace = namespaceId(newBytes(16).fill(3));
export const newId = () => operationId(systemPrng.fill(newBytes(16)));

export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(`${tmpdir()}/kiseki-node-`);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Small blank device files in `path` for `openAt`: a node that makes its own fills them with zeros first. */
export async function makeDevices(path: string, count: number): Promise<readonly string[]> {
  const paths = Array.from({ length: count }, (_, number) => `${path}/disk-${number}`);
  for (const each of paths) {
    await writeFile(each, "");
    await truncate(each, 128 * 1024 * 1024);
  }
  return paths;
}

export function openAt(
  path: string,
  onRecoveryCode: (code: string) => void = () => undefined,
  devices: readonly string[] = [],
  clock: Clock = systemClock,
  words: readonly string[] = [],
): Promise<StorageNode> {
  const places = ["--data-dir", `${path}/data`, "--config-dir", `${path}/config`];
  if (devices.length > 0) places.push("--devices", devices.join(","));
  const sizes = ["--device-size", "128MiB", "--arena-size", "32MiB"];
  const { settings } = parseSettings(serverSettings, {
    words: [...places, "--mirror", `${path}/mirror`, ...sizes, ...words],
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  });
  return openNode({
    clock,
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

export function sourceOf(bytes: Uint8Array): ContentSource {
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

const openOf = (
  node: StorageNode,
  id: TenantId | undefined,
  need: KeyNeed = "write",
): Promise<OpenTenant> => node.tenants.open(id ?? node.defaultTenant, need, never);

export async function makeBucket(node: StorageNode, id?: TenantId): Promise<void> {
  const tenant = await openOf(node, id);
  await tenant.owner.submit({ kind: "create_namespace", id: namespace, name: "bucket" }, newId());
}

/** @throws what a request would be refused with. */
export async function put(
  node: StorageNode,
  key: string,
  bytes: Uint8Array,
  id?: TenantId,
  sealed?: { readonly cipher: ContentCipher; readonly stored: Uint8Array },
  pool = 0,
): Promise<void> {
  const tenant = await openOf(node, id);
  const operation = newId();
  const request = {
    operationId: operation,
    size: bytes.byteLength,
    algorithms: new Set([]),
    signal: never,
    cipher: sealed?.cipher,
    pool,
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
      attributes: {
        ...{ headers: [], userMetadata: [], checksums: [] },
        ...(sealed && { encryption: sealed.stored }),
      },
    },
    operation,
  );
  if (outcome.kind === "done") return;
  written.discard();
  throw new Error(`refused: ${outcome.code}`);
}

export async function openReader(
  node: StorageNode,
  key: string,
  id?: TenantId,
  need?: KeyNeed,
  ports: DataPorts = node.ports,
  cipher?: ContentCipher,
): Promise<ContentReader> {
  const tenant = await openOf(node, id, need);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const place = tenant.readers.enter();
  const found = tenant.store.view((map) =>
    lookupObject(map, dirKeys, { namespace, key: Buffer.from(key) }),
  );
  if (found.kind !== "object") throw new Error(`Cannot find ${key}: ${found.kind}`);
  const end = found.entry.size;
  return new ContentReader(ports, tenant, { found, start: 0, end, place, signal: never, cipher });
}

export async function readAll(reader: ContentReader): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let part = await reader.next(); part !== undefined; part = await reader.next()) {
    parts.push(part.slice());
  }
  return Buffer.concat(parts);
}

export async function get(
  node: StorageNode,
  key: string,
  id?: TenantId,
  need?: KeyNeed,
): Promise<Buffer> {
  using reader = await openReader(node, key, id, need);
  return await readAll(reader);
}
