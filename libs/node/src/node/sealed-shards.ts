import { AssertionError, failpoint, millis, type Prng, type ShardId, toHex } from "@kiseki/base";
import type { KeysetKeyring, TenantKeyring } from "@kiseki/keys";
import type { Clock, Crypto } from "@kiseki/ports";
import { closeSlot, type MemberSet, openCommitter, SealedSqliteError } from "@kiseki/sealed-sqlite";
import { openSqliteShardStore, RowBudget } from "@kiseki/shard-store";
import type { Logger } from "@kiseki/telemetry";
import { rewriteShardFile } from "../keys/rewrite-shard-file.ts";
import type { SealedScrub } from "./sealed-scrub.ts";
import { filesNamed, type FoundFile, namingFile, openSealedFile } from "./sealed-files.ts";
import type { OpenedShard } from "./tenants.ts";

/** Rows of some 15,000 objects that are read again and again, or what is made of them, of all open tenants together. */
const rowsSizeMax = 48 * 1024 * 1024;

export interface ShardTools {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly prng: Prng;
  readonly log: Pick<Logger, "error" | "info">;
}

export const shardFileName = (shard: ShardId): string => `shard-${toHex(shard)}`;

/**
 * Opens shard files of a member set, each under its tenant's keys; of an older keyset too, with the way to rewrite it
 * under the current one. What a rewriting that was cut short left is removed.
 */
export function sealedShards(
  tools: ShardTools,
  members: MemberSet,
  scrub: Pick<SealedScrub, "add" | "forget">,
): (shard: ShardId, keyring: TenantKeyring, isNew: boolean) => OpenedShard {
  const rows = new RowBudget(rowsSizeMax);
  return (shard, keyring, isNew) => {
    const name = shardFileName(shard);
    members.deleteUnfinished(name);
    const found = filesNamed(members, name)[0];
    const keys = {
      keyset: keyring.current,
      of: (keyset: number) => keysOf(keyring, keyset),
    };
    const file = openSealedFile(tools, members, name, keys, isNew);
    try {
      const sumKey = keysOf(keyring, file.keyset).rowSumKey(shard);
      const { crypto } = tools;
      const store = namingFile(members, name, () =>
        openSqliteShardStore({ openDatabase: file.open, openCommitter, crypto, sumKey, rows }),
      );
      // Only now, that the newer one was read, the older ones are not needed any more.
      for (const other of filesNamed(members, name)) {
        if (other.keyset >= file.keyset) continue;
        failpoint("rewrite-opened");
        members.deleteFile(other.file);
      }
      scrub.add(file);
      const close = () => {
        scrub.forget(file);
        closeSlot(file.slot);
      };
      if (!found || found.keyset >= keyring.current) return { store, close };
      const rewrite: OpenedShard["rewrite"] = (signal, onStep) => {
        const pause = async (): Promise<void> => {
          onStep();
          await tools.clock.sleep(millis(0), signal);
        };
        return rewriteOrKeep(tools, members, { shard, keyring, found, pause }, signal);
      };
      return { store, close, rewrite };
    } catch (reason) {
      closeSlot(file.slot);
      throw reason;
    }
  };
}

function keysOf(keyring: TenantKeyring, number: number): KeysetKeyring {
  const live = [...keyring.keysets].find((keyset) => keyset === number);
  const keys = live && keyring.keyset(live);
  if (!keys) throw new Error(`Cannot open the shard: its keyset ${number} is not live`);
  return keys;
}

interface Rewriting {
  readonly shard: ShardId;
  readonly keyring: TenantKeyring;
  readonly found: FoundFile;
  /** Rejects when the rewriting is to end. */
  readonly pause: () => Promise<void>;
}

/**
 * True when the shard has a file under the current keyset. A shard that cannot be rewritten (no room for a second
 * file, rows that are not what was committed) stays under its keyset and goes on; a later opening
 * tries again, and the keyset lives until it came through.
 */
async function rewriteOrKeep(
  { crypto, prng, log }: ShardTools,
  members: MemberSet,
  { shard, keyring, found, pause }: Rewriting,
  signal: AbortSignal,
): Promise<boolean> {
  const name = shardFileName(shard);
  try {
    await rewriteShardFile({ crypto, prng, pause }, members, {
      shard,
      name,
      found,
      from: keysOf(keyring, found.keyset),
      to: keyring.writing,
    });
    log.info({ from: found.keyset, to: keyring.current }, "a shard was rewritten");
    return true;
  } catch (reason) {
    if (reason instanceof AssertionError) throw reason;
    if (reason instanceof SealedSqliteError && reason.code === "no_member") throw reason;
    members.deleteUnfinished(name);
    if (!signal.aborted) {
      const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
      log.error({ error }, "a shard stays under its old keyset; a later opening tries again");
    }
    // It may have appeared before what failed: then it is what the next opening takes.
    return filesNamed(members, name).some(({ keyset }) => keyset > found.keyset);
  }
}
