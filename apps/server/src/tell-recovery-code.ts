import { fstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "@kiseki/telemetry";

/** In the config directory, beside the node secret: whoever reads it there has that already. */
const fileName = "recovery-code";

/** Whether standard output goes into systemd's journal, which keeps what it gets (systemd.exec, `$JOURNAL_STREAM`). */
function isJournal(): boolean {
  const stream = process.env["JOURNAL_STREAM"];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(1, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** Prints the recovery code of a first start, once; a journal gets only the name of a file, mode 0600, that has it. */
export function tellRecoveryCode(code: string, configDirectory: string, log: Logger): void {
  if (!isJournal()) {
    console.log(JSON.stringify({ recovery_code: code }));
    return;
  }
  const path = join(configDirectory, fileName);
  writeFileSync(path, `${code}\n`, { mode: 0o600, flush: true });
  log.warn({ path }, "the recovery code is in this file: write it down, then delete the file");
}
