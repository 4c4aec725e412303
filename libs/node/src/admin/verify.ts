import { ChunkStoreError } from "@kiseki/chunk-store";
import { millis, toUtf8 } from "@kiseki/base";
import {
  type FoundObject,
  listNamespaces,
  listReferences,
  listVersions,
  isUnderCustomerKey,
  lookupNamespace,
  lookupObject,
  lookupUsage,
  readContent,
  type VersionListItem,
  type VersionListQuery,
} from "@kiseki/composition";
import type { NamespaceRow } from "@kiseki/format";
import { RpcError } from "@kiseki/rpc";
import { ContentReader, DamagedContentError } from "../object/read-content.ts";
import type { OpenTenant } from "../object/types.ts";
import { following } from "./following.ts";
import type { AdminParts } from "./types.ts";

const namespacesPerPage = 1000;
const objectsPerPage = 256;
const piecesPerPage = 1024;
const referencesPerPage = 2048;
/** Objects read at once; few, since requests share devices and arena. */
const objectsAtOnce = 4;
/** Findings that wait for the caller to take them. */
const findingsMax = 1000;

interface Finding {
  readonly bucket: string;
  readonly key: Uint8Array;
  readonly version: string;
  readonly state: "degraded" | "lost";
  readonly detail: string;
}
type Health = Pick<Finding, "state" | "detail"> | undefined;
type Version = Extract<VersionListItem, { kind: "version" }>;

/** One walk over names, chunks and fragments. */
class Verification {
  readonly #parts: AdminParts;
  /** Asked for anew for each page: a key manager that was silent for a while closes and opens it. */
  #tenant: OpenTenant;
  readonly #isQuick: boolean;
  readonly #namespaces: readonly NamespaceRow[];
  #findings: Finding[] = [];
  #objects = 0;
  #bytes = 0;
  #degraded = 0;
  #lost = 0;
  #chunks = 0;
  #lostChunks = 0;
  readonly #total: number;

