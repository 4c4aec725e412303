/** What the command lines of the programs share: completion scripts, made of the commands themselves, and a bound of memory. */
export { boundMemory } from "./bound-memory.ts";
export { completionScript, shells } from "./completion.ts";
