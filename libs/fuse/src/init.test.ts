import { expect, test } from "bun:test";
import { hasFlag, type Negotiated, negotiate } from "./index.ts";
import { initFlags } from "./init.ts";

const all = 2n ** 64n - 1n;
const options = { hasLocks: true, readaheadMax: 4 << 20, backgroundMax: 64 };
const kernel = { major: 7, minor: 45, readaheadMax: 131_072, flags: all };

test("negotiate() never asks for what breaks coherence or the rule of maps", () => {
  const { flags } = negotiate(kernel, options) as Negotiated;
  for (const name of [
    ...["DIRECT_IO_ALLOW_MMAP", "WRITEBACK_CACHE", "AUTO_INVAL_DATA", "EXPLICIT_INVAL_DATA"],
    ...["NO_OPEN_SUPPORT", "POSIX_ACL", "HANDLE_KILLPRIV", "PASSTHROUGH"],
  ] as const)
    expect([name, hasFlag(flags, name as keyof typeof initFlags)]).toEqual([name, false]);
});

test("negotiate() asks for what is wanted, as far as the kernel has it", () => {
  const wanted = Object.entries(initFlags).filter(([, { decision }]) => decision !== "never");
  const { flags } = negotiate(kernel, {
    ...options,
    isAsking: true,
    isPassing: true,
  }) as Negotiated;
  for (const [name, { bit }] of wanted)
    expect([name, (flags >> BigInt(bit)) & 1n]).toEqual([name, 1n]);
  expect((negotiate({ ...kernel, flags: 0n }, options) as Negotiated).flags).toBe(0n);
  const without = negotiate(kernel, { ...options, hasLocks: false }) as Negotiated;
  expect(hasFlag(without.flags, "POSIX_LOCKS") || hasFlag(without.flags, "FLOCK_LOCKS")).toBe(
    false,
  );
  expect(without.flags).not.toBe(flags);
});

test("negotiate() takes 7.31 and newer, and asks again below a newer major", () => {
  expect(negotiate({ ...kernel, minor: 30 }, options)).toBeUndefined();
  expect(negotiate({ ...kernel, major: 6 }, options)).toBeUndefined();
  expect(negotiate({ ...kernel, major: 8, minor: 0 }, options)).toBe("again");
  expect(negotiate({ ...kernel, minor: 31 }, options)).toMatchObject({ minor: 31 });
  expect(negotiate({ ...kernel, minor: 99 }, options)).toMatchObject({
    minor: 45,
    readaheadMax: 131_072,
    writeSizeMax: 1 << 20,
    pagesMax: 256,
  });
});

test("each flag has a bit of its own", () => {
  const bits = Object.values(initFlags).map(({ bit }) => bit);
  expect(new Set(bits).size).toBe(bits.length);
});