  constructor(parts: AdminParts, tenant: OpenTenant, bucket: string, isQuick: boolean) {
    this.#parts = parts;
    this.#tenant = tenant;
    this.#isQuick = isQuick;
    this.#namespaces = bucket === "" ? allNamespaces(tenant) : [oneNamespace(tenant, bucket)];
    this.#total = tenant.store.view((map) =>
      this.#namespaces.reduce((sum, { id }) => {
        const usage = lookupUsage(map, id);
        return sum + usage.objects + usage.oldVersions;
      }, 0),
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    for (const namespace of this.#namespaces) await this.#walk(namespace, signal);
    await this.#walkReferences(signal);
  }

  snapshot(isDone: boolean) {
    const damaged = this.#findings;
    this.#findings = [];
    return {
      objectCount: BigInt(this.#objects),
      objectTotal: BigInt(Math.max(this.#total, this.#objects)),
      byteCount: BigInt(this.#bytes),
      degradedCount: BigInt(this.#degraded),
      lostCount: BigInt(this.#lost),
      chunkCount: BigInt(this.#chunks),
      lostChunkCount: BigInt(this.#lostChunks),
      damaged,
      isDone,
    };
  }

  async #walk(namespace: NamespaceRow, signal: AbortSignal): Promise<void> {
    let after: VersionListQuery["after"];
    do {
      signal.throwIfAborted();
      this.#tenant = await this.#parts.node.openDefaultTenant(signal);
      const { store, keys, dirKeys } = this.#tenant;
      const nothing = toUtf8("");
      const query = {
        namespace: namespace.id,
        prefix: nothing,
        delimiter: nothing,
        after,
        countMax: objectsPerPage,
      };
      const page = store.view((map) => listVersions(map, dirKeys(keys("read")), query));
      if (page.kind !== "page") return; // deleted meanwhile
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < page.items.length) {
          signal.throwIfAborted();
          const item = page.items[next++]!;
          if (item.kind === "version") await this.#check(namespace, item, signal);
        }
      };
      await Promise.all(Array.from({ length: objectsAtOnce }, work));
      await new Promise((resolve) => setImmediate(resolve)); // requests go on between pages
      after = page.next;
    } while (after !== undefined);
  }

  async #check(namespace: NamespaceRow, item: Version, signal: AbortSignal): Promise<void> {
    if (item.entry.kind === "delete_marker") return;
    const { store, keys, dirKeys, readers } = this.#tenant;
    using _ = readers.enter();
    const query = {
      namespace: namespace.id,
      key: item.key,
      ...(item.isLatest ? {} : { version: item.entry.version }),
    };
    const found = store.view((map) => lookupObject(map, dirKeys(keys("read")), query));
    this.#objects += 1;
    if (found.kind !== "object") return; // deleted meanwhile, or a directory by itself
    this.#bytes += found.entry.size;
    const health = (await this.#read(found, signal)) ?? (await this.#inspect(found, signal));
    if (health === undefined) return;
    if (health.state === "lost") this.#lost += 1;
    else this.#degraded += 1;
    while (this.#findings.length >= findingsMax) {
      await this.#parts.clock.sleep(millis(50), signal);
    }
    const version = item.isLatest ? "" : item.entry.isNull ? "null" : String(item.entry.version);
    this.#findings.push({ bucket: namespace.name, key: item.key, version, ...health });
  }

  /** The way of a GET, to the last byte. */
  async #read(found: FoundObject, signal: AbortSignal): Promise<Health> {
    if (this.#isQuick || found.entry.size === 0) return undefined;
    if (isUnderCustomerKey(found.cold.attributes)) return undefined; // scrub reads it; its tags need the key
    const place = this.#tenant.readers.enter();
    const content = { found, start: 0, end: found.entry.size, place, signal };
    using reader = new ContentReader(this.#parts.node.ports, this.#tenant, content);
    try {
      while ((await reader.next()) !== undefined) signal.throwIfAborted();
      return undefined;
    } catch (reason) {
      if (reason instanceof ChunkStoreError && reason.code === "unavailable") {
        return { state: "lost", detail: reason.message };
      }
      if (!(reason instanceof DamagedContentError)) throw reason;
      const detail =
        reason.kind === "tampered"
          ? "its checksums are right and its tags are wrong: somebody changed it"
          : "too few good fragments are left";
      return { state: "lost", detail };
    }
  }

  /** What the index knows of the object's chunks. */
  async #inspect({ entry, cold }: FoundObject, signal: AbortSignal): Promise<Health> {
    const { chunkStore } = this.#parts.node.ports;
    let missing = 0;
    let next: number | undefined = 0;
    while (next !== undefined && next < entry.size) {
      signal.throwIfAborted();
      const range: { readonly start: number; readonly end: number } = {
        start: next,
        end: entry.size,
      };
      const page = this.#tenant.store.view((map) =>
        readContent(map, cold.content, range, piecesPerPage),
      );
      for (const piece of page.pieces) {
        if (piece.kind === "hole") continue;
        const { chunkId } = piece.address;
        const { sealId } = piece.seal;
        if (!chunkStore.has(chunkId, sealId)) {
          const { pool } = piece.address;
          const isAbsent = chunkStore
            .pools()
            .some(({ number, status }) => number === pool && status === undefined);
          const detail = isAbsent ? "its pool is absent" : "too few good fragments are left";
          return { state: "lost", detail };
        }
        missing += chunkStore.inspect(chunkId, sealId)?.missing ?? 0;
      }
      next = page.next;
    }
    if (missing === 0) return undefined;
    return { state: "degraded", detail: `readable; ${missing} fragments wait for repair` };
  }

  /** What names do not reach: parts of uploads in progress. */
  async #walkReferences(signal: AbortSignal): Promise<void> {
    const { chunkStore } = this.#parts.node.ports;
    let after: Uint8Array | undefined;
    do {
      signal.throwIfAborted();
      const from = after;
      this.#tenant = await this.#parts.node.openDefaultTenant(signal);
      const page = this.#tenant.store.view((map) => listReferences(map, from, referencesPerPage));
      for (const { chunkId, sealId, from: named } of page.references) {
        if (named === "drop" || named === "condemned") continue;
        this.#chunks += 1;
        if (!chunkStore.has(chunkId, sealId)) this.#lostChunks += 1;
      }
      after = page.next;
      await new Promise((resolve) => setImmediate(resolve));
    } while (after !== undefined);
  }
}

function allNamespaces(tenant: OpenTenant): readonly NamespaceRow[] {
  const rows: NamespaceRow[] = [];
  for (let after: string | undefined; ;) {
    const from = after;
    const page = tenant.store.view((map) => listNamespaces(map, from, namespacesPerPage));
    rows.push(...page.namespaces);
    if (page.next === undefined) return rows;
    after = page.next;
  }
}

function oneNamespace(tenant: OpenTenant, name: string): NamespaceRow {
  const row = tenant.store.view((map) => lookupNamespace(map, name));
  if (row === undefined) {
    throw new RpcError(
      "not_found",
      `There is no bucket ${JSON.stringify(name.slice(0, 64))}; "kiseki bucket list" shows all`,
    );
  }
  return row;
}

/** Names every object that cannot be read whole (`lost`) or lacks fragments (`degraded`). */
export async function* verify(
  parts: AdminParts,
  request: { readonly bucket: string; readonly quick: boolean },
  signal: AbortSignal,
) {
  const tenant = await parts.node.openDefaultTenant(signal);
  const verification = new Verification(parts, tenant, request.bucket, request.quick);
  yield* following(
    parts.clock,
    (working) => verification.run(working),
    (isDone) => verification.snapshot(isDone),
    signal,
  );
}
