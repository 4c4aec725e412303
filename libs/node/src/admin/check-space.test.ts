import { expect, spyOn, test } from "bun:test";
import * as files from "node:fs/promises";
import { tmpdir } from "node:os";
import { checkSpace } from "./check-space.ts";

test("checkSpace() says what is left and taken, and leaves a folder out that does not answer", async () => {
  const answer = await files.statfs(tmpdir());
  const block = { bsize: 1024 ** 2, blocks: 100_000 };
  const free = [6000, 2000, 100];
  const ask = spyOn(files, "statfs");
  ask.mockImplementation((async (path: string) => {
    if (path === "/gone") throw new Error("it is not there");
    return { ...answer, ...block, bavail: free[Number(path.slice(2))] };
  }) as unknown as typeof files.statfs);
  try {
    expect(await checkSpace(["/a0", "/gone", "/a1", "/a2"])).toEqual([
      { taken: "all", detail: "/a0 has 6000 MiB left" },
      { taken: "deletes", detail: "/a1 has 2000 MiB left: only deletes are taken" },
      { taken: "none", detail: "/a2 has 100 MiB left: nothing is written" },
    ]);
  } finally {
    ask.mockRestore();
  }
});
