import { notificationEventName } from "@kiseki/s3";
import { RpcError } from "@kiseki/rpc";
import { placeOf, sequencerOf } from "../notify/event-record.ts";
import { countShelf } from "../notify/shelves.ts";
import { targetArn } from "../notify/target.ts";
import type { OpenTenant } from "../object/types.ts";
import type { AdminParts } from "./types.ts";

const pageMax = 500;

/** Every target, with how far it is in the tenant's log. */
export function listTargets({ node: { notifier } }: AdminParts, tenant: OpenTenant) {
  return notifier.targets.map((target) => {
    const status = notifier.status(tenant.id, target.id);
    return {
      id: target.id,
      type: target.type,
      arn: targetArn(target),
      place: target.place,
      state: status?.state ?? "closed",
      behindCount: BigInt(status?.behind ?? 0),
      queuedCount: BigInt(countShelf(tenant, "queued", target.id)),
      deadCount: BigInt(countShelf(tenant, "dead", target.id)),
      trouble: status?.trouble ?? "",
    };
  });
}

function checkTarget({ node: { notifier } }: AdminParts, id: string): void {
  if (notifier.targets.some((target) => target.id === id)) return;
  throw new RpcError(
    "not_found",
    `There is no target ${JSON.stringify(id.slice(0, 64))}; "kiseki notification targets" shows all`,
  );
}

/** One page of what a target would not take. @throws {RpcError} `not_found`, `invalid`. */
export function listDeadLetters(
  parts: AdminParts,
  tenant: OpenTenant,
  { target, after }: { readonly target: string; readonly after: string },
) {
  checkTarget(parts, target);
  const place = after === "" ? undefined : placeOf(after);
  if (after !== "" && place === undefined)
    throw new RpcError("invalid", "That is no place in the list");
  const letters = parts.node.notifier.dead(tenant, target, pageMax, place);
  const last = letters.length < pageMax ? undefined : letters.at(-1);
  return {
    letters: letters.map((letter) => ({
      sequencer: sequencerOf(letter.place),
      event: notificationEventName(letter.notice.event),
      bucket: letter.notice.bucket,
      key: new Uint8Array(letter.notice.key),
      eventUnixMs: BigInt(letter.notice.time),
      refusedUnixMs: BigInt(letter.row.time),
      reason: letter.row.reason,
    })),
    next: last === undefined ? "" : sequencerOf(last.place),
  };
}

/** @throws {RpcError} `not_found`. */
export async function retryDeadLetters(
  parts: AdminParts,
  tenant: OpenTenant,
  target: string,
): Promise<{ readonly count: bigint }> {
  checkTarget(parts, target);
  return { count: BigInt(await parts.node.notifier.retry(tenant, target)) };
}
