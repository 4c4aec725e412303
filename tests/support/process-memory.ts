import { open, readFile } from "node:fs/promises";

const pieceSize = 4 * 1024 * 1024;

/** Writable parts of a process's memory of which anything is there: `[start, end)`. */
async function presentParts(pid: number): Promise<readonly (readonly [number, number])[]> {
  const parts: (readonly [number, number])[] = [];
  let part: readonly [number, number] | undefined;
  for (const line of (await readFile(`/proc/${pid}/smaps`, "utf8")).split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (....)/.exec(line);
    if (head) {
      const isData = head[3]!.startsWith("rw");
      part = isData ? [Number.parseInt(head[1]!, 16), Number.parseInt(head[2]!, 16)] : undefined;
    }
    const present = /^Rss: +([0-9]+) kB/.exec(line);
    if (present && part && Number(present[1]) > 0) parts.push(part);
  }
  return parts;
}

/** Whether `wanted` stands anywhere in what a process has written to memory. */
export async function isInMemory(pid: number, wanted: string): Promise<boolean> {
  await using memory = await open(`/proc/${pid}/mem`, "r");
  const piece = Buffer.alloc(pieceSize);
  for (const [start, end] of await presentParts(pid)) {
    // Pieces overlap by what could stand across their border.
    for (let at = start; at < end; at += pieceSize - wanted.length) {
      const size = Math.min(pieceSize, end - at);
      const { bytesRead } = await memory.read(piece, 0, size, at).catch(() => ({ bytesRead: 0 })); // gone meanwhile
      if (piece.subarray(0, bytesRead).includes(wanted)) return true;
      if (at + size >= end) break;
    }
  }
  return false;
}
