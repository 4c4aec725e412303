/** kiseki.h against a node: from C under sanitizers, from C++, and as pkg-config says it is used. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { root, SdkBed } from "./sdk-bed.ts";

setDefaultTimeout(60_000);
const source = join(root, "apps/fuse-client/c");
const tests = join(source, "test");
const strict = ["-Wall", "-Wextra", "-Werror"];
const sources = ["kiseki", "process", "wire"].map((name) => join(source, `${name}.c`));

let bed: SdkBed;
beforeAll(async () => {
  bed = await SdkBed.start();
});
afterAll(() => bed[Symbol.asyncDispose]());

test("kiseki.h does what it says, from C, under ASan and UBSan", async () => {
  const sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
  const flags = ["-std=gnu11", "-g", "-O1", ...strict, "-D_GNU_SOURCE", `-I${source}`];
  const input = [...sources, join(tests, "kiseki_test.c")];
  await bed.need("gcc", ...flags, ...sanitized, "-o", "from-c", ...input, "-lpthread");
  expect(await bed.run("./from-c")).toEqual({
    code: 0,
    output: expect.stringContaining("nowhere"),
  });
});

test("kiseki.hpp and the library that was built are used from C++ as pkg-config says", async () => {
  const library = join(root, "build/client/lib");
  bed.environment["PKG_CONFIG_PATH"] = join(library, "pkgconfig");
  bed.environment["LD_LIBRARY_PATH"] = library;
  const { code, output } = await bed.run("pkg-config", "--cflags", "--libs", "kiseki");
  expect(code).toBe(0);
  const flags = output.trim().split(/\s+/);
  const input = join(tests, "kiseki_test.cpp");
  await bed.need("g++", "-std=c++17", ...strict, "-o", "from-cpp", input, ...flags);
  expect(await bed.run("./from-cpp")).toEqual({ code: 0, output: "" });
});
