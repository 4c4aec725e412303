import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CacheChoice, type CacheRules, faultsOfRules } from "@kiseki/cache";
import type {
  CacheRules as CacheRulesMessage,
  CacheRulesSchema,
} from "./gen/kiseki/v1/cache_pb.ts";

export function toRulesMessage(rules: CacheRules): MessageInitShape<typeof CacheRulesSchema> {
  const { modesAllowed, sizeMax, nodeSizeMax, ...others } = rules;
  return {
    ...others,
    ...(modesAllowed && { modesAllowed: { modes: [...modesAllowed] } }),
    ...(sizeMax !== undefined && { sizeMax: BigInt(sizeMax) }),
    ...(nodeSizeMax !== undefined && { nodeSizeMax: BigInt(nodeSizeMax) }),
  };
}

/** What is not understood is a fault: it may forbid something. `undefined`: it has one. */
export function fromRulesMessage(message: CacheRulesMessage | undefined): CacheRules | undefined {
  if (message === undefined) return undefined;
  const { modesAllowed, sizeMax, nodeSizeMax, disconnectSecondsMax } = message;
  const { isEnabled, isStagingEnabled, keyHealthIntervalMs, metadataTtlMs } = message;
  const rules: CacheRules = {
    ...(isEnabled !== undefined && { isEnabled }),
    ...(modesAllowed && { modesAllowed: modesAllowed.modes as CacheChoice[] }),
    ...(sizeMax !== undefined && { sizeMax: Number(sizeMax) }),
    ...(nodeSizeMax !== undefined && { nodeSizeMax: Number(nodeSizeMax) }),
    ...(metadataTtlMs !== undefined && { metadataTtlMs }),
    ...(disconnectSecondsMax !== undefined && { disconnectSecondsMax }),
    ...(keyHealthIntervalMs !== undefined && { keyHealthIntervalMs }),
    ...(isStagingEnabled !== undefined && { isStagingEnabled }),
  };
  return faultsOfRules(rules).length > 0 ? undefined : rules;
}
