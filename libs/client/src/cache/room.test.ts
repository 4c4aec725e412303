import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../files/mount.test-helper.ts";
import { tenant } from "./cache-bed.test-helper.ts";
import type { Pool } from "./pool.ts";
import { Room } from "./room.ts";

test("Room is what policy, other pools and the file system leave", async () => {
  const directory = await mkdtemp(join(tmpdir(), "kiseki-room-"));
  try {
    const paths = ["0a", "0b", "0c"].map((id) => join(directory, tenant, id.repeat(16)));
    for (const path of paths) await mkdir(path, { recursive: true });
    const clock = new TestClock();
    const pool = { id: "0a".repeat(16), path: paths[0]! } as Pool;
    const room = new Room(clock, pool, { directory, nodeSizeMax: 1000 });
    expect([await room.has(1, 1000), await room.has(1, 1001)]).toEqual([true, false]);
    await writeFile(join(paths[1]!, "pool.size"), "600");
    await writeFile(join(paths[2]!, "pool.size"), "no number");
    // What others have is known for a second.
    expect(await room.has(1, 1000)).toBe(true);
    await clock.pass(1000);
    expect([await room.has(1, 400), await room.has(1, 401)]).toEqual([true, false]);

    const { blocks, bavail, bsize } = await statfs(directory);
    const backstop = bavail * bsize - blocks * bsize * 0.1;
    const wide = new Room(clock, pool, { directory, nodeSizeMax: Number.MAX_SAFE_INTEGER });
    const slack = blocks * bsize * 0.02; // others write here, too
    expect(await wide.has(backstop + slack, 1)).toBe(false);
    if (backstop > slack) expect(await wide.has(backstop - slack, 1)).toBe(true);
    const usual = new Room(clock, pool, { directory });
    expect(await usual.has(0, blocks * bsize * 0.9)).toBe(false);
  } finally {
    await rm(directory, { recursive: true });
  }
});
