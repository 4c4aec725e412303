import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { nativeDirectory as besideSources } from "@kiseki/host";

const besideProgram = `${dirname(process.execPath)}/../native`;

/** Where the native libraries are: named by the environment, beside the installed program, or as built. */
export const nativeDirectory: string =
  process.env["KISEKI_NATIVE_DIR"] ?? (existsSync(besideProgram) ? besideProgram : besideSources);
