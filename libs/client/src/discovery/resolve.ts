import { lookup } from "node:dns/promises";
import type { HostPort } from "./seeds.ts";

/** Every address of the name, as the system finds them: all A and AAAA records. Rejects when there is none. */
export async function resolveHost({ host, port }: HostPort): Promise<readonly HostPort[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => ({ host: address, port }));
}
