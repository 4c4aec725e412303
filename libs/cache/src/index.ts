/**
 * What a client's second cache tier keeps (layer 2, pure): a machine that decides, and a driver that does the work and
 * tells how it went. Invariants: what may be on the disk never exceeds the room; what is pinned is never evicted; an
 * entry that is read or written is left alone until that has ended; nothing from before a wipe is served after it.
 */
export {
  BlockTable,
  type CacheCapacityExceeded,
  type CacheMode,
  type Ticket,
} from "./block-table.ts";
export { encodeManifest, type Manifest, parseManifest, type StagedFile } from "./manifest.ts";
export {
  type CacheChoice,
  cacheChoices,
  type CachePolicy,
  type CacheRules,
  choiceUnder,
  clusterPolicy,
  clusterRulesOf,
  encodeRules,
  faultsOfRules,
  narrowPolicy,
  parsePolicy,
  parseRules,
  policyConservative,
  policyUsual,
} from "./policy.ts";
export { CacheWatchdog, type KeyAnswer } from "./watchdog.ts";
