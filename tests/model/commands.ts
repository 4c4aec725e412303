/** Random S3 calls as plain values, so that a failing sequence shrinks and prints as what it is. */
import fc from "fast-check";
import type { Versioning } from "./bucket-model.ts";

export type Command =
  | { readonly op: "put"; readonly key: string; readonly size: number }
  /** `If-None-Match: *`. */
  | { readonly op: "put_if_absent"; readonly key: string; readonly size: number }
  | { readonly op: "multipart"; readonly key: string; readonly sizes: readonly number[] }
  | { readonly op: "copy"; readonly from: string; readonly at: number; readonly to: string }
  | { readonly op: "delete"; readonly key: string }
  /** The `at`-th newest version, the last one when there are fewer. */
  | { readonly op: "delete_version"; readonly key: string; readonly at: number }
  | { readonly op: "delete_many"; readonly keys: readonly string[] }
  | { readonly op: "set_versioning"; readonly versioning: Exclude<Versioning, "off"> }
  | { readonly op: "read"; readonly key: string }
  | { readonly op: "read_version"; readonly key: string; readonly at: number }
  | {
      readonly op: "list";
      readonly prefix: string;
      readonly delimiter: string;
      readonly page: number;
    }
  | { readonly op: "list_versions"; readonly page: number }
  /** The node is killed `afterMs` after `during` was sent, and started again. */
  | { readonly op: "crash"; readonly during: Command; readonly afterMs: number };

/** Few, so that they meet; directories, a tail, one in front of its own directory. */
const key = fc.constantFrom("a", "a/b", "a/b/c", "a/", "a.b", "a//b", "z", "dir/é", "dir/x/y");
/** Small content, one chunk, several segments. */
const size = fc.constantFrom(0, 1, 700, 4096, 4097, 70_000, 200_000);
const at = fc.nat({ max: 3 });

const writes = {
  put: fc.record({ op: fc.constant("put" as const), key, size }),
  putIfAbsent: fc.record({ op: fc.constant("put_if_absent" as const), key, size }),
  multipart: fc.record({
    op: fc.constant("multipart" as const),
    key,
    sizes: fc.oneof(
      { weight: 9, arbitrary: size.map((last) => [last]) },
      { weight: 1, arbitrary: size.map((last) => [5 * 1024 * 1024, last]) },
    ),
  }),
  copy: fc.record({ op: fc.constant("copy" as const), from: key, at, to: key }),
  delete: fc.record({ op: fc.constant("delete" as const), key }),
  deleteVersion: fc.record({ op: fc.constant("delete_version" as const), key, at }),
  deleteMany: fc.record({
    op: fc.constant("delete_many" as const),
    keys: fc.uniqueArray(key, { minLength: 1, maxLength: 4 }),
  }),
  setVersioning: fc.record({
    op: fc.constant("set_versioning" as const),
    versioning: fc.constantFrom("enabled" as const, "suspended" as const),
  }),
};
const write: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: writes.put },
  { weight: 2, arbitrary: writes.putIfAbsent },
  { weight: 2, arbitrary: writes.multipart },
  { weight: 3, arbitrary: writes.copy },
  { weight: 4, arbitrary: writes.delete },
  { weight: 4, arbitrary: writes.deleteVersion },
  { weight: 1, arbitrary: writes.deleteMany },
  { weight: 2, arbitrary: writes.setVersioning },
);
const read: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ op: fc.constant("read" as const), key }),
  fc.record({ op: fc.constant("read_version" as const), key, at }),
  fc.record({
    op: fc.constant("list" as const),
    prefix: fc.constantFrom("", "a", "a/", "a/b", "dir/"),
    delimiter: fc.constantFrom("", "/", "b"),
    page: fc.constantFrom(1, 2, 1000),
  }),
  fc.record({ op: fc.constant("list_versions" as const), page: fc.constantFrom(1, 2, 1000) }),
);
const crash: fc.Arbitrary<Command> = fc.record({
  op: fc.constant("crash" as const),
  during: write,
  afterMs: fc.nat({ max: 12 }),
});

export const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 30, arbitrary: write },
    { weight: 12, arbitrary: read },
    { weight: 1, arbitrary: crash },
  ),
  { minLength: 1, maxLength: 60, size: "max" },
);
