/** Mounts a namespace: reads its words, connects, serves the kernel, ends with the mount. */
import "./bound-memory.ts"; // first: it starts the process anew
import { runHelper, runMounter } from "./cli/mounter.ts";
import { version } from "./version.ts";

const words = process.argv.slice(2);
const isHelper = words[0] === "mount-helper";
process.exit(
  isHelper
    ? await runHelper(version, words.slice(1), process.env)
    : await runMounter(version, words, process.env),
);
