/** One place to connect to. `host` is a name or an address, without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Of the data RPC (DESIGN §1). */
const defaultPort = 9100;
const seedsMax = 64;

/** `host`, `host:port`, `[v6]`, `[v6]:port`; `undefined` for anything else. */
export function parseHostPort(text: string): HostPort | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]@]+))(?::([0-9]{1,5}))?$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3] ?? defaultPort);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

/** A list of seeds, `host:port,…`. @throws {RangeError} that names what is no seed. */
export function parseSeeds(text: string): readonly HostPort[] {
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (words.length === 0 || words.length > seedsMax) {
    throw new RangeError(`Cannot use ${words.length} seeds: from 1 to ${seedsMax}`);
  }
  return words.map((word) => {
    const seed = parseHostPort(word);
    if (seed === undefined) throw new RangeError(`Cannot use "${word}" as a seed: it is host:port`);
    return seed;
  });
}

export const hostPortText = ({ host, port }: HostPort): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
