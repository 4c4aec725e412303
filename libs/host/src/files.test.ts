import { expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDirectory, replaceFile } from "./files.ts";

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kiseki-host-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("replaceFile() leaves the new content alone in the folder, for its owner alone", async () => {
  await using at = await folder();
  const path = join(at.path, "a");
  await writeFile(`${path}.new`, "torn by an earlier run, and longer", { mode: 0o644 });
  await replaceFile(path, "one");
  await replaceFile(path, new Uint8Array([0x74, 0x77, 0x6f]));
  expect(await readFile(path, "utf8")).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(at.path)).toEqual(["a"]);
});

test("makeDirectory() makes what is missing above, for its owner alone, and keeps what is there", async () => {
  await using at = await folder();
  const path = join(at.path, "a/b");
  await makeDirectory(path);
  await writeFile(join(path, "c"), "kept");
  await makeDirectory(path);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect(await readFile(join(path, "c"), "utf8")).toBe("kept");
});
