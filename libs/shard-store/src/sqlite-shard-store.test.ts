import { shardStoreContract } from "@kiseki/ports/contract";
import { openPlainPlace } from "./place.test-helper.ts";

shardStoreContract("SqliteShardStore on a plain file", openPlainPlace, {
  fenced: false,
  unknown: false,
  snapshots: false,
});
