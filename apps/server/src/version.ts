import manifest from "../package.json" with { type: "json" };

/** Version of the programs. */
export const version: string = manifest.version;
