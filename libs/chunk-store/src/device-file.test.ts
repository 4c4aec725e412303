import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB, TiB } from "@kiseki/base";
import { createDeviceFile } from "./device-file.ts";

test("createDeviceFile() writes it whole, and refuses one that does not fit before it writes a byte", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-device-file-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const path = join(folder, "below/device-0");
  await Bun.write(`${path}.new`, "what an earlier try left");
  const huge = createDeviceFile(path, 4096 * TiB, () => {
    throw new Error("a byte was written");
  });
  await expect(huge).rejects.toMatchObject({ code: "ENOSPC" });
  expect(await readdir(join(folder, "below"))).toEqual([]);
  await createDeviceFile(path, MiB);
  const { size, blocks } = await stat(path);
  expect([size, blocks * 512]).toEqual([MiB, MiB]);
  await expect(createDeviceFile(path, MiB)).rejects.toMatchObject({ code: "EEXIST" });
});
