import type { Keyset } from "@kiseki/base";
import type { Reference } from "@kiseki/composition";
import type { KeysetUse } from "@kiseki/keys";
import type { Clock } from "@kiseki/ports";
import type { MemberSet } from "@kiseki/sealed-sqlite";
import { countCustomerSalts } from "./customer-salts.ts";
import { filesNamed } from "../node/sealed-files.ts";
import { shardFileName } from "../node/sealed-shards.ts";
import type { OpenTenant } from "../object/types.ts";
import { walkReferences } from "../object/walk-references.ts";
import { countOldEntries } from "./old-log.ts";

/** What lies under one keyset of a tenant, fully counted. */
export type CountedUse = { readonly [Part in keyof KeysetUse]: number };

interface Counts {
  chunks: number;
  smallContents: number;
  customerSalts: number;
}

/** Small content keeps its kind when it is condemned, which its row does not tell: what is dropped counts as chunks. */
const isSmall = ({ from }: Reference): boolean => from === "cold" || from === "manifest";

/**
 * Counts what lies under each live keyset older than the current one. Condemned seals count until the
 * collector has deleted them; nothing new comes under an older keyset while the tenant is open, so a zero
 * stays one.
 */
export async function countUses(
  clock: Clock,
  members: Pick<MemberSet, "listFiles">,
  tenant: OpenTenant,
  signal: AbortSignal,
): Promise<ReadonlyMap<Keyset, CountedUse>> {
  const keys = tenant.keys("read");
  const old = [...keys.keysets].filter((keyset) => keyset < keys.current);
  const counts = new Map(
    old.map((keyset): [Keyset, Counts] => [
      keyset,
      { chunks: 0, smallContents: 0, customerSalts: 0 },
    ]),
  );
  if (old.length > 0) {
    await countSeals(clock, tenant, counts, signal);
    await countCustomerSalts(clock, tenant, counts, signal);
  }
  const files = filesNamed(members, shardFileName(tenant.shard));
  return new Map(
    [...counts].map(([keyset, { chunks, smallContents, customerSalts }]) => [
      keyset,
      {
        chunks,
        smallContents,
        customerSalts,
        tenantSecrets: 0, // the current keyset opened them
        shardFiles: files.filter((file) => file.keyset === keyset).length,
        logs: countOldEntries(tenant.store, keyset),
        snapshots: 0, // a single node makes none
      },
    ]),
  );
}

async function countSeals(
  clock: Clock,
  tenant: OpenTenant,
  counts: ReadonlyMap<Keyset, Counts>,
  signal: AbortSignal,
): Promise<void> {
  for await (const references of walkReferences(clock, tenant, signal)) {
    for (const reference of references) {
      const count = counts.get(reference.keyset);
      if (count === undefined || reference.from === "condemned") continue; // its drop row comes too
      if (isSmall(reference)) count.smallContents += 1;
      else count.chunks += 1;
    }
  }
}
