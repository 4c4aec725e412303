import { toHex } from "@kiseki/base";
import { ConfigError } from "../config/parse-settings.ts";
import type { StorageParts } from "../node/open-storage.ts";
import type { DataPorts } from "../object/types.ts";
import { Notifier } from "./notifier.ts";
import { openTarget, readTargets } from "./read-targets.ts";

const firstRetryMs = 250;
const regionDefault = "us-east-1";
/** As answers to S3's calls have it. */
const hostId = "kiseki";

/** @throws {ConfigError} when the file of targets has changed since the settings were checked. */
export function openNotifier(
  { settings, log, crypto }: Pick<StorageParts, "settings" | "log" | "crypto">,
  ports: DataPorts,
): Notifier {
  const { specs, faults } = readTargets(settings.notificationTargets);
  if (faults.length > 0) throw new ConfigError(faults);
  return new Notifier({
    ports,
    log,
    targets: specs.map(openTarget),
    pace: { firstMs: firstRetryMs, longestMs: settings.notificationRetry * 1000 },
    scopeOf: (tenant) => ({
      region: settings.region === "" ? regionDefault : settings.region,
      hostId,
      owner: toHex(crypto.sha256(tenant.id)),
      versionId: (version) => toHex(tenant.keys("read").versionId(version)),
    }),
  });
}
