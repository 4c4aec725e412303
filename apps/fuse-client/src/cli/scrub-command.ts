import { type ExitCode, exitCode } from "@kiseki/cli";
import type { Command } from "commander";
import { type CacheFlags, readCacheSettings, throwFaults } from "../staging/plan.ts";
import { scrub } from "../staging/scrub.ts";
import type { Run } from "./command.ts";
import { Console } from "./console.ts";

interface Flags extends CacheFlags {
  readonly once?: boolean;
}
const everyMs = 60_000;

async function act(flags: Flags, run: Run): Promise<ExitCode> {
  const console = new Console(run.name, flags.json ?? false);
  try {
    const faults: string[] = [];
    const { cacheDirectory } = readCacheSettings(flags, run.environment, faults);
    throwFaults("scrub", faults);
    for (;;) {
      const { erased, codes } = await scrub(cacheDirectory);
      if (erased > 0 || flags.once) console.say(`${erased} pools erased`, { erased, codes });
      for (const code of codes) console.note(`something could not be erased: ${code}`);
      if (flags.once) return codes.length === 0 ? exitCode.ok : exitCode.general;
      await Bun.sleep(everyMs);
    }
  } catch (reason) {
    return console.fail(reason);
  }
}

/** `cache-scrub`: what killed processes left. */
export function addScrub(program: Command, run: Run): void {
  const command = program
    .command("cache-scrub")
    .description("erase the pools whose processes have ended: this user's, or as root everybody's")
    .option("--cache-dir <dir>", "folder of the cache on disk (KISEKI_CACHE_DIR)")
    .option("--once", "end when that is done; else look again every minute");
  command.action(async () => {
    run.onEnd(await act(command.optsWithGlobals<Flags>(), run));
  });
}
