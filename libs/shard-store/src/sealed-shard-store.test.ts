import { shardStoreContract } from "@kiseki/ports/contract";
import { openSealedPlace } from "./sealed-place.test-helper.ts";

shardStoreContract("SqliteShardStore on a sealed, mirrored file", openSealedPlace, {
  fenced: false,
  unknown: false,
  snapshots: false,
});
