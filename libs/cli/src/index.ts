/**
 * What the command lines of the programs share: how words are run, exit codes, files that say who calls, completion
 * scripts, made of the commands themselves, and a bound of memory.
 */
export { boundMemory } from "./bound-memory.ts";
export { completionScript, shells } from "./completion.ts";
export { formatSize } from "./format-size.ts";
export { CommandError, type ExitCode, exitCode } from "./exit-codes.ts";
export { runWords } from "./run-words.ts";
export { findIdentityFile, identityNames, readIdentityFile } from "./identity-files.ts";
