import { failpoint, type Keyset, millis, newBytes, operationId } from "@kiseki/base";
import { type EncryptedRow, listEncryptions } from "@kiseki/composition";
import { encodeEncryption, type EncryptionFacts } from "@kiseki/format";
import { type CustomerSeal, resealCustomerSalt } from "@kiseki/keys";
import type { Clock } from "@kiseki/ports";
import type { DataPorts, OpenTenant } from "../object/types.ts";

const rowsPerPage = 2048;
/** Rows that are written anew at once: their commits share batches. */
const rowsAtOnce = 32;

type CustomerFacts = Extract<EncryptionFacts, { kind: "customer" }>;
type CustomerRow = EncryptedRow & { readonly facts: CustomerFacts };

/** Objects, old versions and uploads under customers' keys, in pages between which requests go on. */
async function* walkCustomerRows(
  clock: Clock,
  tenant: Pick<OpenTenant, "store">,
  signal: AbortSignal,
): AsyncGenerator<readonly CustomerRow[]> {
  let after: Uint8Array | undefined;
  do {
    signal.throwIfAborted();
    const from = after;
    const page = tenant.store.view((map) => listEncryptions(map, from, rowsPerPage));
    yield page.rows.filter((row): row is CustomerRow => row.facts.kind === "customer");
    after = page.next;
    await clock.sleep(millis(0), signal);
  } while (after !== undefined);
}

/**
 * Seals under the current keyset what an older one holds of objects under customers' keys: their secret salts
 * alone, never the content (KEYS §1). How many were moved; cut short, the next round goes on.
 */
export async function resealCustomerSalts(
  ports: Pick<DataPorts, "clock" | "crypto" | "prng">,
  tenant: OpenTenant,
  signal: AbortSignal,
): Promise<number> {
  let moved = 0;
  for await (const rows of walkCustomerRows(ports.clock, tenant, signal)) {
    const { current } = tenant.keys("write");
    const old = rows.filter(({ facts }) => facts.keyset < current);
    for (let at = 0; at < old.length; at += rowsAtOnce) {
      const group = old.slice(at, at + rowsAtOnce);
      await Promise.all(group.map((row) => resealRow(ports, tenant, row)));
      moved += group.length;
    }
  }
  return moved;
}

async function resealRow(
  { crypto, prng }: Pick<DataPorts, "crypto" | "prng">,
  tenant: OpenTenant,
  { row, stored, facts }: CustomerRow,
): Promise<void> {
  const keys = tenant.keys("write");
  const from = keys.keyset(facts.keyset);
  if (from === undefined) throw new Error("Cannot reseal a salt: its keyset is not live");
  const seal = resealCustomerSalt(crypto, prng, { from, to: keys.writing }, facts);
  const operation = {
    kind: "encryption_resealed",
    row,
    before: stored,
    encryption: encodeCustomer(seal, keys.current),
  } as const;
  failpoint("reseal-salt");
  const outcome = await tenant.owner.submit(operation, operationId(prng.fill(newBytes(16))));
  if (outcome.kind !== "done") throw new Error(`Cannot reseal: the shard is ${outcome.code}`);
}

/** Counts into `counts` what is under each of its keysets. */
export async function countCustomerSalts(
  clock: Clock,
  tenant: Pick<OpenTenant, "store">,
  counts: ReadonlyMap<Keyset, { customerSalts: number }>,
  signal: AbortSignal,
): Promise<void> {
  for await (const rows of walkCustomerRows(clock, tenant, signal)) {
    for (const { facts } of rows) {
      const count = counts.get(facts.keyset);
      if (count) count.customerSalts += 1;
    }
  }
}

export function encodeCustomer(seal: CustomerSeal, keyset: Keyset): Uint8Array {
  const { checkSalt, check, sealedSalt } = seal;
  return encodeEncryption({ kind: "customer", keyset, checkSalt, check, sealedSalt });
}
