/** For the simulator: the parts of a node that it runs on simulated ports, as the program runs them on real ones. */
export { LifecycleRefusedError, runRound } from "./lifecycle/bucket-round.ts";
export { noCounts, type Progress } from "./lifecycle/progress.ts";
export { collectGarbage, matchOrphans } from "./node/collector.ts";
export { noteRepairs, repairChunks } from "./node/repairs.ts";
export { Notifier } from "./notify/notifier.ts";
export { DeliveryError, type Message, type NotificationTarget } from "./notify/target.ts";
export { consumerName } from "./notify/target-consumer.ts";
export { Tenants } from "./node/tenants.ts";
export { Widening } from "./node/widening.ts";
export { mapClasses } from "./object/storage-classes.ts";
export { Budget } from "./object/budget.ts";
export { ContentReader, DamagedContentError } from "./object/read-content.ts";
export type { ContentSource, DataPorts, OpenTenant } from "./object/types.ts";
export { writeContent } from "./object/write-content.ts";
export { activeRules, type LifecycleDay, lifecycleSetting, notificationSetting } from "@kiseki/s3";
export { allNodeSafeties, type NodeSafeties } from "./safeties.ts";
export type { Outcome } from "./shard/shard-owner.ts";
