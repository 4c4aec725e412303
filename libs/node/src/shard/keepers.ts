import { type InodeId, type Millis, newBytes, type Prng, sameBytes } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

/** Inodes of which it is remembered who was told; of those told longest ago nothing is known. */
const toldMax = 65_536;
/** A keeper takes files for so long, and keeps them for so much longer: a client says what has been open for a second. */
const takesMs = 1000;
const keepsMs = 9000;
const clientIdSize = 16;

interface Keeper {
  readonly client: Uint8Array;
  readonly since: number;
  isEnding: boolean;
}

/**
 * Files whose last name goes while a client may have them open of which nothing is heard yet: a native client says so only
 * once they have been open for a while. Whoever was told of such a file, other than who removes it, may have opened it. It is kept for a
 * moment by a keeper, which is a client of the log like others, and ends like them when the node does.
 */
export class Keepers {
  readonly #clock: Clock;
  readonly #prng: Prng;
  /** Who was told of an inode; `undefined` for several. */
  readonly #told = new Map<InodeId, Uint8Array | undefined>();
  readonly #keepers: Keeper[] = [];

  constructor({ clock, prng }: { readonly clock: Clock; readonly prng: Prng }) {
    this.#clock = clock;
    this.#prng = prng;
  }

  /** The client learns of the inode, and may open it. */
  told(inode: InodeId, client: Uint8Array): void {
    const isKnown = this.#told.has(inode);
    const isSame = !isKnown || isClient(this.#told.get(inode), client);
    this.#told.delete(inode); // the newest is the last
    this.#told.set(inode, isSame ? client : undefined);
    if (this.#told.size > toldMax) this.#told.delete(this.#told.keys().next().value!);
  }

  /** Who keeps an inode whose last name `client`, or none, takes away. `undefined`: nobody else was told of it. */
  keeper(inode: InodeId, client: Uint8Array | undefined): Uint8Array | undefined {
    if (!this.#told.has(inode) || isClient(this.#told.get(inode), client)) return undefined;
    const now = this.#clock.monotonic();
    const last = this.#keepers.at(-1);
    if (last !== undefined && now - last.since < takesMs) return last.client;
    const made = { client: this.#prng.fill(newBytes(clientIdSize)), since: now, isEnding: false };
    this.#keepers.push(made);
    return made.client;
  }

  isKeeping(client: Uint8Array): boolean {
    return this.#keepers.some((each) => sameBytes(each.client, client));
  }
  /** Ends with `end` those that have kept for long enough; again where it answers false, or rejects. */
  sweep(now: Millis, end: (client: Uint8Array) => Promise<boolean>): void {
    for (const keeper of this.#keepers) {
      if (keeper.isEnding || now - keeper.since < takesMs + keepsMs) continue;
      keeper.isEnding = true;
      const done = (isEnded: boolean): void => {
        keeper.isEnding = false;
        if (isEnded) this.#keepers.splice(this.#keepers.indexOf(keeper), 1);
      };
      end(keeper.client).then(done, () => done(false));
    }
  }
}

function isClient(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === other ? one !== undefined : !!one && !!other && sameBytes(one, other);
}
