import type { ChunkId, Prng, SealId, ShardId, TenantId } from "@kiseki/base";
import type { ChunkPools } from "@kiseki/chunk-store";
import type { DirKeys } from "@kiseki/composition";
import type { TenantKeyring } from "@kiseki/keys";
import type { Clock, Crypto, Datapath, Metrics, ShardStore } from "@kiseki/ports";
import type { ChangeFeed } from "../shard/change-feed.ts";
import type { Keepers } from "../shard/keepers.ts";
import type { EditedFiles } from "../shard/edited-files.ts";
import type { Pins } from "../shard/pins.ts";
import type { Readers } from "../shard/readers.ts";
import type { NodeSafeties } from "../safeties.ts";
import type { ShardOwner } from "../shard/shard-owner.ts";
import type { Budget } from "./budget.ts";
import type { PoolOfClass } from "./storage-classes.ts";

/** What moves content: shared by all tenants of a node. */
export interface DataPorts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: Crypto;
  readonly metrics: Metrics;
  readonly datapath: Datapath;
  readonly chunkStore: ChunkPools;
  readonly poolOf: PoolOfClass;
  /** Shares of the arena. */
  readonly budget: Budget;
  /** Objects up to this many bytes are small content. */
  readonly smallSizeMax: number;
  /** Bodies are cut at multiples of this many bytes; at most 4 MiB. */
  readonly chunkSize: number;
  readonly safeties: NodeSafeties;
}

/** A tenant whose keys are here and whose shard is owned by this node. */
export interface OpenTenant {
  readonly id: TenantId;
  readonly shard: ShardId;
  /** The keys for reading, or for writing, which ask for a younger validation. @throws when the KMS is out of reach. */
  readonly keys: (use: "read" | "write") => TenantKeyring;
  /** Names turned into keys, by whichever keyring is at hand; equal for all of them. */
  readonly dirKeys: (keyring: TenantKeyring) => DirKeys;
  readonly store: ShardStore;
  /** Refuses as `busy` while the shard's file is rewritten under a new keyset. */
  readonly owner: Pick<ShardOwner, "submit" | "epoch">;
  readonly pins: Pins;
  readonly readers: Readers;
  /** Of files that lost their last name a moment ago. */
  readonly keepers: Keepers;
  /** What is committed while somebody watches. */
  readonly changes: ChangeFeed;
  /** Where files were written in pieces. */
  readonly edited: EditedFiles;
}

/** The keys of content that is under a customer's key and not the tenant's. */
export interface ContentCipher {
  /** Of one sealing of one chunk; the caller wipes it. */
  chunkDek(chunkId: ChunkId, sealId: SealId): Uint8Array;
}

/** Content as it comes: bytes of the object, whatever they were wrapped in. */
export interface ContentSource {
  /** Fills from the start of `target`, at least 1 byte; 0 at the end. Borrowed until it settles. */
  readInto(target: Uint8Array): Promise<number>;
}
