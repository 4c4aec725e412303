import { join } from "node:path";
import { BlockTable, type CacheCapacityExceeded, type CacheMode, type Ticket } from "@kiseki/cache";
import { codeOf, eraseFile } from "./block-file.ts";
import type { Lending } from "./lending.ts";
import type { Pool } from "./pool.ts";
import type { Room } from "./room.ts";

const erasingCountMax = 16;
const imagePrefix = "image:";

export const imageKey = (image: string): string => `${imagePrefix}${image}`;

export interface CacheFilesOptions {
  readonly mode: CacheMode;
  /** Bytes on the disk of this process. */
  readonly sizeMax: number;
  readonly room: Room;
  /** Blocks that are read unasked. */
  readonly lending?: Lending | undefined;
  /** Told whatever goes wrong: reads then go to the nodes. */
  readonly tell: (code: string) => void;
}

/** The files of one pool, blocks and images, as the table says: who may store, and what is erased when. */
export class CacheFiles {
  readonly pool: Pool;
  readonly tell: (code: string) => void;
  readonly #table: BlockTable;
  readonly #room: Room;
  readonly lending: Lending | undefined;
  readonly #tasks = new Set<Promise<void>>();
  #generation = 0;

  constructor(pool: Pool, { mode, sizeMax, room, lending, tell }: CacheFilesOptions) {
    this.pool = pool;
    this.#table = new BlockTable(mode, sizeMax);
    this.#room = room;
    this.lending = lending;
    this.tell = tell;
  }

  /** Bytes that may be on the disk. */
  get sizeOnDisk(): number {
    return this.#table.sizeOnDisk;
  }
  path(key: string): string {
    if (key.startsWith(imagePrefix))
      return join(this.pool.path, "images", key.slice(imagePrefix.length));
    return join(this.pool.path, "chunks", key.slice(0, 2), key);
  }

  /** False: what is not here already is not kept. */
  isAccepting = true;
  /** Grows with each wipe: what was read before one is not kept after it. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether a read would be given a ticket. */
  has(key: string): boolean {
    return this.#table.has(key);
  }
  read(key: string): Ticket | undefined {
    return this.#table.read(key);
  }
  /** Gives a ticket back; see `BlockTable.endRead`. */
  endRead(ticket: Ticket, isRight: boolean): boolean {
    const isServed = this.#table.endRead(ticket, isRight);
    if (!isRight) this.lending?.takeBack(ticket.key);
    this.#eraseSoon(ticket.key);
    return isServed;
  }

  admit(key: string, size: number, isPinned?: boolean): Ticket | CacheCapacityExceeded | undefined {
    if (!this.isAccepting) return undefined;
    this.#noteUses();
    return this.#table.admit(key, size, isPinned);
  }
  /** What was read unasked was used, too. */
  #noteUses(): void {
    for (const key of this.lending?.takeUsed() ?? []) {
      const ticket = this.#table.read(key);
      if (ticket !== undefined) this.endRead(ticket, true);
    }
  }
  /** Makes room, then says whether the file may be written now. */
  async begin(ticket: Ticket): Promise<boolean> {
    await Promise.all(ticket.evicted.map((key) => this.#erase(key)));
    if (!this.#table.begin(ticket)) return false;
    try {
      if (await this.#hasRoom(ticket)) return true;
      this.tell("ENOSPC");
    } catch (reason) {
      this.tell(codeOf(reason));
    }
    await this.endStore(ticket, false);
    return false;
  }
  /** Where others have the room, what is used least makes room again. */
  async #hasRoom({ size }: Ticket): Promise<boolean> {
    if (await this.#room.has(size, this.#table.sizeOnDisk)) return true;
    this.#noteUses();
    const keys = this.#table.evict(size);
    if (keys.length === 0) return false;
    await Promise.all(keys.map((key) => this.#erase(key)));
    return this.#room.has(size, this.#table.sizeOnDisk);
  }
  /** What was not stored is erased, and what was wiped meanwhile. */
  async endStore(ticket: Ticket, isStored: boolean): Promise<void> {
    this.#table.endStore(ticket, isStored);
    await this.#erase(ticket.key);
  }
  /** A file that is there already, and stays. False: there is no room for it. */
  adopt(key: string, size: number): boolean {
    const ticket = this.#table.admit(key, size, true);
    if (ticket === undefined || "kind" in ticket || !this.#table.begin(ticket)) return false;
    this.#table.endStore(ticket, true);
    return true;
  }

  /** Serves it no more, and erases it once nobody reads it. */
  async release(key: string): Promise<void> {
    this.lending?.takeBack(key);
    this.#table.release(key);
    await this.#erase(key);
  }
  /** Erases all that is there; what is read or stored goes when that has ended. */
  async wipe(): Promise<void> {
    this.#generation += 1;
    this.lending?.takeAllBack();
    const keys = this.#table.wipe();
    const eraseSome = async (): Promise<void> => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) await this.#erase(key);
    };
    await Promise.all(Array.from({ length: erasingCountMax }, eraseSome));
  }

  /** Settles when nothing is being stored or erased. */
  async idle(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }
  run(task: Promise<void>): void {
    const settled = task.finally(() => this.#tasks.delete(settled));
    this.#tasks.add(settled);
  }
  #eraseSoon(key: string): void {
    if (this.#table.takeErasable(key)) this.run(this.#eraseNow(key));
  }
  /** Erases the file if it is to go and nobody is at it. */
  async #erase(key: string): Promise<void> {
    if (this.#table.takeErasable(key)) await this.#eraseNow(key);
  }
  async #eraseNow(key: string): Promise<void> {
    this.lending?.takeBack(key);
    try {
      await eraseFile(this.path(key));
      this.#table.erased(key);
    } catch (reason) {
      this.tell(codeOf(reason));
    }
  }
}
