import { failpoint, fromHex, newBytes, type Prng, type ShardId } from "@kiseki/base";
import type { KeysetKeyring } from "@kiseki/keys";
import type { Crypto } from "@kiseki/ports";
import {
  closeSlot,
  createFilledDatabase,
  type MemberSet,
  openDatabase,
} from "@kiseki/sealed-sqlite";
import { copyShard } from "@kiseki/shard-store";
import { type FoundFile, openFileSlot } from "../node/sealed-files.ts";

/** A shard's file and the keysets between which it moves. */
export interface ShardRewrite {
  readonly shard: ShardId;
  readonly name: string;
  /** The file as it is; nobody else has it open. */
  readonly found: FoundFile;
  readonly from: KeysetKeyring;
  readonly to: KeysetKeyring;
}

/**
 * Makes a file under `to` with all that the shard's file under `from` holds. The new one appears whole and
 * synced or not at all; the old one stays, and whoever opens the shard takes the one of the highest keyset.
 * @throws {ShardStoreError} `damaged`: the rows are not what was committed; nothing was made.
 */
export async function rewriteShardFile(
  { crypto, prng, pause }: RewriteTools,
  members: MemberSet,
  { shard, name, found, from, to }: ShardRewrite,
): Promise<void> {
  const oldId = fromHex(found.fileId);
  const fileId = prng.fill(newBytes(16));
  const oldSlot = openFileSlot(crypto, from, oldId);
  const slot = openFileSlot(crypto, to, fileId);
  const sourceSumKey = from.rowSumKey(shard);
  const targetSumKey = to.rowSumKey(shard);
  try {
    const old = { name, fileId: oldId, keyset: found.keyset, slot: oldSlot } as const;
    const source = openDatabase(members, { ...old, synchronous: "full" });
    try {
      failpoint("rewrite-begun");
      await createFilledDatabase(members, { name, fileId, keyset: to.keyset, slot }, (target) =>
        copyShard(source, target, { crypto, sourceSumKey, targetSumKey, pause }),
      );
      failpoint("rewrite-done");
    } finally {
      source.close(true);
    }
  } finally {
    closeSlot(oldSlot);
    closeSlot(slot);
    crypto.wipe(sourceSumKey);
    crypto.wipe(targetSumKey);
  }
}

interface RewriteTools {
  readonly crypto: Crypto;
  readonly prng: Prng;
  /** Waited for between steps, so that other tenants go on. */
  readonly pause: () => Promise<void>;
}
