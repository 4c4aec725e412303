import { AssertionError, failpoint, millis, type Prng, type ShardId, toHex } from "@kiseki/base";
import type { KeysetKeyring, TenantKeyring } from "@kiseki/keys";
import type { Clock, Crypto } from "@kiseki/ports";
import { closeSlot, type MemberSet, SealedSqliteError } from "@kiseki/sealed-sqlite";
import { openSqliteShardStore } from "@kiseki/shard-store";
import type { Logger } from "@kiseki/telemetry";
import { rewriteShardFile } from "../keys/rewrite-shard-file.ts";
import { filesNamed, namingFile, openSealedFile } from "./sealed-files.ts";
import type { OpenedShard } from "./tenants.ts";

export interface ShardTools {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly prng: Prng;
  readonly log: Pick<Logger, "error" | "info">;
}

export const shardFileName = (shard: ShardId): string => `shard-${toHex(shard)}`;

/**
 * Opens shard files of a member set, each under its tenant's keys. A file of an older keyset is rewritten
 * under the current one first; what a rewriting that was cut short left is removed.
 */
export function sealedShards(
  tools: ShardTools,
  members: MemberSet,
): (shard: ShardId, keyring: TenantKeyring, isNew: boolean) => Promise<OpenedShard> {
  return async (shard, keyring, isNew) => {
    const name = shardFileName(shard);
    members.deleteUnfinished(name);
    const found = filesNamed(members, name)[0];
    if (found && found.keyset < keyring.current) {
      await rewriteOrKeep(tools, members, shard, keyring, found);
    }
    const keys = {
      keyset: keyring.current,
      of: (keyset: number) => keysOf(keyring, keyset),
    };
    const file = openSealedFile(tools, members, name, keys, isNew);
    try {
      const sumKey = keysOf(keyring, file.keyset).rowSumKey(shard);
      const { crypto } = tools;
      const store = namingFile(members, name, () =>
        openSqliteShardStore({ openDatabase: file.open, crypto, sumKey }),
      );
      // Only now, that the newer one was read, the older ones are not needed any more.
      for (const other of filesNamed(members, name)) {
        if (other.keyset >= file.keyset) continue;
        failpoint("rewrite-opened");
        members.deleteFile(other.file);
      }
      return { store, close: () => void closeSlot(file.slot) };
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

/**
 * A shard that cannot be rewritten (no room for a second file, rows that are not what was committed) stays under
 * its keyset and goes on; the next opening tries again, and the keyset lives until it came through.
 */
async function rewriteOrKeep(
  { clock, crypto, prng, log }: ShardTools,
  members: MemberSet,
  shard: ShardId,
  keyring: TenantKeyring,
  found: { readonly file: string; readonly fileId: string; readonly keyset: number },
): Promise<void> {
  const signal = new AbortController().signal;
  const from = keysOf(keyring, found.keyset);
  try {
    await rewriteShardFile({ crypto, prng, pause: () => clock.sleep(millis(0), signal) }, members, {
      shard,
      name: shardFileName(shard),
      found,
      from,
      to: keyring.writing,
    });
    log.info({ from: found.keyset, to: keyring.current }, "a shard was rewritten");
  } catch (reason) {
    if (reason instanceof AssertionError) throw reason;
    if (reason instanceof SealedSqliteError && reason.code === "no_member") throw reason;
    members.deleteUnfinished(shardFileName(shard));
    const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
    log.error({ error }, "a shard stays under its old keyset; the next opening tries again");
  }
}
