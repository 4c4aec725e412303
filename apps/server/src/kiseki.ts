/** The administration command: reads its words, calls the node, ends with the exit code of spec §8.8. */
import { runProgram } from "./cli/program.ts";
import { version } from "./version.ts";

process.exit(await runProgram(version, process.argv.slice(2)));
