/** A compute node's data at hand: stages datasets, looks after caches, mounts. */
import "./bound-memory.ts"; // first: it starts the process anew
import { runClient } from "./cli/client.ts";
import { version } from "./version.ts";

process.exit(await runClient(version, process.argv.slice(2), process.env));
